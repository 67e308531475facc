"""Which pods one operation restarts or takes away, read off the namespace as it stands (pure)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from midwatch_contracts.entity import Entity
from midwatch_contracts.plan import Diff, KubeTarget, Operation, ServingTarget
from midwatch_mcp.safe_apply.guards import entity_of
from midwatch_mcp.safe_apply.operations.base import WORKLOADS
from midwatch_mcp.safe_apply.pods import Object, carries, is_alive, labels_of, selected
from midwatch_mcp.safe_apply.surroundings import Surroundings
from midwatch_mcp.safe_apply.values import lookup


@dataclass(frozen=True)
class Step:
    """One operation as its dry run showed it; `pods` are those that it takes away by name, beside its target's own."""

    operation: Operation
    before: Object
    after: Object
    diff: Diff
    pods: tuple[Entity, ...] = ()

    @property
    def kind(self) -> str:
        """The kind of its target."""
        entity = entity_of(self.operation.target)
        return "" if entity is None else entity.kind

    @property
    def namespaces(self) -> list[str]:
        """Where it reaches pods: its target's namespace, or those of the pods that it names."""
        entity = entity_of(self.operation.target)
        own = [] if entity is None or not entity.namespace else [entity.namespace]
        return own or sorted({pod.namespace for pod in self.pods})


@dataclass(frozen=True)
class Gone:
    """Pods that restart or go by an operation, how many at once, and how, in words."""

    pods: Sequence[Object]
    restarted: int
    at_once: int
    how: str


def gone_by(step: Step, namespace: str, space: Surroundings) -> Gone | None:
    """Return the pods that an operation restarts or takes away; None for one that reaches no pods."""
    target = step.operation.target
    if step.pods:
        named = {pod.name for pod in step.pods if pod.namespace == namespace}
        listed = [pod for pod in space.of("Pod") if pod["metadata"]["name"] in named]
        return Gone(listed, len(named), len(named), "one after another, as budgets allow")
    if isinstance(target, ServingTarget) or step.kind == "Pod":
        return _one_pod(step, space)
    if not isinstance(target, KubeTarget):
        return None
    if target.kind == "HorizontalPodAutoscaler":
        return _by_bounds(step, space)
    value = step.before or step.after
    spec = cast("dict[str, Any]", value.get("spec") or {})
    if "template" not in spec or not isinstance(spec.get("selector"), dict):
        return _service(step, space) if target.kind == "Service" else None
    pods = [pod for pod in space.of("Pod") if is_alive(pod) and selected(pod, spec["selector"])]
    return _workload(step, pods, target.kind)


def _one_pod(step: Step, space: Surroundings) -> Gone | None:
    entity = entity_of(step.operation.target)
    pods = [pod for pod in space.of("Pod") if entity is not None and pod["metadata"]["name"] == entity.name]
    if step.operation.op in ("delete", "evict"):
        return Gone(pods, 1, 1, "the pod goes, and its controller makes another")
    if step.operation.op == "serving.drain" and step.operation.args.get("draining") is False:
        return None
    if step.operation.op == "serving.drain":
        return Gone(pods, 0, 1, "the pod takes no new requests")
    left = [pod for pod in pods if step.after and labels_of(pod) != labels_of(step.after)]
    return Gone(left, 0, 1, "the pod gets other labels") if left else None


def _workload(step: Step, pods: Sequence[Object], kind: str) -> Gone:
    """Return what becomes of a workload's pods, by its strategy."""
    before, after = (cast("dict[str, Any]", value.get("spec") or {}) for value in (step.before, step.after))
    count = _count(before.get("replicas"), len(pods) if kind == "DaemonSet" else 1)
    if not step.before:
        return Gone((), 0, 0, f"{_count(after.get('replicas'), 1)} pods start")
    if not step.after:
        return Gone(pods, max(count, len(pods)), max(count, len(pods)), "all pods go")
    replaced = any(pointer.startswith("/spec/template") for pointer, _, _ in step.diff.changes)
    resumed = bool(before.get("paused")) and not after.get("paused")
    fewer = count - _count(after.get("replicas"), count)
    if (replaced and not after.get("paused")) or resumed:
        return _rolled(after, pods, max(count, len(pods)), kind)
    if fewer > 0:
        return Gone(pods, fewer, fewer, f"{fewer} pods go at once")
    if replaced:
        return Gone(pods, 0, 0, "no pod restarts until the rollout is resumed")
    return Gone(pods, 0, 0, f"{-fewer} pods start" if fewer < 0 else "no pod restarts")


def _rolled(spec: Mapping[str, Any], pods: Sequence[Object], count: int, kind: str) -> Gone:
    strategy = cast("dict[str, Any]", spec.get("strategy") or spec.get("updateStrategy") or {})
    rolling = cast("dict[str, Any]", strategy.get("rollingUpdate") or {})
    which = strategy.get("type", "RollingUpdate")
    if which == "Recreate":
        return Gone(pods, count, count, "all pods go before new ones start (Recreate)")
    if which == "OnDelete":
        return Gone(pods, 0, 0, "no pod restarts until somebody deletes it (OnDelete)")
    if kind == "StatefulSet":
        number = max(0, count - _count(rolling.get("partition"), 0))
        return Gone(pods, number, min(number, _part(rolling.get("maxUnavailable"), count, 1, up=True)), "one by one")
    if kind == "DaemonSet":
        at_once = _part(rolling.get("maxUnavailable"), count, 1, up=True)
        return Gone(pods, count, at_once, f"at most {at_once} at once")
    at_once = _part(rolling.get("maxUnavailable", "25%"), count, 0, up=False)
    surge = _part(rolling.get("maxSurge", "25%"), count, 0, up=True)
    at_once = max(at_once, 1) if not surge else at_once
    return Gone(pods, count, at_once, f"at most {at_once} of {count} away at once, {surge} more started meanwhile")


def _part(value: Any, count: int, default: int, *, up: bool) -> int:
    """Return a number or percentage of pods as a number of pods, as the API machinery rounds it."""
    if isinstance(value, str) and value.endswith("%") and value[:-1].isdecimal():
        exact = count * int(value[:-1]) / 100
        return math.ceil(exact) if up else math.floor(exact)
    return _count(value, default)


def _count(value: Any, default: int) -> int:
    return value if isinstance(value, int) else default


def _by_bounds(step: Step, space: Surroundings) -> Gone | None:
    """Return what a lower upper bound of an autoscaler takes away of its target as it stands."""
    most, now = (
        lookup(*place) for place in ((step.after, "/spec/maxReplicas"), (step.before, "/status/currentReplicas"))
    )
    if not most or not now:
        return None
    pods = _scaled(step.after, space)
    fewer = max(0, _count(now[0], 0) - _count(most[0], 0))
    return Gone(pods, fewer, fewer, f"{now[0]} pods now, at most {most[0]} then")


def _scaled(scaler: Object, space: Surroundings) -> Sequence[Object]:
    """Return the pods of the workload that an autoscaler scales; none where it is of a kind that is not listed."""
    target = cast("dict[str, Any]", scaler["spec"].get("scaleTargetRef") or {})
    for workload in space.of(str(target.get("kind"))) if target.get("kind") in WORKLOADS else ():
        if workload["metadata"]["name"] == target.get("name"):
            return [pod for pod in space.of("Pod") if is_alive(pod) and selected(pod, workload["spec"]["selector"])]
    return ()


def _service(step: Step, space: Surroundings) -> Gone | None:
    """Return the pods that lose a Service's traffic: all, when it is deleted."""
    selector = cast("dict[str, str]", cast("dict[str, Any]", step.before.get("spec") or {}).get("selector") or {})
    if step.after or not selector:
        return None
    return Gone([pod for pod in space.of("Pod") if carries(pod, selector)], 0, 0, "its name and address go")
