"""The `log` subresource of pods."""

from collections.abc import AsyncIterator
from typing import Protocol

from starlette.responses import PlainTextResponse, Response, StreamingResponse

from midwatch_contracts.clock import Clock
from midwatch_contracts.errors import ContractError
from midwatch_contracts.times import rfc3339, unix_seconds
from midwatch_lab import status
from midwatch_lab.api.call import Call
from midwatch_lab.kubelet.logs import ContainerLog, Line
from midwatch_lab.objects import Object, dig, name_of
from midwatch_lab.registry.registry import Registry


class LogSource(Protocol):
    """Whoever keeps what containers wrote."""

    def log_of(self, uid: str, container: str, *, previous: bool) -> ContainerLog | None:
        """Return the log of a container of a pod, or of its run before this one."""
        ...


def container_of(call: Call, pod: Object) -> str:
    """Return the container whose log is asked for.

    Raises:
        ApiError: 400 when the pod has several and none is named, or has none of that name.
    """
    names = [container["name"] for container in dig(pod, "spec", "containers", default=[])]
    wanted = call.query("container")
    if wanted:
        if wanted not in names:
            raise status.bad_request(f"container {wanted} is not valid for pod {name_of(pod)}")
        return wanted
    if len(names) > 1:
        text = f"a container name must be specified for pod {name_of(pod)}, choose one of: [{' '.join(names)}]"
        raise status.bad_request(text)
    return names[0]


async def serve(registry: Registry, clock: Clock, source: LogSource, call: Call) -> Response:
    """Answer with a container's log as text, followed while it grows when `follow` is set."""
    pod = registry.read(call.resource, call.target.namespace, call.target.name)
    container = container_of(call, pod)
    previous = call.flag("previous")
    log = source.log_of(pod["metadata"]["uid"], container, previous=previous)
    if log is None:
        raise _no_log(pod, container, previous=previous)
    since = _since(call, clock)
    stamps = call.flag("timestamps")
    lines = [line for line in log.lines() if line.at >= since]
    tail = call.number("tailLines")
    if tail is not None:
        lines = lines[max(0, len(lines) - tail) :] if tail else []
    text = "".join(_shown(line, stamps=stamps) for line in lines)
    if not call.flag("follow") or previous:
        limit = call.number("limitBytes")
        return PlainTextResponse(text if limit is None else text.encode()[:limit])
    return StreamingResponse(_follow(log, text, stamps=stamps), media_type="text/plain")


def _since(call: Call, clock: Clock) -> float:
    seconds, moment = call.number("sinceSeconds"), call.query("sinceTime")
    if seconds is not None:
        return clock.now() - seconds
    if not moment:
        return 0.0
    try:
        return unix_seconds(moment)
    except ContractError as error:
        raise status.bad_request(f"sinceTime: {error}") from error


def _no_log(pod: Object, container: str, *, previous: bool) -> Exception:
    name = name_of(pod)
    if previous:
        return status.bad_request(f'previous terminated container "{container}" in pod "{name}" not found')
    statuses: list[Object] = dig(pod, "status", "containerStatuses", default=[])
    reason = next((dig(s, "state", "waiting", "reason") for s in statuses if s["name"] == container), None)
    return status.bad_request(
        f'container "{container}" in pod "{name}" is waiting to start: {reason or "ContainerCreating"}'
    )


def _shown(line: Line, *, stamps: bool) -> str:
    return f"{rfc3339(line.at)} {line.text}\n" if stamps else f"{line.text}\n"


async def _follow(log: ContainerLog, text: str, *, stamps: bool) -> AsyncIterator[bytes]:
    yield text.encode()
    async for line in log.follow():
        yield _shown(line, stamps=stamps).encode()
