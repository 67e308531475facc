"""Which containers' logs are meant, and reading them at once, within bounds; one that fails stops no other."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from midwatch_mcp.errors import KubeError, RefusedError, UnreachableError
from midwatch_mcp.kubernetes.discovery import Resource
from midwatch_mcp.kubernetes.log_entries import Entry, entries_of
from midwatch_mcp.kubernetes.room import (
    KubeRoom,
    at,
    count,
    entity,
    mapping,
    objects,
    owned_by,
    ready,
    selector_text,
    text,
)

MAX_PODS = 20
_MAX_CONTAINERS = 40
_PODS_LISTED = 2_000
_TOGETHER = 8
_LINES, _ALL_LINES = 5_000, 20_000
"""Lines that are read of one container, and of all together."""
_BYTES, _ALL_BYTES = 1_000_000, 8_000_000
_TRIES = 3
_WORKLOAD = re.compile(r"[A-Za-z][A-Za-z0-9.-]{0,120}/[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")


@dataclass(frozen=True)
class Wanted:
    """What a caller asked for: one pod, or the pods of something."""

    namespace: str
    pod: str | None
    of: str | None
    """`Kind/name`, or a label selector."""


@dataclass(frozen=True)
class Pods:
    """The pods that are meant, those that need attention first."""

    of: str
    """What they belong to, as an entity."""
    found: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Source:
    """One container of one pod."""

    pod: str
    container: str


@dataclass(frozen=True)
class Taken:
    """What was read of one container: its entries, or why there are none."""

    source: Source
    entries: list[Entry]
    lines: int = 0
    why: str | None = None


async def pods_of(room: KubeRoom, wanted: Wanted) -> Pods:
    """Find the pods.

    Raises:
        RefusedError: neither or both are given, or it names no pods.
    """
    if (wanted.pod is None) == (wanted.of is None):
        raise RefusedError("whose logs? give pod, or of: Deployment/chat, Service/chat, or labels such as app=chat")
    resource = await room.resource("Pod")
    if wanted.of is None:
        found = await room.client.get(resource.path(wanted.namespace, wanted.pod or ""))
        return Pods(entity("Pod", wanted.namespace, wanted.pod or ""), (found,))
    if _WORKLOAD.fullmatch(wanted.of):
        selector, of = await _selector(room, wanted.namespace, wanted.of)
    else:
        selector, of = wanted.of, entity("Pod", wanted.namespace, "*")
    query = {"labelSelector": selector, "limit": _PODS_LISTED}
    listed = objects((await room.client.list(resource.path(wanted.namespace), query))["items"])
    if not listed:
        raise RefusedError(f"no pod of {of} is there: nothing in {wanted.namespace} carries the labels {selector}")
    return Pods(of, tuple(sorted(listed, key=_attention)))


async def _selector(room: KubeRoom, namespace: str, workload: str) -> tuple[str, str]:
    kind, _, name = workload.partition("/")
    resource = await room.resource(kind)
    found = await room.client.get(resource.path(namespace, name))
    of = entity(resource.kind, namespace, name)
    if resource.kind == "Pod":
        raise RefusedError(f"for one pod give pod={name}")
    if resource.kind == "CronJob":
        return await _jobs(room, namespace, str(at(found, "metadata", "uid"))), of
    selector = selector_text(mapping(found, "spec", "selector")) or text(found, "status", "selector")
    if not selector:
        raise RefusedError(
            f"{of} selects no pods by labels: give of=labels such as app=chat, or a pod that kube_list shows"
        )
    return selector, of


async def _jobs(room: KubeRoom, namespace: str, uid: str) -> str:
    jobs: Resource = await room.resource("Job")
    listed = objects((await room.client.list(jobs.path(namespace)))["items"])
    names = [text(job, "metadata", "name") for job in listed if owned_by(job, uid)]
    if not names:
        raise RefusedError("this CronJob has no Jobs at present: see its events with kube_describe")
    return f"batch.kubernetes.io/job-name in ({','.join(names)})"


def _attention(pod: Mapping[str, Any]) -> tuple[bool, int, str]:
    """Sort what is not ready first, then what restarted most."""
    statuses = objects(at(pod, "status", "containerStatuses"))
    restarts = sum(count(status.get("restartCount")) for status in statuses)
    return ready(pod) or at(pod, "status", "phase") == "Succeeded", -restarts, text(pod, "metadata", "name")


def sources_of(pods: Sequence[Mapping[str, Any]], container: str | None, *, previous: bool) -> list[Source]:
    """Return the containers whose logs are meant: the one of that name, else all that serve and the init containers
    that did not end well; with `previous` those that ran before.

    Raises:
        RefusedError: there is none; the message names those that there are.
    """
    found: list[Source] = []
    known: dict[str, None] = {}
    for pod in pods:
        restarts = _restarts(pod)
        for name, chosen in _containers(pod, container).items():
            known.setdefault(name)
            if chosen and (not previous or restarts.get(name)):
                found.append(Source(text(pod, "metadata", "name"), name))
    if found:
        return found[:_MAX_CONTAINERS]
    if container is not None and container not in known:
        raise RefusedError(f"no container {container!r}: there are {', '.join(known) or 'none'}")
    raise RefusedError("no container has restarted, so there is no previous log: leave previous out")


def _containers(pod: Mapping[str, Any], container: str | None) -> dict[str, bool]:
    """Return the containers of a pod by name, and whether their log is meant."""
    unfinished = {
        text(status, "name")
        for status in objects(at(pod, "status", "initContainerStatuses"))
        if at(status, "state", "terminated", "exitCode") != 0 and not status.get("started")
    }
    chosen: dict[str, bool] = {}
    for part in ("initContainers", "containers", "ephemeralContainers"):
        for item in objects(at(pod, "spec", part)):
            name = text(item, "name")
            chosen[name] = name == container if container else part == "containers" or name in unfinished
    return chosen


def _restarts(pod: Mapping[str, Any]) -> dict[str, int]:
    listed = [
        status for part in ("initContainerStatuses", "containerStatuses") for status in objects(at(pod, "status", part))
    ]
    return {text(status, "name"): count(status.get("restartCount")) for status in listed}


async def read_logs(
    room: KubeRoom, namespace: str, sources: Sequence[Source], *, since_s: int | None, previous: bool
) -> list[Taken]:
    """Read the ends of all logs, at most eight at once."""
    path = (await room.resource("Pod")).path
    lines = min(_LINES, _ALL_LINES // len(sources))
    limit = min(_BYTES, _ALL_BYTES // len(sources))
    gate = asyncio.Semaphore(_TOGETHER)

    async def take(source: Source) -> Taken:
        query = {
            "container": source.container,
            "timestamps": True,
            "sinceSeconds": since_s,
            "limitBytes": limit,
            "previous": True if previous else None,
        }
        try:
            async with gate:
                log = await _end(room, path(namespace, source.pod, "log"), query, lines, limit)
        except (KubeError, UnreachableError) as error:
            if len(sources) == 1:
                raise
            return Taken(source, [], why=error.message if isinstance(error, KubeError) else str(error))
        entries = await asyncio.to_thread(entries_of, source.pod, source.container, log)
        return Taken(source, entries, sum(entry.lines for entry in entries))

    return list(await asyncio.gather(*(take(source) for source in sources)))


async def _end(room: KubeRoom, path: str, query: Mapping[str, Any], lines: int, limit: int) -> str:
    """Read the last lines that fit `limit` bytes.

    The API counts the limit from the first of the lines asked for, so a log that reaches it lacks its newest lines:
    then fewer lines are asked for.
    """
    log = await room.client.text(path, {**query, "tailLines": lines})
    for _ in range(_TRIES):
        if len(log.encode()) < limit or lines == 1:
            break
        lines = max(1, log.count("\n") * 3 // 4)
        log = await room.client.text(path, {**query, "tailLines": lines})
    return log
