"""The four servers by name, and the one that mounts them all. A server's module is imported when it is asked for."""

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from midwatch_contracts.command import Settings
from midwatch_mcp.errors import SettingsError
from midwatch_mcp.evidence import EvidenceStore
from midwatch_mcp.server import Part, ToolServer, mount
from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.shelf import Shelf
from midwatch_mcp.toolsets import narrowed

Factory = Callable[[ServerSettings, EvidenceStore, bool], ToolServer]
"""`(settings, evidence, allow_write) -> server`."""

FACTORIES: dict[str, str] = {
    "kubernetes": "midwatch_mcp.kubernetes.server:build",
    "metrics": "midwatch_mcp.metrics.server:build",
    "serving": "midwatch_mcp.serving.server:build",
    "changes": "midwatch_mcp.changes.server:build",
}
NAMES = tuple(FACTORIES)


def build(settings: ServerSettings, *, allow_write: bool, names: Sequence[str] = NAMES) -> dict[str, ToolServer]:
    """Return the servers of these names, which share one evidence store.

    Raises:
        SettingsError: for a name that is none.
    """
    evidence = EvidenceStore(settings.state)
    return {name: _factory(name)(settings, evidence, allow_write) for name in names}


def parts_of(
    settings: ServerSettings, *, allow_write: bool, names: Sequence[str] = NAMES, foreign: Path | None = None
) -> dict[str, Part]:
    """Return what can be mounted, by name: our servers, and under `foreign` the pinned tools of the file of that name.

    Raises:
        SettingsError: the file cannot be used.
    """
    parts: dict[str, Part] = dict(build(settings, allow_write=allow_write, names=names))
    if foreign is not None:
        gateway = importlib.import_module("midwatch_mcp.gateway.foreign")
        parts["foreign"] = cast("Part", gateway.foreign_part(settings.state, foreign, allow_write=allow_write))
    return parts


def build_all(
    settings: ServerSettings,
    *,
    allow_write: bool,
    names: Sequence[str] = NAMES,
    foreign: Path | None = None,
    toolsets: Sequence[str] | None = None,
) -> ToolServer:
    """Return one server that offers the tools of several, `evidence_read` once, and the documents of other packages.

    `foreign` names a file of further servers, whose pinned tools are offered too. `toolsets` keeps the tools that its
    names stand for.

    Raises:
        SettingsError: two have a tool of the same name, the file cannot be used, or there is no such toolset.
    """
    parts = parts_of(settings, allow_write=allow_write, names=names, foreign=foreign)
    chosen = list(parts.values()) if toolsets is None else narrowed(parts, toolsets)
    shelf = Shelf.discovered(Settings(state=settings.state, guides=settings.guides))
    return mount("all", chosen, settings=settings, evidence=EvidenceStore(settings.state), shelf=shelf)


def _factory(name: str) -> Factory:
    if name not in FACTORIES:
        raise SettingsError(f"there is no server {name!r}: one of {', '.join(FACTORIES)}")
    module, _, function = FACTORIES[name].partition(":")
    return cast("Factory", getattr(importlib.import_module(module), function))
