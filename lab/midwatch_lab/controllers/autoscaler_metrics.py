"""The metrics of a HorizontalPodAutoscaler, read from what the kubelet measures; those that nobody serves are refused.

Each metric of a spec becomes a proposal with its status, or the original's words on why it cannot.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from midwatch_lab.controllers.replica_calculator import (
    MetricError,
    Proposal,
    Question,
    Sample,
    Tolerance,
    by_utilization,
    by_value,
)
from midwatch_lab.objects import Object, dig, name_of
from midwatch_lab.quantity import canonical, parse
from midwatch_lab.selectors import go_text
from midwatch_lab.usage import UsageBoard

_TOLERANCE: Final = 0.1
_THOUSAND: Final = 1000
_KIBI: Final = 1024
_NO_METRICS: Final = "no metrics returned from resource metrics API"
_NO_CUSTOM: Final = (
    "unable to fetch metrics from custom metrics API: no custom metrics API (custom.metrics.k8s.io) registered"
)


@dataclass(frozen=True)
class Measured:
    """What one metric of a spec gave: `name` as events say it, `status` as it stands in `currentMetrics`."""

    proposal: Proposal
    name: str
    status: Object


class UnreadableMetricError(MetricError):
    """A metric that cannot be read: `reason` is the condition's, `context` what the original puts before the words."""

    def __init__(self, reason: str, words: str, context: str) -> None:
        super().__init__(words)
        self.reason = reason
        self.context = context


@dataclass(frozen=True)
class Target:
    """What is scaled: its replicas, its pods, and the present."""

    current: int
    pods: list[Object]
    now: float


def tolerance_of(behavior: Object | None) -> Tolerance:
    """Return the tolerance of a behavior: 10 % where it says nothing."""
    up, down = (
        float(parse(dig(behavior, rules, "tolerance", default=_TOLERANCE))) for rules in ("scaleUp", "scaleDown")
    )
    return Tolerance(up, down)


def measure(metric: Object, target: Target, behavior: Object | None, board: UsageBoard, namespace: str) -> Measured:
    """Return what one metric of a spec asks for.

    Raises:
        UnreadableMetricError: when it cannot be read.
    """
    match metric["type"]:
        case "Resource":
            source: Object = metric["resource"]
            context = f"failed to get {source['name']} resource metric value"
            return _resource(metric["type"], source, target, behavior, board, ("FailedGetResourceMetric", context))
        case "ContainerResource":
            source = metric["containerResource"]
            context = f"failed to get {source['container']} container metric value"
            words = ("FailedGetContainerResourceMetric", context)
            return _resource(metric["type"], source, target, behavior, board, words)
        case _:
            raise _unserved(metric, namespace)


def _unserved(metric: Object, namespace: str) -> UnreadableMetricError:
    """Refuse a metric of an API that the lab does not have."""
    match metric["type"]:
        case "Pods":
            words = f"unable to get metric {dig(metric, 'pods', 'metric', 'name')}: {_NO_CUSTOM}"
            return UnreadableMetricError("FailedGetPodsMetric", words, "failed to get pods metric value")
        case "Object":
            source: Object = metric["object"]
            of = f"{dig(source, 'describedObject', 'kind')} on {namespace} {dig(source, 'describedObject', 'name')}"
            words = f"unable to get metric {dig(source, 'metric', 'name')}: {of}/{_NO_CUSTOM}"
            return UnreadableMetricError("FailedGetObjectMetric", words, "failed to get object metric value")
        case _:
            source = metric["external"]
            name = dig(source, "metric", "name")
            selector = go_text(dig(source, "metric", "selector"))
            words = (
                f"unable to get external metric {namespace}/{name}/{selector}: unable to fetch metrics from external "
                "metrics API: the server could not find the requested resource (get "
                f"{name}.external.metrics.k8s.io)"
            )
            a_pod = dig(source, "target", "averageValue") is not None
            inner = f"failed to get {name} external metric" if a_pod else f"failed to get external metric {name}"
            context = f"failed to get {name} external metric value: {inner}"
            return UnreadableMetricError("FailedGetExternalMetric", words, context)


def _resource(  # noqa: PLR0917 (what a resource metric is worked out from)
    kind: str,
    source: Object,
    target: Target,
    behavior: Object | None,
    board: UsageBoard,
    refusal: tuple[str, str],
) -> Measured:
    name, container = str(source["name"]), str(source.get("container", ""))
    wanted: Object = source["target"]
    average = wanted.get("averageValue")
    what = "utilization" if average is None else "usage"
    try:
        samples = _samples(target.pods, name, container, board)
        question = Question(target.current, target.pods, samples, name, tolerance_of(behavior), target.now)
        if average is not None:
            proposal = by_value(question, math.ceil(parse(average) * _THOUSAND))
        else:
            percent = int(wanted["averageUtilization"])
            proposal = by_utilization(question, percent, lambda: _requests(target.pods, name, container))
    except MetricError as error:
        raise UnreadableMetricError(refusal[0], f"failed to get {name} {what}: {error}", refusal[1]) from error
    field = "resource" if kind == "Resource" else "containerResource"
    current: Object = {"averageValue": _shown(proposal.average, name)}
    if proposal.utilization is not None:
        current["averageUtilization"] = proposal.utilization
    own: Object = {"name": name, **({"container": container} if container else {}), "current": current}
    inner = " container" if container else ""
    said = f"{name}{inner} resource" + ("" if average is not None else " utilization (percentage of request)")
    return Measured(proposal, said, {"type": kind, field: own})


def _samples(pods: list[Object], resource: str, container: str, board: UsageBoard) -> Mapping[str, Sample]:
    reports = {name_of(pod): board.of(pod) for pod in pods if dig(pod, "status", "phase") == "Running"}
    known = {name: report for name, report in reports.items() if report is not None}
    if not known:
        raise MetricError(f"unable to get metrics for resource {resource}: {_NO_METRICS}")
    found: dict[str, Sample] = {}
    for name, report in known.items():
        used = report.containers.get(container) if container else report.total
        amount = None if used is None else used.quantities.get(resource)
        if amount is not None:
            found[name] = Sample(math.ceil(parse(amount) * _THOUSAND), report.at, report.window_s)
    return found


def _shown(thousandths: int, resource: str) -> str:
    """Return an average as a quantity: memory in whole bytes and binary units."""
    if resource != "memory":
        return canonical(f"{thousandths}m")
    size = math.ceil(thousandths / _THOUSAND)
    return canonical(f"{size}" if size < _KIBI else f"{Decimal(size) / _KIBI}Ki")


def _requests(pods: list[Object], resource: str, container: str) -> Mapping[str, int]:
    """Return what each pod (or its container) asks for, in thousandths.

    Raises:
        MetricError: when one asks for nothing.
    """
    return {name_of(pod): _request(pod, resource, container) for pod in pods}


def _request(pod: Object, resource: str, container: str) -> int:
    whole = dig(pod, "spec", "resources", "requests", resource)
    if whole is not None and not container:
        return math.ceil(parse(whole) * _THOUSAND)
    total = 0
    for item in dig(pod, "spec", "containers", default=[]):
        if container and item["name"] != container:
            continue
        asked = dig(item, "resources", "requests", resource)
        if asked is None:
            raise MetricError(f"missing request for {resource} in container {item['name']} of Pod {name_of(pod)}")
        total += math.ceil(parse(asked) * _THOUSAND)
    return total
