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

from midwatch_serving.errors import ConfigError
from midwatch_serving.settings import SETTINGS, Values, check_values


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
        self._check_in_force(values)
        waiting = [n for n, s in SETTINGS.items() if not s.live and values[n] != self._started[n]]
        result = Snapshot(self._current.version + 1, values, waiting)
        if not dry_run:
            self._write(result)
            self._current = result
            self._apply({name: value for name, value in values.items() if SETTINGS[name].live})
        return result

    def _check_in_force(self, values: Values) -> None:
        """Check that live values fit those that hold until the restart, too."""
        in_force = {name: values[name] if SETTINGS[name].live else value for name, value in self._started.items()}
        try:
            check_values(in_force)
        except ConfigError as error:
            raise ConfigError(error.field, f"{error.reason} (until the restart)") from error

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
