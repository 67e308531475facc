"""The configuration as a versioned resource (CONTRACTS §8): conditional changes, so that one can be undone.

Values live in this process; with a store (`--config-store FILE`) they outlast it, and win over the arguments at the
next start. A name that is set back to null takes the value of its argument again.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from midwatch_serving.attention import SPAN
from midwatch_serving.errors import ConfigError

Values = dict[str, int]


@dataclass(frozen=True)
class Setting:
    """One name under vLLM's spelling; `live` ones act at once, the others at the next start."""

    name: str
    minimum: int
    maximum: int
    live: bool = False

    def check(self, value: Any) -> int:
        """Return the value, or raise ConfigError."""
        if not isinstance(value, int) or isinstance(value, bool):
            raise ConfigError(self.name, f"{value!r} is no whole number")
        if not self.minimum <= value <= self.maximum:
            raise ConfigError(self.name, f"{value} is outside {self.minimum} to {self.maximum}")
        return value


SETTINGS = {
    setting.name: setting
    for setting in (
        Setting("max_num_seqs", 1, 1024, live=True),
        Setting("max_num_batched_tokens", 1, 65536, live=True),
        Setting("num_gpu_blocks_override", 1, 65536),
        Setting("block_size", 1, SPAN),
        Setting("max_model_len", 2, 16384),
    )
}


def check_values(values: Mapping[str, Any]) -> Values:
    """Check each value and how they fit each other; return them.

    Raises:
        ConfigError: names the field and the reason.
    """
    checked = {name: SETTINGS[name].check(value) for name, value in values.items()}
    if SPAN % checked["block_size"]:
        raise ConfigError(
            "block_size", f"{checked['block_size']} does not divide {SPAN}: take 1, 2, 4, 8, 16, 32 or 64"
        )
    if checked["max_num_batched_tokens"] < checked["max_num_seqs"]:
        raise ConfigError(
            "max_num_batched_tokens",
            f"{checked['max_num_batched_tokens']} is less than max_num_seqs ({checked['max_num_seqs']}): "
            "each running sequence needs a token a step",
        )
    return checked


@dataclass(frozen=True)
class Snapshot:
    """The resource as a client sees it."""

    version: int
    values: Values
    restart_required: list[str]

    @property
    def etag(self) -> str:
        """The entity tag of this version."""
        return f'"{self.version}"'

    def body(self) -> dict[str, Any]:
        """Return the JSON body."""
        return {"version": self.version, "values": self.values, "restart_required": self.restart_required}


class ConfigResource:
    """Holds the stored values, and which of them are in force."""

    def __init__(self, arguments: Values, *, apply: Callable[[Values], None], store: Path | None = None) -> None:
        """`arguments` are the values given at the start; `apply` puts the live ones in force.

        Raises:
            ConfigError: when a value, or the store, is not acceptable.
        """
        self._arguments = check_values(arguments)
        self._apply = apply
        self._store = store
        version, stored = _read(store)
        self._started = check_values(self._arguments | stored)
        self._current = Snapshot(version, dict(self._started), [])

    @property
    def current(self) -> Snapshot:
        """The resource as it is."""
        return self._current

    def patch(self, changes: Mapping[str, Any], *, dry_run: bool = False) -> Snapshot:
        """Change values (None takes the argument's value again) and return the result; all of them or none.

        A change that changes nothing keeps the version. With `dry_run` the result is returned and nothing happens.

        Raises:
            ConfigError: when a name is unknown or a value is not acceptable.
        """
        for name in changes:
            if name not in SETTINGS:
                raise ConfigError(name, f"no such setting: one of {', '.join(SETTINGS)}")
        replaced = {name: self._arguments[name] if value is None else value for name, value in changes.items()}
        values = check_values(self._current.values | replaced)
        if values == self._current.values:
            return self._current
        waiting = [n for n, s in SETTINGS.items() if not s.live and values[n] != self._started[n]]
        result = Snapshot(self._current.version + 1, values, waiting)
        if not dry_run:
            self._write(result)
            self._current = result
            self._apply({name: value for name, value in values.items() if SETTINGS[name].live})
        return result

    def _write(self, snapshot: Snapshot) -> None:
        """Write the store whole or not at all: a name that equals its argument is left to the argument."""
        if self._store is None:
            return
        kept = {n: v for n, v in snapshot.values.items() if v != self._arguments[n]}
        temporary = self._store.with_name(self._store.name + ".new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({"version": snapshot.version, "values": kept}, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._store)


def _read(store: Path | None) -> tuple[int, Values]:
    if store is None or not store.exists():
        return 1, {}
    try:
        data = json.loads(store.read_text("utf-8"))
        version, values = int(data["version"]), cast("dict[str, Any]", dict(data["values"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError("config_store", f"{store} is no configuration store ({error}): mend or remove it") from error
    for name in values:
        if name not in SETTINGS:
            raise ConfigError("config_store", f"{store} holds the unknown setting {name}: mend or remove it")
    return version, values
