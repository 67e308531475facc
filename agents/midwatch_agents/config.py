"""The configuration in layers (CONTRACTS §10): flags, `MIDWATCH_*`, `./midwatch.toml`, the user's file, defaults.

One frozen `Settings` comes out, with the origin of every value. Paths in a file are relative to that file, paths in
flags and variables to the working directory. A file that is there and wrong stops the command: a setting that is
dropped in silence would be read as obeyed.
"""

import difflib
import json
import os
import stat
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import platformdirs

from midwatch_agents.errors import ConfigError
from midwatch_contracts.command import Settings

KEYS = ("state", "kubeconfig", "context", "prometheus", "prometheus_http_config", "lab", "policy", "guides")
"""The configuration's keys, under one name in flags (`--kubeconfig`), variables (`MIDWATCH_KUBECONFIG`) and files."""

_CREDENTIALS = "prometheus_http_config"

LAB_FILE = "lab.json"
LAB_HERE = ""
"""Value of a bare `--lab`: the lab in its default folder, `<state>/lab`."""


@dataclass(frozen=True)
class _Value:
    raw: Any
    origin: str
    base: Path
    """What a relative path is relative to."""


def load_settings(flags: Mapping[str, Any], environ: Mapping[str, str], cwd: Path) -> Settings:
    """Return the settings; `flags` holds only the flags that were given, by key.

    Raises:
        ConfigError: a file does not parse, has an unknown key, or a value has the wrong type.
    """
    values: dict[str, _Value] = {}
    typed = {key: _Value(flags[key], "flag", cwd) for key in KEYS if flags.get(key) is not None}
    files = [_from_file(file) for file in (_user_file(environ), cwd / "midwatch.toml")]
    for layer in (*files, _from_environment(environ, cwd), typed):
        kept = _other_endpoint(values, layer) if "prometheus" in layer else {}
        values |= kept | layer
    return _settled(values)


def _other_endpoint(values: Mapping[str, _Value], layer: Mapping[str, _Value]) -> dict[str, _Value]:
    """Take back credentials of a lower layer where a higher one names the endpoint: they were meant for another."""
    below = values.get(_CREDENTIALS)
    if below is None or below.raw is None:
        return {}
    url = layer["prometheus"]
    why = f"not used: {below.origin} meant another prometheus than {url.origin}"
    return {_CREDENTIALS: _Value(None, why, url.base)}


def _user_file(environ: Mapping[str, str]) -> Path:
    """Return the user's configuration file; `XDG_CONFIG_HOME` is honoured where platformdirs would read it."""
    base = environ.get("XDG_CONFIG_HOME")
    folder = Path(base) / "midwatch" if base else platformdirs.user_config_path("midwatch", appauthor=False)
    return folder / "config.toml"


def _from_file(path: Path) -> dict[str, _Value]:
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    try:
        table = tomllib.loads(text.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: no TOML: {error}") from error
    for key in table:
        if key not in KEYS:
            near = difflib.get_close_matches(key, KEYS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(KEYS)}"
            raise ConfigError(f"{path}: unknown key {key!r}: {hint}")
    return {key: _checked(key, raw, path) for key, raw in table.items()}


def _checked(key: str, raw: Any, path: Path) -> _Value:
    if key == "guides":
        fits = isinstance(raw, list) and all(isinstance(item, str) and item for item in cast("list[Any]", raw))
        wanted = "a list of folders"
    elif key == "lab":
        fits, wanted = raw is True or raw is False or (isinstance(raw, str) and raw != ""), "a folder, or true"
    else:
        fits, wanted = isinstance(raw, str) and raw != "", "text"
    if not fits:
        raise ConfigError(f"{path}: {key} must be {wanted}, not {json.dumps(raw, default=str)}")
    if key == "lab" and isinstance(raw, bool):
        raw = LAB_HERE if raw else None
    return _Value(raw, str(path), path.parent)


def _from_environment(environ: Mapping[str, str], cwd: Path) -> dict[str, _Value]:
    found: dict[str, _Value] = {}
    for key in KEYS:
        name = "MIDWATCH_" + key.upper()
        raw = environ.get(name)
        if not raw:
            continue
        found[key] = _Value([part for part in raw.split(os.pathsep) if part] if key == "guides" else raw, name, cwd)
    return found


def _settled(values: Mapping[str, _Value]) -> Settings:
    origins: dict[str, str] = dict.fromkeys(KEYS, "default")
    origins |= {key: value.origin for key, value in values.items()}

    def path(key: str) -> Path | None:
        value = values.get(key)
        return None if value is None or value.raw is None else _resolved(value.base, value.raw)

    def text(key: str) -> str | None:
        value = values.get(key)
        return None if value is None else str(value.raw)

    state = path("state") or platformdirs.user_state_path("midwatch", appauthor=False)
    lab = path("lab")
    if lab is not None and values["lab"].raw == LAB_HERE:
        lab = state / "lab"
    kubeconfig, prometheus = path("kubeconfig"), text("prometheus")
    credentials = path(_CREDENTIALS)
    if lab is not None:
        if prometheus is None and credentials is not None:
            credentials, origins[_CREDENTIALS] = None, "not used: a lab's metrics need none"
        kubeconfig, prometheus = _from_lab(lab, kubeconfig, prometheus, origins)
    guides = values.get("guides")
    return Settings(
        state=state,
        kubeconfig=kubeconfig,
        kube_context=text("context"),
        prometheus=prometheus,
        prometheus_http_config=credentials,
        lab=lab,
        policy=path("policy"),
        guides=tuple(_resolved(guides.base, item) for item in guides.raw) if guides else (),
        origins=tuple(origins.items()),
    )


def _resolved(base: Path, raw: str) -> Path:
    return Path(os.path.abspath(base / Path(raw).expanduser()))  # noqa: PTH100 (keeps symlinks, as the user wrote them)


def _from_lab(
    lab: Path, kubeconfig: Path | None, prometheus: str | None, origins: dict[str, str]
) -> tuple[Path | None, str | None]:
    """Fill what was not set from the lab's `lab.json`.

    A lab that is named but not up must not fall back to the user's own cluster, so its kubeconfig then stays a path
    in the lab's folder that does not exist.
    """
    file = lab / LAB_FILE
    try:
        facts = cast("dict[str, Any]", json.loads(file.read_text("utf-8")))
    except FileNotFoundError:
        facts = {"midwatch_kubeconfig": str(lab / "midwatch.kubeconfig"), "prometheus": None}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}; stop that lab and start it again") from error
    if kubeconfig is None:
        kubeconfig, origins["kubeconfig"] = Path(str(facts["midwatch_kubeconfig"])), str(file)
    if prometheus is None and facts.get("prometheus"):
        prometheus, origins["prometheus"] = str(facts["prometheus"]), str(file)
    return kubeconfig, prometheus


def shown(settings: Settings) -> dict[str, tuple[str | list[str] | None, str]]:
    """Return (value, origin) by key, as `midwatch config show` prints them."""
    readers: dict[str, Callable[[], Any]] = {
        "state": lambda: settings.state,
        "kubeconfig": lambda: settings.kubeconfig,
        "context": lambda: settings.kube_context,
        "prometheus": lambda: None if settings.prometheus is None else _without_user(settings.prometheus),
        _CREDENTIALS: lambda: settings.prometheus_http_config,
        "lab": lambda: settings.lab,
        "policy": lambda: settings.policy,
        "guides": lambda: [str(folder) for folder in settings.guides],
    }
    origins = dict(settings.origins)
    values = {key: read() for key, read in readers.items()}
    return {
        key: (value if value is None or isinstance(value, list) else str(value), origins.get(key, "default"))
        for key, value in values.items()
    }


def _without_user(url: str) -> str:
    """Return a URL that shows no password that somebody put into it."""
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"[redacted]@{host}").geturl() if user and at else url


def prepare_state(state: Path) -> None:
    """Make the state folder (0700) where it is missing.

    Raises:
        ConfigError: it is no folder, belongs to somebody else, or others may read it.
    """
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = state.stat()
    except OSError as error:
        raise ConfigError(f"the state folder {state} cannot be made: {error.strerror}; set MIDWATCH_STATE") from error
    if facts.st_uid != os.geteuid():
        raise ConfigError(f"the state folder {state} belongs to another user: set MIDWATCH_STATE to one of your own")
    if stat.S_IMODE(facts.st_mode) & 0o077:
        if any(state.iterdir()):
            raise ConfigError(
                f"the state folder {state} is open to others; if it is Midwatch's alone: chmod 700 {state}"
            )
        state.chmod(0o700)
