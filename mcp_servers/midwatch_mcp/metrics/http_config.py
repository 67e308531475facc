"""The file of `--prometheus-http-config`, in the form of promtool's `--http.config.file`.

https://prometheus.io/docs/prometheus/latest/configuration/configuration/#http_config, of which are read `basic_auth`,
`authorization`, `bearer_token_file`, `tls_config` and `http_headers`; `allow_plain_http` is ours. What would weaken the
connection (`insecure_skip_verify`, `follow_redirects: true`) and what is not known is refused, never passed over.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, SecretStr, ValidationError

from midwatch_contracts.model import Model
from midwatch_mcp.errors import SettingsError
from midwatch_mcp.files import check_private
from midwatch_mcp.metrics.access import FLAG, Access, Secret, SecretFile, Tls

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_OWN_HEADERS = frozenset({"authorization", "host", "content-length", "content-type", "transfer-encoding", "connection"})


class _BasicAuth(Model):
    username: str = ""
    username_file: str | None = None
    password: SecretStr | None = None
    password_file: str | None = None


class _Authorization(Model):
    type: str = "Bearer"
    credentials: SecretStr | None = None
    credentials_file: str | None = None


class _Tls(Model):
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    insecure_skip_verify: Literal[False] = False


class _Header(Model):
    values: list[str] = Field(default_factory=list[str])
    secrets: list[SecretStr] = Field(default_factory=list[SecretStr])
    files: list[str] = Field(default_factory=list[str])


class _HttpConfig(Model):
    basic_auth: _BasicAuth | None = None
    authorization: _Authorization | None = None
    bearer_token_file: str | None = None
    tls_config: _Tls = _Tls()
    http_headers: dict[str, _Header] = Field(default_factory=dict[str, _Header])
    follow_redirects: Literal[False] = False
    allow_plain_http: bool = False


@dataclass(frozen=True)
class _Document:
    """A file that has the right form, and where it stands."""

    config: _HttpConfig
    file: Path

    def wrong(self, why: str) -> SettingsError:
        return SettingsError(f"{FLAG}: {self.file}: {why}")

    def at(self, name: str) -> Path:
        return self.file.parent / Path(name).expanduser()

    def secret(self, where: str, inline: str | SecretStr | None, named: str | None) -> Secret:
        plain = inline.get_secret_value() if isinstance(inline, SecretStr) else inline
        if bool(plain) == bool(named):
            raise self.wrong(f"{where}: give the value, or the file that holds it, one of both")
        if plain and not plain.isprintable():
            raise self.wrong(f"{where}: not a text that a header can carry")
        return SecretFile(self.at(named)) if named else str(plain)

    def access(self) -> Access:
        config = self.config
        ways = (config.basic_auth, config.authorization, config.bearer_token_file)
        if sum(way is not None for way in ways) > 1:
            raise self.wrong("basic_auth, authorization and bearer_token_file: give one of them")
        basic, scheme, headers = self._basic(), self._authorization(), list(self._headers())
        secrets = [secret for pair in (basic, scheme) if pair is not None for secret in pair[1:]]
        return Access(
            basic=basic,
            authorization=scheme,
            headers=tuple((name, value) for name, value, _ in headers),
            tls=self._tls(),
            plain_http=config.allow_plain_http,
            secrets=(*secrets, *(value for _, value, secret in headers if secret)),
        )

    def _basic(self) -> tuple[Secret, Secret] | None:
        given = self.config.basic_auth
        if given is None:
            return None
        name = self.secret("basic_auth.username", given.username, given.username_file)
        return name, self.secret("basic_auth.password", given.password, given.password_file)

    def _authorization(self) -> tuple[str, Secret] | None:
        if self.config.bearer_token_file is not None:
            return "Bearer", SecretFile(self.at(self.config.bearer_token_file))
        given = self.config.authorization
        if given is None:
            return None
        if not _HEADER.fullmatch(given.type):
            raise self.wrong("authorization.type is no name of a scheme, such as Bearer")
        return given.type, self.secret("authorization.credentials", given.credentials, given.credentials_file)

    def _tls(self) -> Tls:
        given = self.config.tls_config
        if (given.cert_file is None) != (given.key_file is None):
            raise self.wrong("tls_config: cert_file and key_file belong together")
        return Tls(
            *(None if name is None else self.at(name) for name in (given.ca_file, given.cert_file, given.key_file))
        )

    def _headers(self) -> Iterator[tuple[str, Secret, bool]]:
        """Yield (name, value, whether it is a secret) of each extra header."""
        for name, header in self.config.http_headers.items():
            if not _HEADER.fullmatch(name) or name.casefold() in _OWN_HEADERS:
                raise self.wrong(f"http_headers: {name!r} cannot be set here")
            if len(header.values) + len(header.secrets) + len(header.files) != 1:
                raise self.wrong(f"http_headers.{name}: give one value, secret or file")
            inline, named = next(iter([*header.values, *header.secrets]), None), next(iter(header.files), None)
            yield name, self.secret(f"http_headers.{name}", inline, named), not header.values


def read_access(file: Path) -> Access:
    """Read the file of `--prometheus-http-config`; relative paths in it are relative to its folder.

    Raises:
        SettingsError: it cannot be read, is not of that form, or a secret in it is open to others. No value is shown.
    """
    check_private(file, FLAG)
    try:
        raw: Any = yaml.safe_load(file.read_text("utf-8"))
        config = _HttpConfig.model_validate({} if raw is None else raw)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{FLAG}: {file} cannot be read as text") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = "" if mark is None else f", line {mark.line + 1}"
        raise SettingsError(f"{FLAG}: {file}{place} is no YAML") from error
    except ValidationError as error:
        raise SettingsError(f"{FLAG}: {file}: {_complaint(error)}") from error
    found = _Document(config, file).access()
    found.sent()
    return found


def _complaint(error: ValidationError) -> str:
    """Return what is wrong, without the values: one of them may be a password."""
    first = error.errors(include_input=False, include_url=False)[0]
    place = ".".join(map(str, first["loc"])) or "the document"
    mend = {
        "extra_forbidden": f"is not known here; known are {', '.join(_HttpConfig.model_fields)}",
        "literal_error": "must be false: a certificate is always checked (name yours with tls_config.ca_file), and a "
        "redirect is never followed",
    }
    return f"{place} {mend.get(first['type'], first['msg'])}"
