"""The four servers by name, and the one that mounts them all. A server's module is imported when it is asked for."""

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from midwatch_mcp.errors import SettingsError
from midwatch_mcp.evidence import EvidenceStore
from midwatch_mcp.server import Part, ToolServer, mount
from midwatch_mcp.settings import ServerSettings

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


def build_all(
    settings: ServerSettings, *, allow_write: bool, names: Sequence[str] = NAMES, foreign: Path | None = None
) -> ToolServer:
    """Return one server that offers the tools of several, `evidence_read` once.

    `foreign` names a file of further servers, whose pinned tools are offered too.

    Raises:
        SettingsError: two have a tool of the same name, or the file cannot be used.
    """
    parts: list[Part] = list(build(settings, allow_write=allow_write, names=names).values())
    if foreign is not None:
        gateway = importlib.import_module("midwatch_mcp.gateway.foreign")
        parts.append(cast("Part", gateway.foreign_part(settings.state, foreign, allow_write=allow_write)))
    return mount("all", parts, settings=settings, evidence=EvidenceStore(settings.state))


def _factory(name: str) -> Factory:
    if name not in FACTORIES:
        raise SettingsError(f"there is no server {name!r}: one of {', '.join(FACTORIES)}")
    module, _, function = FACTORIES[name].partition(":")
    return cast("Factory", getattr(importlib.import_module(module), function))
