"""`kube_top`: what pods or nodes use of CPU and memory, beside what they asked for and may have."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from midwatch_contracts.model import Model
from midwatch_mcp.errors import RefusedError
from midwatch_mcp.kubernetes.quantity import quantity
from midwatch_mcp.kubernetes.room import KubeRoom, at, objects, seconds, text
from midwatch_mcp.shapes import Namespace, Selector
from midwatch_mcp.tool import Answer, tool

_GROUP = "metrics.k8s.io"
_READ = 5_000
_TIGHT = 0.9
"""The share of its memory limit from which a pod is close to being killed."""


class Amount(Model):
    """One resource of one row, in cores or bytes; None where nothing is said."""

    used: float
    request: float | None = None
    limit: float | None = None
    """Of a pod the sum of its containers' limits, None unless all have one; of a node what it can allocate."""
    share: float | None = None
    """used / limit, 0 to 1 and more."""


class TopRow(Model):
    """One pod or node."""

    name: str
    namespace: str | None
    node: str | None
    measured_age_s: float | None
    """How long ago the measurement ended."""
    cpu_cores: Amount
    memory_bytes: Amount


class KubeTopData(Model):
    """The rows, those that use most first."""

    what: Literal["pods", "nodes"]
    rows: list[TopRow]
    total: int
    unmeasured: int
    """Pods or nodes that exist and have no measurement: just started, or not running."""


@tool(
    name="kube_top",
    title="Use of CPU and memory",
    description=(
        "CPU and memory that pods or nodes use at this moment, beside requests and limits, the greatest first. For a "
        "course over time use metrics_range."
    ),
    cluster="cluster-state",
    cost="medium",
    read_only=True,
    destructive=False,
    idempotent=True,
    open_world=False,
)
async def kube_top(
    room: KubeRoom,
    *,
    what: Literal["pods", "nodes"] = "pods",
    namespace: Annotated[Namespace | None, Field(description="of pods; all if left out")] = None,
    label_selector: Selector | None = None,
    sort_by: Annotated[
        Literal["cpu", "memory", "cpu_share", "memory_share"], Field(description="a share is of the limit")
    ] = "cpu",
    limit: Annotated[int, Field(ge=1, le=200)] = 30,
) -> Answer[KubeTopData]:
    """Read measurements and objects at once, and set them side by side."""
    measured = (await room.client.discover()).find(f"{what}.{_GROUP}")
    if measured is None:
        raise RefusedError(
            f"this cluster measures no {what}: it has no {_GROUP} (metrics-server); ask the metrics server, for "
            "example for container_cpu_usage_seconds_total"
        )
    where = namespace if what == "pods" and namespace else ""
    query = {"labelSelector": label_selector, "limit": _READ}
    own = await room.resource(what)
    usage, found = await asyncio.gather(
        room.client.list(measured.path(where), {"labelSelector": label_selector}),
        room.client.list(own.path(where), query),
    )
    specs = {_key(item): item for item in objects(found["items"])}
    rows = [_row(room, what, item, specs.get(_key(item))) for item in objects(usage["items"])]
    rows.sort(key=lambda row: _weight(row, sort_by), reverse=True)
    unmeasured = len(specs.keys() - {_key(item) for item in objects(usage["items"])})
    data = KubeTopData(what=what, rows=rows[:limit], total=len(rows), unmeasured=unmeasured)
    full = data.model_copy(update={"rows": rows})
    return Answer(_summary(data, rows), data, full=full, truncated=len(rows) > limit)


def _key(item: Mapping[str, Any]) -> tuple[str, str]:
    return text(item, "metadata", "namespace"), text(item, "metadata", "name")


def _row(room: KubeRoom, what: str, measured: Mapping[str, Any], spec: Mapping[str, Any] | None) -> TopRow:
    amounts = {name: _amount(what, name, measured, spec) for name in ("cpu", "memory")}
    return TopRow(
        name=text(measured, "metadata", "name"),
        namespace=text(measured, "metadata", "namespace") or None,
        node=text(spec, "spec", "nodeName") or None,
        measured_age_s=room.age(seconds(measured.get("timestamp"))),
        cpu_cores=amounts["cpu"],
        memory_bytes=amounts["memory"],
    )


def _amount(what: str, name: str, measured: Mapping[str, Any], spec: Mapping[str, Any] | None) -> Amount:
    if what == "nodes":
        used = quantity(at(measured, "usage", name)) or 0.0
        request, limit = None, quantity(at(spec, "status", "allocatable", name))
    else:
        used = sum(quantity(at(one, "usage", name)) or 0.0 for one in objects(measured.get("containers")))
        containers = objects(at(spec, "spec", "containers"))
        request = _total(quantity(at(one, "resources", "requests", name)) for one in containers)
        limits = [quantity(at(one, "resources", "limits", name)) for one in containers]
        limit = _total(limits) if limits and None not in limits else None
    return Amount(used=used, request=request, limit=limit, share=used / limit if limit else None)


def _total(amounts: Iterable[float | None]) -> float | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known) if known else None


def _weight(row: TopRow, sort_by: str) -> float:
    amount = row.cpu_cores if sort_by.startswith("cpu") else row.memory_bytes
    return (amount.share or 0.0) if sort_by.endswith("share") else amount.used


def _summary(data: KubeTopData, rows: list[TopRow]) -> str:
    if not rows:
        return f"No {data.what} measured; {data.unmeasured} are there without a measurement."
    cores, memory = sum(row.cpu_cores.used for row in rows), sum(row.memory_bytes.used for row in rows)
    tight = sum((row.memory_bytes.share or 0.0) >= _TIGHT for row in rows)
    said = f"{len(rows)} {data.what} use {cores:.3g} cores and {memory / 2**20:.0f} MiB."
    said += f" {data.unmeasured} have no measurement." if data.unmeasured else ""
    return said + (f" {tight} use 90 % of their memory or more." if tight else "")
