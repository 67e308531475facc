"""Which contexts a server speaks to: read from the kubeconfig at its start, so that a later switch changes nothing.

With several, a tool gets one more argument at binding (`Choice`), and nothing else of it changes.
"""

import importlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from midwatch_mcp.errors import SettingsError
from midwatch_mcp.kubernetes.client import KubeClient
from midwatch_mcp.kubernetes.room import KubeRoom
from midwatch_mcp.server import Closer
from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.tool import Choice

ARGUMENT = "context"
_DESCRIPTION = "cluster"


class Closable(Protocol):
    """A room that lets go of its connections."""

    async def aclose(self) -> None:
        """Close the connections."""
        ...


RoomT = TypeVar("RoomT", bound=Closable)


@dataclass(frozen=True)
class Kubeconfig:
    """What is told of the contexts by the files that kubectl would merge."""

    contexts: tuple[str, ...]
    current: str | None


def read_kubeconfig(kubeconfig: Path | None, environment: Mapping[str, str]) -> Kubeconfig:
    """Return the contexts of a kubeconfig, or of those that `KUBECONFIG` and the home folder name.

    Of files that are missing or broken nothing is told here: the first call says what is wrong with them.
    """
    listed = environment.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())
    files = [kubeconfig] if kubeconfig is not None else [Path(name) for name in listed.split(os.pathsep) if name]
    names: dict[str, None] = {}
    current: str | None = None
    for file in files:
        document = _document(file)
        entries = document.get("contexts")
        for entry in cast("list[Any]", entries) if isinstance(entries, list) else []:
            if isinstance(entry, Mapping) and isinstance(name := cast("Mapping[str, Any]", entry).get("name"), str):
                names.setdefault(name)
        found = document.get("current-context")
        current = current or (found if isinstance(found, str) else None)
    return Kubeconfig(tuple(names), current or None)


def pinned(settings: ServerSettings, contexts: Sequence[str], environment: Mapping[str, str]) -> ServerSettings:
    """Return settings whose contexts are those given, else the settings' own, else the one that is current.

    Raises:
        SettingsError: of several contexts one is given twice, or is not in the kubeconfig.
    """
    wanted = tuple(contexts) or ((settings.context,) if settings.context else ())
    if not wanted:
        return replace(settings, context=read_kubeconfig(settings.kubeconfig, environment).current)
    if len(wanted) == 1:
        return replace(settings, context=wanted[0])
    twice = sorted({name for name in wanted if wanted.count(name) > 1})
    if twice:
        raise SettingsError(f"--context {twice[0]} is given twice: a call could not say which one it means")
    known = read_kubeconfig(settings.kubeconfig, environment).contexts
    missing = [name for name in wanted if name not in known]
    if missing:
        has = ", ".join(known) or "none"
        raise SettingsError(f"the kubeconfig has no context {', '.join(missing)}: it has {has}")
    return replace(settings, context=wanted[0], contexts=wanted)


def rooms(settings: ServerSettings, make: Callable[[KubeRoom], RoomT]) -> tuple[RoomT | Choice, Closer]:
    """Return what tools are bound to, a room or the choice of one by context, and what closes it."""

    def room(context: str | None) -> RoomT:
        return make(KubeRoom(KubeClient(settings.kubeconfig, context, bounds=settings.bounds)))

    if not settings.contexts:
        only = room(settings.context)
        return only, only.aclose
    by_name = {name: room(name) for name in settings.contexts}

    async def close() -> None:
        for each in by_name.values():
            await each.aclose()

    return Choice(ARGUMENT, _DESCRIPTION, by_name), close


def told(settings: ServerSettings, instructions: str) -> str:
    """Return a server's instructions, which clusters there are among them where there are several."""
    if not settings.contexts:
        return instructions
    first, *others = settings.contexts
    return f"{instructions} Clusters by context: {first} (where none is given), {', '.join(others)}."


def _document(file: Path) -> Mapping[str, Any]:
    # The parser costs 30 ms; of the kubernetes server's start it is the only use.
    yaml = importlib.import_module("yaml")
    try:
        found: Any = yaml.safe_load(file.expanduser().read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return cast("Mapping[str, Any]", found) if isinstance(found, Mapping) else {}
