"""The file that names foreign servers, in the form that MCP hosts share: `{"mcpServers": {NAME: {...}}}`.

A server is a command (`command`, `args`, `env`, `cwd`) or a URL (`url`, `headers`). `${NAME}` in a value of `env` or
`headers` is taken from the environment, so that no secret need stand in the file. A command gets nothing of the
environment but what is given, and HOME, PATH and their like.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import orjson
from pydantic import Field, ValidationError, model_validator

from midwatch_contracts.canonical import sha256_hex
from midwatch_contracts.model import Model
from midwatch_mcp.errors import SettingsError

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
_PLAIN = re.compile(r"[A-Za-z0-9_@%+=:,./-]+")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class ForeignServer(Model):
    """How one server is started or reached."""

    command: str | None = None
    args: list[str] = Field(default_factory=list)
    env: dict[str, str] = Field(default_factory=dict)
    cwd: str | None = None
    url: str | None = None
    headers: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_way(self) -> "ForeignServer":
        if (self.command is None) == (self.url is None):
            raise ValueError("give either command or url")
        if self.url is not None and not self.url.startswith(("https://", "http://127.0.0.1", "http://localhost")):
            raise ValueError("url must be https, or http on this machine")
        return self

    @property
    def sha256(self) -> str:
        """What a pin binds: everything as it stands in the file, variables by name."""
        return sha256_hex(self.model_dump())

    @property
    def shown(self) -> str:
        """The command line or URL as a person is shown it, with the names of what is set beside it."""
        what, noun, named = " ".join(map(_quoted, self._words)), "environment", self.env
        if self.url is not None:
            what, noun, named = self.url, "headers", self.headers
        return f"{what} ({noun}: {', '.join(sorted(named))})" if named else what

    @property
    def _words(self) -> list[str]:
        return [self.command or "", *self.args]


def _quoted(word: str) -> str:
    """Return a word of a command line so that nobody can hide in it: anything odd stands quoted and escaped."""
    return word if _PLAIN.fullmatch(word) else ascii(word)


def read_servers(file: Path) -> dict[str, ForeignServer]:
    """Read the servers of a file, by name.

    Raises:
        SettingsError: names the server and the field at fault.
    """
    try:
        raw: Any = orjson.loads(file.read_bytes())
    except OSError as error:
        raise SettingsError(f"--mcp-config: {file} cannot be read: {error.strerror}") from error
    except orjson.JSONDecodeError as error:
        raise SettingsError(f"--mcp-config: {file} is no JSON: {error}") from error
    listed = cast("dict[str, Any]", raw).get("mcpServers") if isinstance(raw, dict) else None
    if not isinstance(listed, dict):
        raise SettingsError(f'--mcp-config: {file} has no "mcpServers": write {{"mcpServers": {{"name": {{...}}}}}}')
    servers: dict[str, ForeignServer] = {}
    for name, entry in cast("dict[str, Any]", listed).items():
        if not _NAME.fullmatch(name):
            raise SettingsError(f"{file}: {name!r} is no name of a server: lower-case letters, digits, - and _")
        try:
            servers[name] = ForeignServer.model_validate(entry)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise SettingsError(f"{file}, server {name}{f', {place}' if place else ''}: {first['msg']}") from error
    return servers


def filled(values: Mapping[str, str], environment: Mapping[str, str], where: str) -> dict[str, str]:
    """Return values with their `${NAME}` replaced.

    Raises:
        SettingsError: names a variable that is not set.
    """

    def replace(found: re.Match[str]) -> str:
        value = environment.get(found[1])
        if value is None:
            raise SettingsError(f"{where}: the environment has no {found[1]}: set it before you start")
        return value

    return {name: _VARIABLE.sub(replace, value) for name, value in values.items()}
