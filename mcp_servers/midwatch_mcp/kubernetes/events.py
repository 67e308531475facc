"""`kube_events`: what the cluster says has happened, newest first."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from midwatch_contracts.model import Model
from midwatch_mcp.kubernetes.room import KubeRoom, at, count, entity, objects, presented, seconds, text
from midwatch_mcp.shapes import Kind, Name, Namespace, Outside
from midwatch_mcp.tool import Answer, tool

_READ = 1_000


class KubeEvent(Model):
    """One event, or several alike that the cluster has folded into one."""

    at_s: float | None
    """Last time seen, Unix seconds."""
    age_s: float | None
    type: str
    reason: Outside
    object: str
    message: Outside
    count: int
    source: Outside


class KubeEventsData(Model):
    """Events, newest first."""

    events: list[KubeEvent]
    total: int
    warnings: int


@tool(
    name="kube_events",
    title="Events",
    description="Events of a namespace or of one object, newest first: scheduling, probes, restarts, scaling.",
    cluster="logs",
    cost="low",
    read_only=True,
    destructive=False,
    idempotent=True,
    open_world=False,
)
async def kube_events(
    room: KubeRoom,
    namespace: Annotated[Namespace | None, Field(description="all namespaces if left out")] = None,
    kind: Kind | None = None,
    name: Name | None = None,
    limit: Annotated[int, Field(ge=1, le=500)] = 50,
) -> Answer[KubeEventsData]:
    """Read events by field selector."""
    exact = (await room.resource(kind)).kind if kind else None
    events = await events_of(room, namespace, exact, name)
    warnings = sum(event.type == "Warning" for event in events)
    shown = events[:limit]
    about = f" of {entity(exact or '*', namespace or '*', name or '*')}" if exact or name else ""
    summary = f"{len(events)} events{about}, {warnings} of them warnings."
    return Answer(
        summary if len(shown) == len(events) else f"{summary} Shown: the newest {len(shown)}.",
        KubeEventsData(events=shown, total=len(events), warnings=warnings),
        full={"events": events},
        truncated=len(shown) < len(events),
    )


async def events_of(
    room: KubeRoom, namespace: str | None, kind: str | None = None, name: str | None = None, uid: str | None = None
) -> list[KubeEvent]:
    """Return the events about an object, newest first."""
    about = {"involvedObject.kind": kind, "involvedObject.name": name, "involvedObject.uid": uid}
    selector = ",".join(f"{field}={value}" for field, value in about.items() if value)
    path = f"/api/v1/namespaces/{namespace}/events" if namespace else "/api/v1/events"
    found = await room.client.list(path, {"fieldSelector": selector or None, "limit": _READ})
    # Times have whole seconds: of several events in one, the later written is the newer.
    written = sorted(objects(found["items"]), key=_version, reverse=True)
    return sorted(
        (_event(room, presented(item)) for item in written), key=lambda event: event.at_s or 0.0, reverse=True
    )


def _version(item: Mapping[str, Any]) -> int:
    version = text(item, "metadata", "resourceVersion")
    return int(version) if version.isdecimal() else 0


def _event(room: KubeRoom, item: Mapping[str, Any]) -> KubeEvent:
    last = next(
        (
            moment
            for moment in (
                seconds(at(item, "series", "lastObservedTime")),
                seconds(item.get("lastTimestamp")),
                seconds(item.get("eventTime")),
                seconds(item.get("firstTimestamp")),
                seconds(at(item, "metadata", "creationTimestamp")),
            )
            if moment is not None
        ),
        None,
    )
    about = item.get("involvedObject")
    return KubeEvent(
        at_s=last,
        age_s=room.age(last),
        type="Warning" if item.get("type") == "Warning" else "Normal",
        reason=str(item.get("reason") or ""),
        object=entity(str(at(about, "kind") or ""), str(at(about, "namespace") or ""), str(at(about, "name") or "")),
        message=str(item.get("message") or ""),
        count=max(count(at(item, "series", "count")), count(item.get("count")), 1),
        source=str(item.get("reportingComponent") or at(item, "source", "component") or ""),
    )
