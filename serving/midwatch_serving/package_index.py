"""Where pip and uv are told to find packages, and what files an index has of one project.

Reads the settings that people already have (pip's environment, its configuration files, uv's environment) and speaks
the Simple Repository API: JSON (PEP 691) where the index has it, HTML (PEP 503) where not.
"""

import configparser
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from http import HTTPStatus
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urldefrag, urljoin, urlsplit
from urllib.request import url2pathname

import httpx2

from midwatch_contracts.command import CommandError

PYPI = "https://pypi.org/simple"
_JSON = "application/vnd.pypi.simple.v1+json"
_ACCEPT = f"{_JSON}, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01"
_MAX_PAGE = 32 << 20
"""Bytes of an index page that are read at most."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class IndexSettings:
    """Where packages come from, and how to reach it."""

    indexes: tuple[str, ...] = (PYPI,)
    """Base URLs, the first one first."""
    find_links: tuple[str, ...] = ()
    """Folders, or pages of links."""
    ca: Path | None = None
    """File or folder of certificate authorities; None: the system's, or what SSL_CERT_FILE names."""
    client_certificate: Path | None = None
    proxy: str | None = None
    """None: what HTTPS_PROXY and its like say."""


@dataclass(frozen=True)
class IndexFile:
    """One file of a project. `url` is `file:` for one that lies in a folder."""

    name: str
    url: str
    sha256: str | None = None
    size: int | None = None
    yanked: bool = False


def index_settings(environ: Mapping[str, str], *, files: Sequence[Path] | None = None) -> IndexSettings:
    """Return the settings of pip, else of uv, else PyPI. `files` stand in for pip's configuration files.

    Raises:
        CommandError: when a configuration file cannot be understood.
    """
    values: dict[str, str] = {}
    for path in pip_files(environ) if files is None else files:
        values |= _configured(path)
    values |= {key[4:].lower().replace("_", "-"): v for key, v in environ.items() if key.startswith("PIP_") and v}
    first = values.get("index-url") if environ.get("PIP_INDEX_URL") else None
    first = first or environ.get("UV_DEFAULT_INDEX") or environ.get("UV_INDEX_URL") or values.get("index-url") or PYPI
    extra = [values.get("extra-index-url", ""), environ.get("UV_INDEX", ""), environ.get("UV_EXTRA_INDEX_URL", "")]
    off = values.get("no-index", "").lower() in {"1", "true", "yes", "on", "y", "t"}
    links = [*values.get("find-links", "").split(), *environ.get("UV_FIND_LINKS", "").split(",")]
    ca = values.get("cert") or environ.get("REQUESTS_CA_BUNDLE") or environ.get("CURL_CA_BUNDLE")
    client = values.get("client-cert")
    return IndexSettings(
        indexes=() if off else tuple(dict.fromkeys(map(_unnamed, [first, *" ".join(extra).split()]))),
        find_links=tuple(dict.fromkeys(link.strip() for link in links if link.strip())),
        ca=Path(ca).expanduser() if ca else None,
        client_certificate=Path(client).expanduser() if client else None,
        proxy=values.get("proxy") or None,
    )


def pip_files(environ: Mapping[str, str]) -> list[Path]:
    """Return pip's configuration files, the weakest first (pip's documentation, "Configuration")."""
    named = environ.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return []
    home = Path(environ.get("HOME") or Path.home())
    mac = sys.platform == "darwin"
    shared = "/Library/Application Support" if mac else environ.get("XDG_CONFIG_DIRS") or "/etc/xdg"
    files = [*(Path(folder) / "pip/pip.conf" for folder in shared.split(":") if folder), Path("/etc/pip.conf")]
    if not named or not Path(named).exists():
        library = home / "Library/Application Support/pip"
        own = library if mac and library.is_dir() else Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip"
        files += [home / ".pip/pip.conf", own / "pip.conf"]
    files.append(Path(sys.prefix) / "pip.conf")
    return [*files, Path(named)] if named else files


def files_of(client: httpx2.Client, settings: IndexSettings, project: str) -> tuple[list[IndexFile], list[str]]:
    """Return the files of a project from everywhere, and one line a place that could not be read.

    `project` is a normalised name (PEP 503): lower case, words joined by `-`.
    """
    found: list[IndexFile] = []
    problems: list[str] = []
    for link in settings.find_links:
        try:
            listed = _linked(client, link)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError) as error:
            problems.append(f"{shown(link)}: {_reason(error)}")
            continue
        found += [file for file in listed if _project_of(file.name) == project]
    for index in settings.indexes:
        try:
            found += _page(client, f"{index.rstrip('/')}/{project}/")
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
            problems.append(f"{shown(index)}: {_reason(error)}")
    return found, problems


def shown(url: str) -> str:
    """Return a URL or path as it may be shown: without the name and password in it."""
    return re.sub(r"//[^/@]*@", "//", url)


def _unnamed(index: str) -> str:
    """Return the URL of uv's `name=URL`."""
    return re.sub(r"^[\w.-]+=(?=https?://)", "", index)


def _configured(path: Path) -> dict[str, str]:
    """Return pip's values from one file; `[install]` outranks `[global]`."""
    parser = configparser.RawConfigParser()
    try:
        with path.open(encoding="utf-8") as file:
            parser.read_file(file)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return {}
    except (OSError, configparser.Error, UnicodeDecodeError) as error:
        raise CommandError(f"pip's configuration {path} cannot be read ({error}): mend it") from error
    sections = [section for section in ("global", "install") if parser.has_section(section)]
    return {key.replace("_", "-"): value for section in sections for key, value in parser.items(section) if value}


def _linked(client: httpx2.Client, link: str) -> list[IndexFile]:
    scheme = urlsplit(link).scheme
    if scheme in {"http", "https"}:
        return _page(client, link)
    folder = Path(url2pathname(urlsplit(link).path)) if scheme == "file" else Path(link).expanduser()
    if not folder.is_dir():
        return []  # as pip, which tells of it and goes on
    return [IndexFile(path.name, path.resolve().as_uri(), size=path.stat().st_size) for path in folder.glob("*.whl")]


def _page(client: httpx2.Client, url: str) -> list[IndexFile]:
    with client.stream("GET", url, headers={"accept": _ACCEPT}) as response:
        if response.status_code == HTTPStatus.NOT_FOUND:
            return []
        response.raise_for_status()
        body = bytearray()
        for part in response.iter_bytes():
            body += part
            if len(body) > _MAX_PAGE:
                raise ValueError(f"the page is larger than {_MAX_PAGE >> 20} MiB")
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        base = str(response.url)
    if kind == _JSON:
        return _from_json(httpx2.Response(200, content=bytes(body)).json(), base)
    if "json" in kind:
        raise ValueError(f"answers in {kind}, which is no index's page")
    links = _Links(base)
    links.feed(body.decode("utf-8", errors="replace"))
    return links.files


def _from_json(page: Any, base: str) -> list[IndexFile]:
    """Read a page of PEP 691."""
    try:
        version = str(page.get("meta", {}).get("api-version", "1.0"))
        if version.partition(".")[0] != "1":
            raise ValueError(f"speaks version {version} of the Simple API; version 1 is known")
        return [
            IndexFile(
                name=str(file["filename"]),
                url=urljoin(base, str(file["url"])),
                sha256=_sha256(file.get("hashes", {}).get("sha256")),
                size=cast("int | None", size) if isinstance(size := file.get("size"), int) else None,
                yanked=bool(file.get("yanked")),
            )
            for file in page["files"]
        ]
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError("answers with JSON that is no index's page (PEP 691)") from error


class _Links(HTMLParser):
    """Collects the files of a page of PEP 503, or of any page with links to wheels."""

    def __init__(self, base: str) -> None:
        super().__init__()
        self.files: list[IndexFile] = []
        self._base = base

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        href = given.get("href")
        if tag == "base" and href:
            self._base = urljoin(self._base, href)
        if tag != "a" or not href:
            return
        url, fragment = urldefrag(urljoin(self._base, href))
        algorithm, _, digest = fragment.partition("=")
        self.files.append(
            IndexFile(
                name=unquote(urlsplit(url).path.rpartition("/")[2]),
                url=url,
                sha256=_sha256(digest) if algorithm == "sha256" else None,
                yanked="data-yanked" in given,
            )
        )


def _sha256(value: Any) -> str | None:
    text = value.lower() if isinstance(value, str) else ""
    return text if _SHA256.fullmatch(text) else None


def _project_of(filename: str) -> str:
    return re.sub(r"[-_.]+", "-", filename.partition("-")[0]).lower()


def _reason(error: Exception) -> str:
    if isinstance(error, httpx2.HTTPStatusError):
        return f"HTTP {error.response.status_code}"
    return str(error) or type(error).__name__


def wheels(files: Iterable[IndexFile], version: str) -> list[IndexFile]:
    """Return the wheels among files, those of `version` first, yanked ones last."""
    found = [file for file in files if file.name.endswith(".whl")]
    return sorted(found, key=lambda file: (file.yanked, f"-{version}-" not in file.name))
