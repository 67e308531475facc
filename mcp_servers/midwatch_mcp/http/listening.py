"""Where a server listens over HTTP, and what must be settled before it does.

The SDK drops its check of Host and Origin in silence for an address that is not loopback, and asks for no token by
itself. Here such an address is refused until both are given (the MCP specification's security best practices: DNS
rebinding, token audience).
"""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from mcp.server.transport_security import TransportSecuritySettings

from midwatch_mcp.errors import SettingsError
from midwatch_mcp.files import check_private
from midwatch_mcp.hosts import is_loopback

PATH = "/mcp"
_LOOPBACK_NAMES = ("127.0.0.1:*", "localhost:*", "[::1]:*")
_MAX_PORT = 65_535


@dataclass(frozen=True)
class OAuth:
    """The authorization server whose tokens are taken, and whom they must be issued for."""

    issuer: str
    """URL of the authorization server, exactly as tokens carry it in `iss`."""
    resource: str
    """URL of this server as clients know it (RFC 8707): the audience that a token must name."""
    scopes: tuple[str, ...] = ()
    """Scopes that every token must carry."""


@dataclass(frozen=True)
class Listen:
    """How a server is reached over HTTP."""

    host: str
    port: int
    """0: any that is free."""
    allowed_hosts: tuple[str, ...] = ()
    """Values of the Host header that are answered, as `name:port` or `name:*`, beside those of loopback."""
    allowed_origins: tuple[str, ...] = ()
    """Values of the Origin header that are answered, such as `https://ide.example.org`."""
    token_file: Path | None = None
    oauth: OAuth | None = None
    certificate: Path | None = None
    key: Path | None = None

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        return is_loopback(self.host)

    @property
    def security(self) -> TransportSecuritySettings:
        """Which Host and Origin headers are answered."""
        hosts = [*(_LOOPBACK_NAMES if self.loopback else ()), *self.allowed_hosts]
        origins = [f"http://{name}" for name in _LOOPBACK_NAMES] if self.loopback else []
        return TransportSecuritySettings(allowed_hosts=hosts, allowed_origins=[*origins, *self.allowed_origins])

    def check(self) -> None:
        """Refuse what would let strangers in.

        Raises:
            SettingsError: names the flag that is missing or does not fit.
        """
        if self.token_file is not None and self.oauth is not None:
            raise SettingsError("--token-file and --oauth-issuer are two ways to let callers in: give one of them")
        if (self.certificate is None) != (self.key is None):
            raise SettingsError("--tls-cert-file and --tls-private-key-file belong together: give both or none")
        for file, flag in ((self.certificate, "--tls-cert-file"), (self.key, "--tls-private-key-file")):
            if file is not None and not file.is_file():
                raise SettingsError(f"{flag}: there is no file {file}")
        if self.token_file is not None:
            check_private(self.token_file, "--token-file")
        if self.oauth is not None:
            _check_url(self.oauth.issuer, "--oauth-issuer")
            _check_url(self.oauth.resource, "--oauth-resource")
        if self.loopback:
            return
        if self.token_file is None and self.oauth is None:
            raise SettingsError(
                f"{self.host} can be reached from other machines: say who may call, with --token-file FILE or "
                "--oauth-issuer URL and --oauth-resource URL; or listen on 127.0.0.1"
            )
        if not self.allowed_hosts:
            raise SettingsError(
                f"{self.host} can be reached from other machines: say under which names, with --allowed-host "
                f"NAME:{self.port or 'PORT'} (once a name; any other Host header is refused); or listen on 127.0.0.1"
            )


def address(text: str) -> tuple[str, int]:
    """Read `HOST:PORT`; an IPv6 address stands in brackets.

    Raises:
        SettingsError: when it is not of that form.
    """
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > _MAX_PORT:
        raise SettingsError(f"--http: {text!r} is not HOST:PORT, such as 127.0.0.1:8765 or [::1]:8765")
    return host, int(port)


def _check_url(text: str, flag: str) -> None:
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise SettingsError(f"{flag}: {text!r} is no http(s) URL without query and fragment")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise SettingsError(f"{flag}: {text!r} is not https: tokens and keys would pass in the clear")
