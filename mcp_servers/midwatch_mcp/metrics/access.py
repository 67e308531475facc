"""What is shown to the metrics API so that it lets us in, and what of it is never shown to anybody else.

Secrets stand in files that only their owner can read, and are read again when they change. They are sent to the base
URL alone, never after a redirect, and are taken out of every text that the API answers with.
"""

import base64
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from midwatch_mcp.errors import SettingsError
from midwatch_mcp.files import check_private
from midwatch_mcp.hosts import is_loopback
from midwatch_mcp.redact import REDACTED

FLAG = "--prometheus-http-config"
_SHORTEST_HIDDEN = 4


class SecretFile:
    """A private file with one secret, read again when it changes."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._stamp: tuple[int, int, int] | None = None
        self._text = ""

    def text(self) -> str:
        """Return the secret.

        Raises:
            SettingsError: the file is gone, open to others, or holds no single line of text.
        """
        check_private(self._file, FLAG)
        found = self._file.stat()
        stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
        if stamp != self._stamp:
            text = self._file.read_text("utf-8", "replace").strip()
            if not text or not text.isprintable():
                raise SettingsError(f"{FLAG}: {self._file} holds no text that a header can carry: one line is needed")
            self._text, self._stamp = text, stamp
        return self._text


Secret = str | SecretFile


def _text(secret: Secret) -> str:
    return secret if isinstance(secret, str) else secret.text()


@dataclass(frozen=True)
class Tls:
    """The authorities that are believed (None: the system's), and the certificate that is shown."""

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True)
class Access:
    """What is shown to the API. Without a file: nothing, and the system's certificate authorities."""

    basic: tuple[Secret, Secret] | None = None
    """User and password."""
    authorization: tuple[str, Secret] | None = None
    """The scheme, such as `Bearer`, and the credentials."""
    headers: tuple[tuple[str, Secret], ...] = ()
    tls: Tls = field(default_factory=Tls)
    plain_http: bool = False
    secrets: tuple[Secret, ...] = ()
    """What must not be shown, the user's name aside."""
    _certificates: dict[str, tuple[int, ...]] = field(default_factory=dict[str, "tuple[int, ...]"])

    def check_url(self, url: str) -> None:
        """Refuse a URL to which these credentials must not go.

        Raises:
            SettingsError: it is no http(s) URL, carries a user or a password, or would send secrets in the clear.
        """
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.username is not None or parts.password is not None:
            raise SettingsError(
                f"the URL of the metrics API at {host} carries a user or password, which process lists show: put them "
                f"into a file of mode 0600 (basic_auth: {{username: ..., password_file: ...}}) and give {FLAG} FILE"
            )
        if parts.scheme not in {"http", "https"} or not host or parts.query or parts.fragment:
            raise SettingsError(f"{shown_url(url)!r} is no base URL of a Prometheus API: write http://host:port")
        if parts.scheme == "http" and self.secrets and not self.plain_http and not is_loopback(host):
            raise SettingsError(
                f"{shown_url(url)} is not https: credentials would pass in the clear. Use https, or, where the network "
                f"encrypts by itself, write allow_plain_http: true into the file of {FLAG}"
            )

    def sent(self) -> dict[str, str]:
        """Return the headers of a request.

        Raises:
            SettingsError: a file of secrets is gone, or others can read it.
        """
        found = {name: _text(value) for name, value in self.headers}
        if self.basic is not None:
            pair = ":".join(map(_text, self.basic)).encode()
            found["Authorization"] = "Basic " + base64.b64encode(pair).decode()
        if self.authorization is not None:
            scheme, credentials = self.authorization
            found["Authorization"] = f"{scheme} {_text(credentials)}"
        return found

    def hidden(self, text: str) -> str:
        """Return `text` without the secrets that were sent: some servers repeat a header in what they answer."""
        for secret in self.secrets:
            known = _text(secret)
            if len(known) >= _SHORTEST_HIDDEN:
                text = text.replace(known, REDACTED)
        if self.basic is not None:
            text = text.replace(self.sent()["Authorization"].partition(" ")[2], REDACTED)
        return text

    def context(self, present: ssl.SSLContext | None) -> ssl.SSLContext:
        """Return the TLS settings; certificates that changed on disk are for the connections that follow.

        Raises:
            SettingsError: a certificate or key cannot be used.
        """
        tls = self.tls
        files = [file for file in (tls.ca, tls.certificate, tls.key) if file is not None]
        try:
            stamps = {str(file): (file.stat().st_ino, file.stat().st_mtime_ns) for file in files}
            if present is not None and stamps == self._certificates:
                return present
            context = present or ssl.create_default_context(cafile=tls.ca)
            if present is not None and tls.ca is not None:
                context.load_verify_locations(tls.ca)
            if tls.certificate is not None:
                check_private(tls.key or tls.certificate, FLAG)
                context.load_cert_chain(tls.certificate, tls.key)
        except (OSError, ssl.SSLError) as error:
            named = ", ".join(map(str, files))
            raise SettingsError(f"{FLAG}: the certificates of tls_config cannot be used ({named}): {error}") from error
        self._certificates.clear()
        self._certificates.update(stamps)
        return context


NO_ACCESS = Access()


def shown_url(url: str) -> str:
    """Return a URL without user, password, query and fragment."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
