"""The manifests of a repository: which object stands in which file, document and item of a list."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from midwatch_mcp.safe_apply.as_git.nodes import parsed
from midwatch_mcp.safe_apply.as_git.repository import Entry, Repository
from midwatch_mcp.safe_apply.as_git.splice import edited
from midwatch_mcp.safe_apply.drafting import KubeDraft
from midwatch_mcp.safe_apply.errors import GitError

_ENDS = (".yaml", ".yml", ".json")
_POINTER = b"version https://git-lfs.github.com/spec/"


class Files:
    """The files of a base commit, and what they become. Contents are kept as text; edits are made one after another."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self._before: dict[str, bytes] = {}
        self._now: dict[str, str] = {}

    def load(self, paths: Sequence[str]) -> None:
        """Read files that are not read yet."""
        missing = [self.repository.file(path) for path in dict.fromkeys(paths) if path not in self._before]
        self._before |= self.repository.read(missing)

    def bytes_of(self, path: str) -> bytes:
        """Return a file as it is in the base."""
        self.load([path])
        return self._before[path]

    def text(self, path: str) -> str:
        """Return a file as it is by now.

        Raises:
            GitError: it holds no text of ours to edit.
        """
        if path not in self._now:
            content = self.bytes_of(path)
            if content.startswith(_POINTER):
                raise GitError(f"{path} is kept in Git LFS: only its pointer is in the commit")
            try:
                self._now[path] = content.decode("utf-8")
            except UnicodeDecodeError as error:
                raise GitError(f"{path} is not UTF-8 text (encrypted, or binary?)") from error
        return self._now[path]

    def documents(self, path: str) -> list[Any]:
        """Return the values of a file's documents as they are by now."""
        return [document.value for document in parse(self.text(path), path)]

    def put(self, path: str, number: int, value: Any) -> None:
        """Make one document of a file say `value`, in place."""
        self._now[path] = edited(self.text(path), path, number, value)

    def write(self, path: str, text: str) -> None:
        """Make a new file."""
        if path in self.repository.tree or path in self._now:
            raise GitError(f"{path} is there already")
        self._now[path] = text

    def has(self, path: str) -> bool:
        """Say whether there is a file of that name."""
        return path in self._now or path in self.repository.tree

    def before(self, path: str) -> bytes | None:
        """Return a file as it is in the base; None for a new one."""
        return self.bytes_of(path) if path in self.repository.tree else None

    def changed(self) -> dict[str, bytes]:
        """Return the files that are other than in the base, with their contents."""
        found = {path: text.encode() for path, text in self._now.items()}
        return {path: content for path, content in found.items() if content != self.before(path)}

    def entry(self, path: str, blob: str) -> Entry:
        """Return a file as it goes into the new commit."""
        mode = self.repository.tree[path].mode if path in self.repository.tree else "100644"
        return Entry(path, mode, blob, 0)


def parse(text: str, path: str) -> Any:
    """Return the documents of a file with their nodes.

    Raises:
        GitError: it is no YAML; for a template of a chart it says how Helm's way goes.
    """
    try:
        return parsed(text, path)
    except GitError as error:
        if "{{" in text:
            raise GitError(
                f"{path} is a template, whose text is not the manifest: change the values that it is made with "
                "(--values FILE --set-key FIELD=KEY)"
            ) from error
        raise


@dataclass(frozen=True)
class Manifest:
    """One object where it stands. `item` is its place in a list, None where the document is the object."""

    path: str
    number: int
    item: int | None
    value: dict[str, Any]

    @property
    def where(self) -> str:
        """The place as a person reads it."""
        return self.path + (f" (document {self.number + 1})" if self.number else "")

    @property
    def name(self) -> str:
        """The object's name as the file has it."""
        return str(_metadata(self.value).get("name", ""))

    @property
    def namespace(self) -> str:
        """The namespace that the file says; empty where it says none."""
        return str(_metadata(self.value).get("namespace", "") or "")

    @property
    def group(self) -> str:
        """The API group."""
        return str(self.value.get("apiVersion", "")).rpartition("/")[0]

    @property
    def kind(self) -> str:
        """The kind."""
        return str(self.value.get("kind", ""))

    def put(self, files: Files, value: Mapping[str, Any]) -> None:
        """Make the object say `value` where it stands."""
        if self.item is None:
            files.put(self.path, self.number, dict(value))
            return
        whole = dict(files.documents(self.path)[self.number])
        whole["items"] = [dict(value) if at == self.item else one for at, one in enumerate(whole["items"])]
        files.put(self.path, self.number, whole)


def objects(files: Files, path: str) -> Iterator[Manifest]:
    """Yield the objects of a file."""
    for number, value in enumerate(files.documents(path)):
        for item, found in _items(value):
            if isinstance(found.get("kind"), str) and isinstance(found.get("apiVersion"), str):
                yield Manifest(path, number, item, found)


def _items(value: Any) -> Iterator[tuple[int | None, dict[str, Any]]]:
    if not isinstance(value, dict):
        return
    found = cast("dict[str, Any]", value)
    if str(found.get("kind", "")).endswith("List") and isinstance(found.get("items"), list):
        for at, item in enumerate(cast("list[Any]", found["items"])):
            if isinstance(item, dict):
                yield at, cast("dict[str, Any]", item)
    else:
        yield None, found


def is_about(manifest: Manifest, target: KubeDraft) -> bool:
    """Say whether a manifest is of a target's kind and API group; versions of a group are one object."""
    group = None if target.apiVersion is None else target.apiVersion.rpartition("/")[0]
    return manifest.kind == target.kind and group in (None, manifest.group)


def search(files: Files, target: KubeDraft, under: str) -> list[Manifest]:
    """Return the manifests of an object below a folder, or in a file; those that say its namespace first of all.

    Files that cannot be read as YAML are passed over, unless one is named, or none else has the object.
    """
    entries = [one for one in files.repository.files(under) if one.path.endswith(_ENDS) or one.path == under]
    files.load([entry.path for entry in entries])
    kind = re.compile(rb"""["']?kind["']?\s*:\s*["']?""" + re.escape(target.kind.encode()) + rb"\b")
    found: list[Manifest] = []
    unread: list[GitError] = []
    for entry in entries:
        content = files.bytes_of(entry.path)
        if not kind.search(content) or (target.name.encode() not in content and entry.path != under):
            continue
        try:
            found += [one for one in objects(files, entry.path) if is_about(one, target) and one.name == target.name]
        except GitError as error:
            unread.append(error)
    exact = [one for one in found if one.namespace == target.namespace]
    chosen = exact or [one for one in found if not one.namespace]
    if not chosen and unread:
        raise unread[0]
    return chosen


def _metadata(value: Mapping[str, Any]) -> dict[str, Any]:
    metadata = value.get("metadata")
    return cast("dict[str, Any]", metadata) if isinstance(metadata, dict) else {}
