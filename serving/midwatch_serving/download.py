"""Fetches a file over HTTP: goes on after a broken connection, and believes only what has the right hash."""

import hashlib
import netrc
import os
import shutil
import ssl
from collections.abc import Callable, Generator, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

import httpx2

from midwatch_contracts.command import CommandError
from midwatch_serving.package_index import IndexSettings, shown
from midwatch_serving.pull_progress import Progress

ATTEMPTS = 5
"""Connections without one new byte before it is given up."""
_TIMEOUT_S = 30.0
_SPARE = 64 << 20
"""Bytes that a download leaves free on the disk."""
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})


class DownloadError(CommandError):
    """A file could not be fetched, or is not what it should be."""


class HostAuth(httpx2.Auth):
    """Names and passwords by host: those in the index's URLs, else those of the user's netrc, as pip has it."""

    def __init__(self, urls: tuple[str, ...], environ: Mapping[str, str]) -> None:
        known = [url for url in map(httpx2.URL, urls) if url.username]
        self._known = {url.host: httpx2.BasicAuth(url.username, url.password) for url in known}
        path = Path(environ.get("NETRC") or Path(environ.get("HOME") or Path.home()) / ".netrc")
        try:
            self._netrc = netrc.netrc(str(path))
        except (OSError, netrc.NetrcParseError):  # as pip: without a readable netrc nothing is known
            self._netrc = None

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response]:
        """Send the request with the password of its host, if one is known and it has none of its own."""
        host = request.url.host
        auth = self._known.get(host)
        if auth is None and self._netrc is not None and host in self._netrc.hosts:
            login, _, password = self._netrc.hosts[host]
            auth = httpx2.BasicAuth(login, password or "")
        if auth is None or "authorization" in request.headers:
            yield request
        else:
            yield from auth.auth_flow(request)


def make_client(settings: IndexSettings, environ: Mapping[str, str]) -> httpx2.Client:
    """Return a client with the user's certificates, proxies and passwords; it follows redirects.

    Raises:
        CommandError: when a certificate file that is named is not there.
    """
    context: ssl.SSLContext | bool = True
    try:
        if settings.ca is not None:
            folder = settings.ca.is_dir()
            context = ssl.create_default_context(
                cafile=None if folder else str(settings.ca), capath=str(settings.ca) if folder else None
            )
        if settings.client_certificate is not None:
            context = ssl.create_default_context() if context is True else context
            context.load_cert_chain(settings.client_certificate)
    except (OSError, ssl.SSLError) as error:
        named = settings.ca if context is True else settings.client_certificate
        raise CommandError(
            f"the certificates in {named} cannot be used ({error}): see PIP_CERT and pip.conf"
        ) from error
    return httpx2.Client(
        auth=HostAuth((*settings.indexes, *settings.find_links), environ),
        verify=context,
        proxy=settings.proxy,
        follow_redirects=True,
        timeout=_TIMEOUT_S,
        headers={"user-agent": "midwatch", "accept-encoding": "identity"},
    )


class Download:
    """One file to be fetched to `target`. What has come so far is kept beside it, as `.part`, for the next try."""

    def __init__(
        self,
        client: httpx2.Client,
        url: str,
        target: Path,
        *,
        sha256: str | None,
        size: int | None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._client = client
        self._url = url
        self._target = target
        self._part = target.with_name(target.name + ".part")
        self._sha256 = sha256
        self._size = size
        self._headers = dict(headers or {})

    def run(self, progress: Progress, pause: Callable[[float], None]) -> str:
        """Fetch it, check it, put it in place; return its SHA-256. `pause` waits seconds between two tries.

        Raises:
            DownloadError: when it cannot be fetched, or its hash is not the one expected.
        """
        # Without a hash nobody could tell a file that was put together from two versions.
        if self._sha256 is None:
            self._part.unlink(missing_ok=True)
        resumed = self._part.exists()
        self._fetch(progress, pause)
        digest = file_sha256(self._part)
        if self._sha256 not in {None, digest} and resumed:
            progress.say("what was kept of an earlier download does not fit: from the start")
            self._part.unlink()
            self._fetch(progress, pause)
            digest = file_sha256(self._part)
        if self._sha256 not in {None, digest}:
            self._part.unlink()
            raise DownloadError(
                f"{shown(self._url)} has the SHA-256 {digest}, {self._sha256} was expected: it was removed; "
                "try again, or ask who runs the index"
            )
        with self._part.open("rb") as file:
            os.fsync(file.fileno())
        self._part.replace(self._target)
        return digest

    def _fetch(self, progress: Progress, pause: Callable[[float], None]) -> None:
        failures = 0
        with self._part.open("ab") as part, progress.task(self._target.name, self._size) as task:
            while True:
                had = part.seek(0, os.SEEK_END)
                task.at(had)
                try:
                    if self._connection(part, task.at):
                        return
                    reason, again = "the connection ended early", True
                except (httpx2.HTTPError, httpx2.InvalidURL) as error:
                    reason = str(error) or type(error).__name__
                    again = isinstance(error, httpx2.TransportError) and "CERTIFICATE" not in reason.upper()
                failures = 0 if part.tell() > had else failures + 1
                if failures == ATTEMPTS or not again:
                    raise DownloadError(f"{shown(self._url)} cannot be fetched ({reason}): {mend(reason)}")
                pause(min(2.0**failures * 0.5, 8.0))

    def _connection(self, part: BinaryIO, at: Callable[[int], None]) -> bool:
        """Fetch what is missing over one connection; return whether the file is whole then."""
        had = part.tell()
        if self._size is not None and had == self._size:
            return True
        headers = self._headers | ({"range": f"bytes={had}-"} if had else {})
        with self._client.stream("GET", self._url, headers=headers) as response:
            if response.status_code in _TRANSIENT:
                raise httpx2.ReadError(f"HTTP {response.status_code}")
            if had and not _goes_on(response, had):
                part.truncate(0)
                had = part.seek(0)
                if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                    return False
            if response.is_error:
                raise DownloadError(f"{shown(self._url)} cannot be fetched (HTTP {response.status_code})")
            length = response.headers.get("content-length")
            total = had + int(length) if length else self._size
            self._check_room((total or 0) - had)
            for data in response.iter_raw():
                part.write(data)
                if self._size is not None and part.tell() > self._size:
                    part.truncate(0)
                    raise DownloadError(f"{shown(self._url)} is longer than the {self._size} bytes that it should have")
                at(part.tell())
        part.flush()
        return total is None or part.tell() == total

    def _check_room(self, needed: int) -> None:
        free = shutil.disk_usage(self._part.parent).free
        if needed + _SPARE > free:
            raise DownloadError(
                f"{self._part.parent} has {free >> 20} MiB free, {(needed + _SPARE) >> 20} MiB are needed: make room"
            )


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, lower-case hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _goes_on(response: httpx2.Response, had: int) -> bool:
    """Whether an answer continues after `had` bytes: servers may send the whole file, or another range."""
    partial = response.status_code == HTTPStatus.PARTIAL_CONTENT
    return partial and response.headers.get("content-range", "").startswith(f"bytes {had}-")


def mend(reason: str) -> str:
    """Return what to do about a connection that failed for this reason."""
    if "CERTIFICATE" in reason.upper():
        return "name your certificate authority with PIP_CERT"
    return "check the network and HTTPS_PROXY, then run the same command: it goes on where it stopped"
