"""How long containers had to wait for their CPU limits: counted by the processes that keep them, read as last scraped.

The reference backend keeps the limit that the kubelet gives it (`MIDWATCH_CPU_LIMIT`), and its page shows what it
counts. A container whose page is not scraped, or that plays something else, has no such figures.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple, TypeAlias

from midwatch_lab.metrics.engine.evaluate import Limits
from midwatch_lab.metrics.engine.query import instant, read
from midwatch_lab.metrics.store import Store

_QUERY: Final = read(
    "sum by (__name__, namespace, pod, container)"
    ' ({__name__=~"midwatch_cpu_(periods|throttled_periods|throttled_seconds)_total"})'
)


class Throttling(NamedTuple):
    """What a container counts: periods with work, those of them in which it waited, and seconds waited."""

    periods: float
    throttled_periods: float
    seconds: float


Waits: TypeAlias = Mapping[tuple[str, str, str], Throttling]
"""By namespace, pod and container."""


def waits(store: Store, now: float) -> Waits:
    """Return what was last scraped of containers at a time (Unix seconds)."""
    found: dict[tuple[str, str, str], dict[str, float]] = {}
    for labels, points in instant(store, _QUERY, now, Limits()).series:
        named = dict(labels)
        place = (named.get("namespace", ""), named.get("pod", ""), named.get("container", ""))
        found.setdefault(place, {})[named["__name__"]] = points[0][1]
    return {
        place: Throttling(
            values.get("midwatch_cpu_periods_total", 0.0),
            values.get("midwatch_cpu_throttled_periods_total", 0.0),
            values.get("midwatch_cpu_throttled_seconds_total", 0.0),
        )
        for place, values in found.items()
    }
