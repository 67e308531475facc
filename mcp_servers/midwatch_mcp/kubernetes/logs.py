"""`kube_logs`: the logs of several containers as one, by time, with the errors in them grouped.

Credentials are taken out before the caller's filter sees a line.
"""

import asyncio
from typing import Annotated

from pydantic import Field

from midwatch_contracts.model import Model
from midwatch_contracts.times import rfc3339
from midwatch_mcp.kubernetes.log_entries import Entry, merged
from midwatch_mcp.kubernetes.log_errors import Group, error_groups
from midwatch_mcp.kubernetes.log_reading import MAX_PODS, Pods, Taken, Wanted, pods_of, read_logs, sources_of
from midwatch_mcp.kubernetes.room import KubeRoom
from midwatch_mcp.shapes import Name, Namespace, Outside
from midwatch_mcp.tool import Answer, tool

_PAGE_CHARACTERS = 44_000
_LINE_OVERHEAD = 120
_SHOWN_GROUPS = 8
_EXAMPLE_CHARACTERS = 1_200
_TEMPLATE_CHARACTERS = 400
_SECOND = 1_000_000_000


class LogLine(Model):
    """One line, or a traceback as one entry."""

    at: str | None
    """When the runtime took it."""
    pod: str
    container: str
    text: Outside


class ErrorGroup(Model):
    """Lines that tell of an error and differ only in numbers, ids and addresses."""

    template: Outside
    """What they have in common; `<num>`, `<*>` and the like stand for what varies."""
    count: int
    first: str | None
    last: str | None
    pods: list[str]
    example: Outside
    """The first of them."""


class Unread(Model):
    """A container whose log could not be read."""

    pod: str
    container: str
    why: Outside


class KubeLogsData(Model):
    """Lines of all the logs, oldest first."""

    of: str
    """What the logs are of, such as `Deployment/llm/chat`."""
    pods: list[str]
    """Pods that were read."""
    pods_left_out: int
    """Pods beyond the most that one call reads."""
    unread: list[Unread]
    errors: list[ErrorGroup]
    """Of the lines that match, the most frequent first."""
    lines: list[LogLine]
    matched: int
    """Entries that match, of those read."""
    read: int
    """Lines that were read, from the end of each log."""


@tool(
    name="kube_logs",
    title="Logs of pods",
    description=(
        "The last log lines of a pod, or of all pods of a workload, Service or selector, merged by time, with their "
        "errors grouped and counted. grep keeps lines that contain a text (no pattern, letter case aside). previous "
        "reads the run before a restart."
    ),
    cluster="logs",
    cost="medium",
    read_only=True,
    destructive=False,
    idempotent=True,
    open_world=False,
)
async def kube_logs(
    room: KubeRoom,
    *,
    namespace: Namespace,
    pod: Name | None = None,
    of: Annotated[
        str | None,
        Field(pattern=r"^[A-Za-z0-9 ._/=!,()-]{1,500}$", description="Deployment/NAME, Service/NAME, ... or app=chat"),
    ] = None,
    container: Annotated[Name | None, Field(description="all but init if left out")] = None,
    tail: Annotated[int, Field(ge=1, le=1_000)] = 100,
    since_s: Annotated[int | None, Field(ge=1, le=604_800, description="only the last so many seconds")] = None,
    grep: Annotated[str | None, Field(min_length=1, max_length=200)] = None,
    previous: bool = False,
    cursor: Annotated[str | None, Field(pattern=r"^[0-9]{1,20}\.[0-9]{1,6}$", description="for older lines")] = None,
) -> Answer[KubeLogsData]:
    """Read the ends of the logs, redact them, then filter, group and merge."""
    pods = await pods_of(room, Wanted(namespace, pod, of))
    asked = pods.found[:MAX_PODS]
    sources = sources_of(asked, container, previous=previous)
    taken = await read_logs(room, namespace, sources, since_s=since_s, previous=previous)
    entries = merged(one.entries for one in taken)
    wanted = None if grep is None else grep.casefold()
    matching = [entry for entry in entries if wanted is None or wanted in entry.text.casefold()]
    groups = await asyncio.to_thread(error_groups, matching)
    older = _before(matching, cursor)
    page = _page(older[-tail:])
    data = KubeLogsData(
        of=pods.of,
        pods=sorted({one.source.pod for one in taken if one.why is None}),
        pods_left_out=len(pods.found) - len(asked),
        unread=[
            Unread(pod=one.source.pod, container=one.source.container, why=one.why)
            for one in taken
            if one.why is not None
        ],
        errors=[_group(group) for group in groups[:_SHOWN_GROUPS]],
        lines=[_line(entry) for entry in page],
        matched=len(matching),
        read=sum(one.lines for one in taken),
    )
    following = _cursor(page, matching) if len(page) < len(older) else None
    full = {"lines": [_line(entry) for entry in matching], "errors": [_group(group) for group in groups]}
    return Answer(
        _summary(data, pods, taken, groups, grep=grep is not None),
        data,
        full=full,
        truncated=following is not None,
        cursor=following,
    )


def _before(entries: list[Entry], cursor: str | None) -> list[Entry]:
    """Return the entries before those that earlier pages showed: `<ns of the oldest shown>.<shown of that ns>`."""
    if cursor is None:
        return entries
    moment, _, shown = cursor.partition(".")
    upto = [entry for entry in entries if entry.ns <= int(moment)]
    same = sum(entry.ns == int(moment) for entry in upto)
    return upto[: len(upto) - min(int(shown), same)]


def _cursor(page: list[Entry], entries: list[Entry]) -> str | None:
    if not page:
        return None
    oldest = page[0]
    shown = 0
    for entry in reversed(entries):
        shown += entry.ns == oldest.ns
        if entry is oldest:
            break
    return f"{oldest.ns}.{shown}"


def _page(entries: list[Entry]) -> list[Entry]:
    """Return the last entries that fit a page."""
    size = 0
    for kept, entry in enumerate(reversed(entries)):
        size += len(entry.text) + _LINE_OVERHEAD
        if size > _PAGE_CHARACTERS:
            return entries[len(entries) - kept :]
    return entries


def _moment(ns: int) -> str | None:
    return rfc3339(ns / _SECOND) if ns else None


def _line(entry: Entry) -> LogLine:
    return LogLine(at=_moment(entry.ns), pod=entry.pod, container=entry.container, text=entry.text)


def _group(group: Group) -> ErrorGroup:
    return ErrorGroup(
        template=group.template[:_TEMPLATE_CHARACTERS],
        count=group.count,
        first=_moment(group.first_ns),
        last=_moment(group.last_ns),
        pods=list(group.pods),
        example=group.example[-_EXAMPLE_CHARACTERS:],
    )


def _summary(data: KubeLogsData, pods: Pods, taken: list[Taken], groups: list[Group], *, grep: bool) -> str:
    whose = data.of if len(pods.found) == 1 else f"{len(data.pods)} pods of {data.of}"
    stamps = [entry.ns for one in taken for entry in one.entries if entry.ns]
    span = f", {_moment(min(stamps))} to {_moment(max(stamps))}" if stamps else ""
    said = f"{data.matched} of {data.read} lines match" if grep else f"{data.read} lines"
    said = f"{said} in the log of {whose}{span}."
    errors = sum(group.count for group in groups)
    if groups:
        first = groups[0]
        said += f" {errors} tell of errors, in {len(groups)} groups; the largest {first.count} times"
        said += f" in {len(first.pods)} pods, last {_moment(first.last_ns)}." if first.last_ns else "."
    if data.unread:
        said += f" {len(data.unread)} containers could not be read."
    if data.pods_left_out:
        said += f" {data.pods_left_out} further pods were not asked."
    return said + (f" Shown: the last {len(data.lines)}." if len(data.lines) < data.matched else "")
