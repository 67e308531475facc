"""How many replicas bring a measured value to its target: the arithmetic of the HorizontalPodAutoscaler.

Replicas are the present ones times the ratio of the value to its target, rounded up; pods that are not ready or not
measured are counted so that they dampen the change, and never turn its direction. Pure functions over numbers. Source:
"Algorithm details" in https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/.
"""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

from midwatch_contracts.times import unix_seconds
from midwatch_lab.errors import LabError
from midwatch_lab.objects import Object, condition, dig, is_terminating, name_of

CPU: Final = "cpu"
_INITIALIZATION_S: Final = 300.0
"""How long after its start a pod's CPU is taken only while it is ready."""
_READINESS_DELAY_S: Final = 30.0
"""How long after its start a pod that turns unready counts as one that never was ready."""
_FULL: Final = 100


class MetricError(LabError):
    """A metric gives no number of replicas; the words are the original's."""


@dataclass(frozen=True)
class Sample:
    """What one pod uses, in thousandths (of a core, of a byte), over `window_s` seconds until `at` (Unix seconds)."""

    value: int
    at: float
    window_s: float


@dataclass(frozen=True)
class Tolerance:
    """How far the ratio may be from one before anything is done."""

    up: float = 0.1
    down: float = 0.1

    def holds(self, ratio: float) -> bool:
        """Tell whether a ratio is near enough to one."""
        return 1.0 - self.down <= ratio <= 1.0 + self.up


@dataclass(frozen=True)
class Proposal:
    """The replicas that a metric asks for, what it is a pod on average (thousandths), and in per cent of requests."""

    replicas: int
    average: int
    utilization: int | None = None


@dataclass(frozen=True)
class Groups:
    """The pods of a target, by what their measurements are worth."""

    ready: Collection[str]
    unready: Collection[str]
    missing: Collection[str]


def group(pods: list[Object], samples: Mapping[str, Sample], resource: str, now: float) -> Groups:
    """Sort pods into those that count, those that are not ready, and those without a sample; others are left out."""
    ready: list[str] = []
    unready: list[str] = []
    missing: list[str] = []
    for pod in pods:
        name, phase = name_of(pod), dig(pod, "status", "phase")
        if is_terminating(pod) or phase == "Failed":
            continue
        if phase == "Pending":
            unready.append(name)
        elif name not in samples:
            missing.append(name)
        elif resource == CPU and _is_starting(pod, samples[name], now):
            unready.append(name)
        else:
            ready.append(name)
    return Groups(ready, unready, missing)


def _is_starting(pod: Object, sample: Sample, now: float) -> bool:
    """Tell whether a pod's CPU is that of its start, and says nothing of its load."""
    ready, started = condition(pod, "Ready"), dig(pod, "status", "startTime")
    if ready is None or started is None:
        return True
    began, changed = unix_seconds(started), unix_seconds(ready.get("lastTransitionTime") or started)
    is_unready = ready.get("status") == "False"
    if began + _INITIALIZATION_S > now:
        return is_unready or math.floor(sample.at) < changed + sample.window_s
    return is_unready and began + _READINESS_DELAY_S > changed


@dataclass(frozen=True)
class Question:
    """What is to be worked out: for how many present replicas, from which pods and samples."""

    current: int
    pods: list[Object]
    samples: Mapping[str, Sample]
    resource: str
    tolerance: Tolerance
    now: float

    def counted(self) -> tuple[Groups, dict[str, int]]:
        """Return the groups, and the values of the pods that count.

        Raises:
            MetricError: when there are none.
        """
        if not self.pods:
            raise MetricError("no pods returned by selector while calculating replica count")
        groups = group(self.pods, self.samples, self.resource, self.now)
        values = {name: self.samples[name].value for name in groups.ready}
        if not values:
            raise MetricError("did not receive metrics for targeted pods (pods might be unready)")
        return groups, values


def by_utilization(question: Question, target: int, requests: Callable[[], Mapping[str, int]]) -> Proposal:
    """Return what brings the use of requests, in per cent, to its target.

    Raises:
        MetricError: when no pod counts, or one has no request.
    """
    groups, values = question.counted()
    wanted = requests()

    def utilization(found: Mapping[str, int]) -> int:
        total = sum(wanted[name] for name in found)
        if not total:
            raise MetricError("no metrics returned matched known pods")
        return sum(found.values()) * _FULL // total

    replicas = _replicas(
        question, groups, values,
        lambda found: utilization(found) / target,
        lambda name: wanted[name] * max(_FULL, target) // _FULL,
    )  # fmt: skip
    return Proposal(replicas, sum(values.values()) // len(values), utilization(values))


def by_value(question: Question, target: int) -> Proposal:
    """Return what brings the average of a pod (thousandths) to its target.

    Raises:
        MetricError: when no pod counts.
    """
    groups, values = question.counted()

    def average(found: Mapping[str, int]) -> int:
        return sum(found.values()) // len(found)

    replicas = _replicas(question, groups, values, lambda found: average(found) / target, lambda _name: target)
    return Proposal(replicas, average(values))


def _replicas(
    question: Question,
    groups: Groups,
    values: Mapping[str, int],
    ratio_of: Callable[[Mapping[str, int]], float],
    full: Callable[[str], int],
) -> int:
    ratio, current = ratio_of(values), question.current
    is_rising = bool(groups.unready) and ratio > 1.0
    if not is_rising and not groups.missing:
        return current if question.tolerance.holds(ratio) else math.ceil(ratio * len(groups.ready))
    filled = dict(values)
    if ratio < 1.0:
        # Before pods are taken away, those that nobody measured are taken to be busy.
        filled |= {name: full(name) for name in groups.missing}
    elif ratio > 1.0:
        filled |= dict.fromkeys(groups.missing, 0)
    if is_rising:
        filled |= dict.fromkeys(groups.unready, 0)
    again = ratio_of(filled)
    if question.tolerance.holds(again) or (ratio < 1.0 < again) or (again < 1.0 < ratio):
        return current
    wanted = math.ceil(again * len(filled))
    turns = (again < 1.0 and wanted > current) or (again > 1.0 and wanted < current)
    return current if turns else wanted
