"""`serving_status`: queue, KV cache and preemptions of every replica, read from its own metrics."""

import asyncio
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from midwatch_contracts.model import Model
from midwatch_mcp.errors import ServingError, UpstreamError
from midwatch_mcp.kubernetes.room import at
from midwatch_mcp.serving.exposition import ExposedSample, samples
from midwatch_mcp.serving.replicas import Replica, ServingRoom, ask_all
from midwatch_mcp.serving.vllm import CACHE_INFO
from midwatch_mcp.shapes import Name, Namespace, Outside
from midwatch_mcp.tool import Answer, tool

Url = Annotated[str, Field(max_length=300, description="base URL of one backend, instead of namespace and service")]

RUNNING = "vllm:num_requests_running"
WAITING = "vllm:num_requests_waiting"
PREEMPTIONS = "vllm:num_preemptions_total"
KV_USAGE = ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")
"""The name since vLLM 0.11, then the one before."""


class ServingReplica(Model):
    """One replica; None is `not measured`, never zero."""

    pod: str
    """Name of the pod, or host and port of the URL."""
    reachable: bool
    model: Outside | None = None
    running: float | None = None
    waiting: float | None = None
    kv_cache_usage: float | None = None
    """Fraction of the KV blocks in use."""
    num_gpu_blocks: float | None = None
    block_size: float | None = None
    """Tokens a block."""
    max_num_seqs: float | None = None
    preemptions: float | None = None
    """Since the process started: for a rate, ask metrics_query."""
    version: Outside | None = None
    error: Outside | None = None
    missing: list[str] = Field(default_factory=list)
    """Metrics that this version does not offer."""
    older: list[str] = Field(default_factory=list)
    """Metrics that were read under a name that newer versions no longer have: queries for the new name see nothing."""


class ServingStatusData(Model):
    """All replicas, and what they sum up to."""

    replicas: list[ServingReplica]
    running: float | None
    """Of the replicas that tell; None where none does."""
    waiting: float | None
    max_kv_cache_usage: float | None
    reachable: int
    total: int


@tool(
    name="serving_status",
    title="State of the serving replicas",
    description=(
        "Running and waiting requests, KV-cache usage, blocks, limits and preemptions of every replica behind a "
        "Service, read from the replicas themselves at this moment."
    ),
    cluster="serving",
    cost="medium",
    read_only=True,
    destructive=False,
    idempotent=True,
    open_world=True,
)
async def serving_status(
    room: ServingRoom, namespace: Namespace | None = None, service: Name | None = None, url: Url | None = None
) -> Answer[ServingStatusData]:
    """Ask every replica for its metrics, version and configuration."""
    replicas = await room.replicas(namespace, service, url)
    answers = await ask_all(replicas, _status)
    shown = [
        ServingReplica(pod=replica.name, reachable=False, error=str(answer))
        if isinstance(answer, UpstreamError)
        else answer
        for replica, answer in zip(replicas, answers, strict=True)
    ]
    usages = [entry.kv_cache_usage for entry in shown if entry.kv_cache_usage is not None]
    data = ServingStatusData(
        replicas=shown,
        running=_total([entry.running for entry in shown]),
        waiting=_total([entry.waiting for entry in shown]),
        max_kv_cache_usage=max(usages, default=None),
        reachable=sum(entry.reachable for entry in shown),
        total=len(shown),
    )
    return Answer(_summary(data), data)


def _summary(data: ServingStatusData) -> str:
    kv = "not measured" if data.max_kv_cache_usage is None else f"{data.max_kv_cache_usage:.0%} at most"
    text = (
        f"{data.reachable} of {data.total} replicas answer: {_count(data.running)} requests run, "
        f"{_count(data.waiting)} wait, KV cache {kv}."
    )
    silent = sum(entry.reachable and entry.running is None for entry in data.replicas)
    text += f" {silent} of them do not tell how many requests run: see missing." if silent else ""
    versions = {entry.version for entry in data.replicas if entry.version is not None}
    text += f" They are of {len(versions)} versions." if len(versions) > 1 else ""
    return text + (" Some metrics have names of an older version." if any(one.older for one in data.replicas) else "")


def _total(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _count(value: float | None) -> str:
    return "not measured how many" if value is None else f"{value:.0f}"


async def _status(replica: Replica) -> ServingReplica:
    page, limit, version = await asyncio.gather(replica.get("/metrics"), _limit(replica), _version(replica))
    exposed = list(samples(page.content.decode("utf-8", errors="replace")))
    if not exposed:
        raise ServingError(f"GET /metrics answered no metrics: {page.shown()}")
    usage = next((name for name in KV_USAGE if any(s.name == name for s in exposed)), KV_USAGE[0])
    cache = next((s.labels for s in exposed if s.name == CACHE_INFO), None)
    names = (RUNNING, WAITING, PREEMPTIONS, CACHE_INFO, usage)
    return ServingReplica(
        pod=replica.name,
        reachable=True,
        model=next((s.labels["model_name"] for s in exposed if "model_name" in s.labels), None),
        running=_sum(exposed, RUNNING),
        waiting=_sum(exposed, WAITING),
        kv_cache_usage=max((s.value for s in exposed if s.name == usage), default=None),
        num_gpu_blocks=_number(cache, "num_gpu_blocks"),
        block_size=_number(cache, "block_size"),
        max_num_seqs=limit,
        preemptions=_sum(exposed, PREEMPTIONS),
        version=version,
        missing=[name for name in names if all(s.name != name for s in exposed)],
        older=[name for name in KV_USAGE[1:] if name == usage],
    )


def _sum(exposed: list[ExposedSample], name: str) -> float | None:
    """Return the sum over a replica's engines, or None where the metric is not there."""
    values = [s.value for s in exposed if s.name == name]
    return sum(values) if values else None


def _number(labels: Mapping[str, str] | None, name: str) -> float | None:
    try:
        return float((labels or {}).get(name, ""))
    except ValueError:
        return None


async def _limit(replica: Replica) -> float | None:
    """Return `max_num_seqs`, where the backend tells its configuration."""
    try:
        values = (await replica.get("/admin/config")).json().get("values")
    except UpstreamError:
        # vLLM has no such resource: then the limit is not measured, which None says.
        return None
    found = at(values, "max_num_seqs")
    return float(found) if isinstance(found, int | float) else None


async def _version(replica: Replica) -> str | None:
    try:
        found = (await replica.get("/version")).json().get("version")
    except UpstreamError:
        # Not every backend tells its version; None says so.
        return None
    return found if isinstance(found, str) else None
