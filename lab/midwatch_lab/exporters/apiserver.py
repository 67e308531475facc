"""What the API server says of its requests, as the original counts them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from midwatch_lab.api.requests import BOUNDS, Kind, RequestCounts, Tally
from midwatch_lab.exporters.family import Family, Point
from midwatch_lab.exporters.kubelet import BUILD_FAMILY
from midwatch_lab.metrics.gauges import Gauge, Group
from midwatch_lab.metrics.local import Exporter
from midwatch_lab.metrics.numbers import bound_text
from midwatch_lab.metrics.targets import Target

_DURATIONS: Final = "apiserver_request_sli_duration_seconds"
_LABELS: Final = (*Kind._fields, "component")


def _codes(tally: Tally) -> Iterable[Point]:
    for (code, dry_run), number in tally.codes.items():
        yield {"code": code, "dry_run": dry_run}, float(number)


def _buckets(tally: Tally) -> Iterable[Point]:
    if not tally.timed:
        return
    bounds = [*map(bound_text, BOUNDS), "+Inf"]
    for bound, number in zip(bounds, accumulate(tally.buckets), strict=True):
        yield {"le": bound}, float(number)


REQUEST_FAMILIES: Final = (
    Family("apiserver_request_total", "Requests that were answered", _codes, ("code", "dry_run"), "counter"),
    Family(f"{_DURATIONS}_bucket", "Requests that took no longer than `le` seconds", _buckets, ("le",), "histogram"),
    Family(
        f"{_DURATIONS}_sum",
        "Seconds that requests took, without watches and streams",
        lambda tally: (({}, tally.seconds),) if tally.timed else (),
        (),
        "histogram",
    ),
    Family(
        f"{_DURATIONS}_count",
        "Requests that have a duration",
        lambda tally: (({}, float(tally.timed)),) if tally.timed else (),
        (),
        "histogram",
    ),
)
REQUEST_LABELS: Final = _LABELS


def _read(state: tuple[Kind, Tally]) -> Iterator[Gauge]:
    kind, tally = state
    base = {**kind._asdict(), "component": "apiserver"}
    for family in REQUEST_FAMILIES:
        for labels, value in family.read(tally):
            yield family.name, {**base, **labels}, value


def _build(_state: object) -> Iterator[Gauge]:
    return ((BUILD_FAMILY.name, labels, value) for labels, value in BUILD_FAMILY.read(None))


@dataclass
class ApiServerMetrics:
    """The API server; labels of the target are those that kube-prometheus has for it."""

    counts: RequestCounts

    def groups(self) -> list[Group]:
        """Return the kinds of requests that were counted since the last call."""
        changed, self.counts.changed = self.counts.changed, set()
        # Each time another tuple, since the tally of a kind is always the same one.
        found = [Group(kind, (kind, self.counts.tallies[kind]), _read) for kind in changed]
        return [Group("build", self, _build), *found]

    @property
    def exporter(self) -> Exporter:
        """The target."""
        labels = {"job": "apiserver", "instance": "lab", "namespace": "default", "service": "kubernetes"}
        metadata = {
            family.name.removesuffix("_bucket"): family.metadata for family in (*REQUEST_FAMILIES[:2], BUILD_FAMILY)
        }
        target = Target({**labels, "endpoint": "https"}, "lab://kubernetes/metrics")
        return Exporter(target, metadata, self.groups, whole=False)
