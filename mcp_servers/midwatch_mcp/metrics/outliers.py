"""`metrics_outliers`: members of a fleet that differ from the rest, over a window."""

from statistics import median
from typing import Annotated

from pydantic import Field

from midwatch_contracts.model import Model
from midwatch_contracts.promql import ValueType
from midwatch_mcp.metrics.fleet import SMALLEST, judge, threshold
from midwatch_mcp.metrics.ranges import read_courses, seconds_of
from midwatch_mcp.metrics.room import MAX_QUERY, MetricsRoom, checked
from midwatch_mcp.shapes import Outside
from midwatch_mcp.tool import Answer, tool

SHOWN = 30
_POINTS = 60


class FleetMember(Model):
    """One series: its median over the window beside the fleet's."""

    labels: dict[str, Outside]
    value: float
    ratio: float | None
    """value / the fleet's median; None where that is 0."""
    score: float
    """Modified z-score (Iglewicz and Hoaglin 1993)."""
    differs: bool


class MetricsOutliersData(Model):
    """The members, those that differ most first."""

    query: str
    window: tuple[float, float]
    median: float | None
    threshold: float | None
    """The score that a member must exceed, by the fleet's size; None for a fleet too small to judge."""
    members: list[FleetMember]
    fleet: int
    without_data: int
    """Series that have no number in the window."""


@tool(
    name="metrics_outliers",
    title="Find outliers in a fleet",
    description=(
        "Evaluate a PromQL query that gives one series a member (pod, node) over a window, and find the members that "
        "differ from the rest by a robust score; a quiet fleet has one flagged in at most 5 of 100 calls."
    ),
    cluster="metrics",
    cost="medium",
    read_only=True,
    destructive=False,
    idempotent=True,
    open_world=False,
)
async def metrics_outliers(
    room: MetricsRoom,
    *,
    query: Annotated[str, Field(min_length=1, max_length=MAX_QUERY, description="PromQL, e.g. sum by (pod) (...)")],
    window: Annotated[str, Field(max_length=20, description="each member counts with its median")] = "10m",
    least_difference: Annotated[
        float, Field(ge=0, le=10, description="a smaller one, as a share of the fleet's median, is not flagged")
    ] = 0.1,
    end: Annotated[float | None, Field(gt=0, description="of the window, Unix seconds; default: now")] = None,
) -> Answer[MetricsOutliersData]:
    """Read the window, take each member's median, and judge them beside each other."""
    checked(query, allow=frozenset({ValueType.VECTOR}))
    length = seconds_of("window", window)
    finish = room.clock.now() if end is None else end
    series, warnings = await read_courses(room, query, finish - length, finish, max(length / _POINTS, 0.1))
    numbers = [[value for _, value in course.points if isinstance(value, float)] for course in series]
    known = [(course.labels, median(found)) for course, found in zip(series, numbers, strict=True) if found]
    middle = median([value for _, value in known]) if known else None
    judged = judge([value for _, value in known], least_difference)
    members = [
        FleetMember(
            labels=labels,
            value=value,
            ratio=value / middle if middle else None,
            score=round(member.score, 3),
            differs=member.differs,
        )
        for (labels, value), member in zip(known, judged, strict=True)
    ]
    members.sort(key=lambda member: (member.differs, member.score), reverse=True)
    head = {
        "query": query,
        "window": (finish - length, finish),
        "median": middle,
        "threshold": threshold(len(known)) if len(known) >= SMALLEST else None,
        "fleet": len(known),
        "without_data": len(series) - len(known),
    }
    data = MetricsOutliersData.model_validate(head | {"members": members[:SHOWN]})
    full = head | {"members": members, "warnings": warnings}
    return Answer(_summary(data, members), data, full=full, truncated=len(members) > SHOWN)


def _summary(data: MetricsOutliersData, members: list[FleetMember]) -> str:
    if data.fleet == 0:
        return "No data: no series has a number in the window."
    if data.threshold is None:
        return f"{data.fleet} members: too few to say which of them differs; {SMALLEST} are the least."
    found = sum(member.differs for member in members)
    silent = f" {data.without_data} series have no number in the window." if data.without_data else ""
    many = "differs from the rest and comes first" if found == 1 else "differ from the rest and come first"
    said = f"{found} {many}" if found else "none differs from the rest"
    return f"{data.fleet} members, median {data.median:.6g}: {said}.{silent}"
