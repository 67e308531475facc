"""The `log` subresource of pods."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol, Self

from starlette.responses import Response, StreamingResponse

from midwatch_contracts.clock import Clock
from midwatch_contracts.errors import ContractError
from midwatch_contracts.times import rfc3339, unix_seconds
from midwatch_lab import status
from midwatch_lab.api.call import Call
from midwatch_lab.api.pod_options import check_node, container_of, is_set
from midwatch_lab.kubelet.logs import ContainerLog, Follower, Line
from midwatch_lab.objects import Object, dig, name_of
from midwatch_lab.registry.registry import Registry


class LogSource(Protocol):
    """Whoever keeps what containers wrote."""

    def log_of(self, uid: str, container: str, *, previous: bool) -> ContainerLog | None:
        """Return the log of a container of a pod, or of its run before this one."""
        ...


@dataclass(frozen=True)
class LogOptions:
    """The options of a request for a log; `since` in Unix seconds."""

    previous: bool
    follow: bool
    timestamps: bool
    since: float
    tail: int | None
    limit: int | None

    @classmethod
    def of(cls, call: Call, clock: Clock) -> Self:
        """Read the options.

        Raises:
            ApiError: 400 for what does not parse, 422 for what may not be.
        """
        tail, limit = call.number("tailLines"), call.number("limitBytes")
        seconds, moment = call.number("sinceSeconds"), _moment(call)
        faults: list[status.FieldFault] = []
        if tail is not None and tail < 0:
            faults.append(status.invalid_value("tailLines", tail, "must be greater than or equal to 0"))
        if limit is not None and limit < 1:
            faults.append(status.invalid_value("limitBytes", limit, "must be greater than 0"))
        if seconds is not None and moment is not None:
            text = "at most one of `sinceTime` or `sinceSeconds` may be specified"
            faults.append(status.forbidden_field("[]", text))
        elif seconds is not None and seconds < 1:
            faults.append(status.invalid_value("sinceSeconds", seconds, "must be greater than 0"))
        if call.query("stream"):
            faults.append(status.forbidden_field("stream", "may not be specified"))
        if faults:
            raise status.invalid("PodLogOptions", "", call.target.name, faults)
        since = clock.now() - seconds if seconds is not None else moment or 0.0
        return cls(is_set(call, "previous"), is_set(call, "follow"), is_set(call, "timestamps"), since, tail, limit)


def _moment(call: Call) -> float | None:
    text = call.query("sinceTime")
    if not text:
        return None
    try:
        return unix_seconds(text)
    except ContractError as error:
        layout = "2006-01-02T15:04:05Z07:00"
        why = f'parsing time "{text}" as "{layout}": cannot parse "{text}" as "2006"'
        raise status.bad_request(why) from error


async def serve(registry: Registry, clock: Clock, source: LogSource, call: Call) -> Response:
    """Answer with a container's log as text, followed while it grows when `follow` is set."""
    options = LogOptions.of(call, clock)
    pod = registry.read(call.resource, call.target.namespace, call.target.name)
    container = str(container_of(call, pod)["name"])
    if not dig(pod, "spec", "nodeName"):
        return Response(status_code=HTTPStatus.NO_CONTENT)
    check_node(registry, pod)
    log = source.log_of(pod["metadata"]["uid"], container, previous=options.previous)
    if log is None:
        raise _no_log(pod, container, previous=options.previous)
    follower = log.follow() if options.follow and not options.previous else None
    lines = [line for line in log.lines() if line.at >= options.since]
    if options.tail is not None:
        lines = lines[max(0, len(lines) - options.tail) :] if options.tail else []
    text = "".join(_shown(line, stamps=options.timestamps) for line in lines).encode()[: options.limit]
    if follower is None:
        return Response(text, media_type="text/plain")
    return StreamingResponse(_Growing(text, follower, options), media_type="text/plain")


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
    if not stamps:
        return f"{line.text}\n"
    whole = rfc3339(line.at).partition(".")[0]
    return f"{whole}.{int(line.at % 1 * 1e6):06}000Z {line.text}\n"


class _Growing(AsyncIterator[bytes]):
    """What is there, then what comes, up to the limit."""

    def __init__(self, text: bytes, follower: Follower, options: LogOptions) -> None:
        self._text: bytes | None = text
        self._follower = follower
        self._stamps = options.timestamps
        self._left = None if options.limit is None else options.limit - len(text)

    def __aiter__(self) -> Self:
        """Return itself."""
        return self

    async def __anext__(self) -> bytes:
        """Return the next piece."""
        if self._text is not None:
            # The first piece goes out even when it is empty: with it goes the answer's head.
            text, self._text = self._text, None
            return text
        if self._left is not None and self._left <= 0:
            raise StopAsyncIteration
        shown = _shown(await anext(self._follower), stamps=self._stamps).encode()[: self._left]
        if self._left is not None:
            self._left -= len(shown)
        return shown
