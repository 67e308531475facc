"""`kube_logs`: the end of a container's log, credentials taken out before the caller's filter sees a line."""

from typing import Annotated

from pydantic import Field

from midwatch_contracts.model import Model
from midwatch_mcp.kubernetes.room import KubeRoom
from midwatch_mcp.redact import harmless
from midwatch_mcp.shapes import Name, Namespace, Outside
from midwatch_mcp.tool import Answer, tool

_READ_LINES = 5_000
_READ_BYTES = 1_000_000
_LINE_CHARACTERS = 2_000
_PAGE_CHARACTERS = 48_000


class KubeLogsData(Model):
    """Lines of a log, oldest first."""

    pod: str
    container: str | None
    lines: list[Outside]
    matched: int
    """Lines that match, of those read."""
    read: int
    """Lines that were read, from the end."""


@tool(
    name="kube_logs",
    title="Logs of a pod",
    description=(
        "The last lines of a container's log, oldest first; grep keeps lines that contain a text (no pattern, letter "
        "case aside). previous reads the run before a restart."
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
    pod: Name,
    namespace: Namespace,
    container: Annotated[Name | None, Field(description="needed where the pod has several")] = None,
    tail: Annotated[int, Field(ge=1, le=1_000)] = 100,
    since_s: Annotated[int | None, Field(ge=1, le=604_800, description="only the last so many seconds")] = None,
    grep: Annotated[str | None, Field(min_length=1, max_length=200)] = None,
    previous: bool = False,
) -> Answer[KubeLogsData]:
    """Read the log's end, redact it, then filter."""
    resource = await room.resource("Pod")
    query = {
        "container": container,
        "tailLines": tail if grep is None else _READ_LINES,
        "sinceSeconds": since_s,
        "limitBytes": _READ_BYTES,
        "previous": True if previous else None,
    }
    text = await room.client.text(resource.path(namespace, pod, "log"), query)
    lines = [str(harmless(line))[:_LINE_CHARACTERS] for line in text.splitlines()]
    matching = lines if grep is None else [line for line in lines if grep.casefold() in line.casefold()]
    shown = _page(matching[-tail:])
    data = KubeLogsData(pod=pod, container=container, lines=shown, matched=len(matching), read=len(lines))
    found = f"{len(matching)} of {len(lines)} lines match" if grep is not None else f"{len(lines)} lines"
    summary = f"{found} in the log of Pod/{namespace}/{pod}."
    if len(shown) < len(matching):
        summary += f" Shown: the last {len(shown)}."
    return Answer(summary, data, full={"lines": matching}, truncated=len(shown) < len(matching))


def _page(lines: list[str]) -> list[str]:
    """Return the last lines that fit a page."""
    size = 0
    for kept, line in enumerate(reversed(lines)):
        size += len(line)
        if size > _PAGE_CHARACTERS:
            return lines[len(lines) - kept :]
    return lines
