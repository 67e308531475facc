"""What a namespace, a kind or a name may be: names alone, by a Table without objects (also of Secrets)."""

from collections.abc import Mapping
from typing import Any, TypeVar

from midwatch_mcp.completion import Completions, Found, Heavy
from midwatch_mcp.kubernetes.connection import CLIENT, Bounds
from midwatch_mcp.kubernetes.room import KubeRoom, objects, text
from midwatch_mcp.tool import Choice

RoomT = TypeVar("RoomT")
_MOST = 2_000
"""Names that are read to choose from."""


def chosen(room: Any, kind: type[RoomT]) -> dict[str, RoomT]:
    """Return the rooms of a server by context, the one where none is given first; of a single one the name is empty."""
    found = room.rooms if isinstance(room, Choice) else {"": room}
    return {name: one for name, one in found.items() if isinstance(one, kind)}


def completions(rooms: Mapping[str, KubeRoom], bounds: Bounds) -> Completions:
    """Return what completes the arguments of a cluster, within the bounds of its client."""

    def room(others: Mapping[str, str]) -> KubeRoom:
        return rooms.get(others.get("context", "")) or next(iter(rooms.values()))

    async def context(_others: Mapping[str, str]) -> Found:
        return Found([name for name in rooms if name])

    async def namespace(others: Mapping[str, str]) -> Found:
        return Found(sorted(bounds.namespaces)) if bounds.namespaces else await _names(room(others), "Namespace", "")

    async def kind(others: Mapping[str, str]) -> Found:
        found = (await room(others).client.discover()).resources
        return Found(list(dict.fromkeys(resource.kind for resource in found if "list" in resource.verbs)))

    async def name(others: Mapping[str, str]) -> Found:
        return await _names(room(others), others.get("kind", ""), others.get("namespace", ""))

    async def service(others: Mapping[str, str]) -> Found:
        return await _names(room(others), "Service", others.get("namespace", ""))

    asks: Completions = {"namespace": namespace, "kind": kind, "name": name, "service": service}
    return {"context": context, **{argument: Heavy(ask, CLIENT) for argument, ask in asks.items()}}


async def _names(room: KubeRoom, kind: str, namespace: str) -> Found:
    if not kind:
        return Found(())
    resource = await room.resource(kind)
    table = await room.client.table(resource.path(namespace), {"includeObject": "None", "limit": _MOST})
    rows = objects(table.get("rows"))
    names = [str(row["cells"][0]) for row in rows if row.get("cells")]
    return Found(names, more=bool(text(table, "metadata", "continue")))
