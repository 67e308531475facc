"""Blast radius: which pods a change restarts or takes away, and what share of each Service's ready pods at once.

Read off the namespace as it stands: pods, Services, disruption budgets, autoscalers and quotas, each listed once for a
plan. What cannot be listed makes the change `dangerous`, since then nobody knows whom it reaches.
"""

import asyncio
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from midwatch_contracts.entity import Entity
from midwatch_contracts.plan import Blast, Diff, KubeTarget, Operation, Reach, ServiceReach, ServingTarget
from midwatch_mcp.safe_apply.classify import Judgement
from midwatch_mcp.safe_apply.guards import entity_of, protecting
from midwatch_mcp.safe_apply.pods import Object, carries, is_alive, is_ready, labels_of, selected
from midwatch_mcp.safe_apply.policy import Policy
from midwatch_mcp.safe_apply.ports import TargetApi
from midwatch_mcp.safe_apply.quotas import quota_refusals
from midwatch_mcp.safe_apply.surroundings import Surroundings, surroundings


@dataclass(frozen=True)
class Step:
    """One operation as its dry run showed it; `pods` are those that it takes away by name, beside its target's own."""

    operation: Operation
    before: Object
    after: Object
    diff: Diff
    pods: tuple[Entity, ...] = ()


@dataclass(frozen=True)
class Gone:
    """Pods that restart or go by an operation, how many at once, and how, in words."""

    pods: Sequence[Object]
    restarted: int
    at_once: int
    how: str


async def blast(steps: Sequence[Step], api: TargetApi, policy: Policy, judged: Judgement) -> tuple[Blast, list[str]]:
    """Return the blast radius of a plan and what a person should know; raises the class in `judged` beyond a limit."""
    names = sorted({name for step in steps for name in _namespaces(step)})
    around = dict(zip(names, await asyncio.gather(*(surroundings(name, api) for name in names)), strict=True))
    reached: list[Reach] = []
    warnings: list[str] = []
    for step in steps:
        for name in _namespaces(step):
            space = around[name]
            warnings += [f"{step.operation.id}: {text}" for text in _warnings(step, space)]
            gone = _gone(step, name, space)
            if gone is not None:
                reached.append(_reach(step, gone, space))
                _judge(judged, reached[-1], gone, space, policy)
    limits = policy.limits
    restarted = sum(one.restarted for one in reached)
    total = sum(max(one.pods, one.restarted) for one in reached)
    if restarted > limits.max_pods_restarted:
        judged.at_least("dangerous", f"{restarted} pods restart or go, more than {limits.max_pods_restarted}")
    note = _note(reached, restarted, total)
    found = Blast(objects=len(steps), pods_restarted=restarted, pods_total=total, note=note, reach=tuple(reached))
    return found, warnings


def _namespaces(step: Step) -> list[str]:
    entity = entity_of(step.operation.target)
    own = [] if entity is None or not entity.namespace else [entity.namespace]
    return own or sorted({pod.namespace for pod in step.pods})


def _reach(step: Step, gone: Gone, space: Surroundings) -> Reach:
    return Reach(
        operation=step.operation.id,
        target=str(entity_of(step.operation.target)),
        pods=len(gone.pods),
        ready=sum(map(is_ready, gone.pods)),
        restarted=gone.restarted,
        at_once=gone.at_once,
        how=gone.how,
        services=tuple(_shares(step, gone, space)),
    )


def _judge(judged: Judgement, reach: Reach, gone: Gone, space: Surroundings, policy: Policy) -> None:
    """Raise the class by what a step reaches."""
    limits = policy.limits
    if (gone.restarted or gone.at_once) and space.unknown:
        judged.at_least("dangerous", f"{reach.operation} reaches pods, and {'; '.join(space.unknown)}")
    for pod in gone.pods if gone.restarted or gone.at_once else ():
        entity = Entity("Pod", str(pod["metadata"].get("namespace", "")), str(pod["metadata"]["name"]))
        for reason in protecting(entity, pod, policy):
            judged.at_least("forbidden", f"{reach.operation} reaches pods, and {reason}")
    for share in reach.services:
        if share.share > limits.max_traffic_share:
            judged.at_least(
                "dangerous",
                f"{reach.operation} takes {share.away} of {share.ready} ready pods of {share.service} away at once, "
                f"more than {limits.max_traffic_share:.0%}",
            )
    for reason in _budgets(gone, space):
        judged.at_least("dangerous", f"{reach.operation} {reason}")


def _warnings(step: Step, space: Surroundings) -> Iterator[str]:
    yield from _autoscalers(step, space)
    yield from quota_refusals(step.before, step.after, space.of("ResourceQuota"))


def _note(reached: Sequence[Reach], restarted: int, total: int) -> str:
    if not restarted:
        return "no pod restarts"
    shares = [share for one in reached for share in one.services if share.away]
    worst = max(shares, key=lambda share: share.share, default=None)
    said = f"{restarted} of {total} pods restart or go, at most {max(one.at_once for one in reached)} at once"
    return (
        said if worst is None else f"{said}; {worst.service} loses {worst.away} of {worst.ready} ready pods meanwhile"
    )


# Which pods


def _gone(step: Step, namespace: str, space: Surroundings) -> Gone | None:
    """Return the pods that an operation restarts or takes away; None for one that reaches no pods."""
    target = step.operation.target
    if step.pods:
        named = {pod.name for pod in step.pods if pod.namespace == namespace}
        listed = [pod for pod in space.of("Pod") if pod["metadata"]["name"] in named]
        return Gone(listed, len(named), len(named), "one after another, as budgets allow")
    if isinstance(target, ServingTarget) or _kind(step) == "Pod":
        return _one_pod(step, space)
    if not isinstance(target, KubeTarget):
        return None
    if target.kind == "HorizontalPodAutoscaler":
        return _by_bounds(step)
    value = step.before or step.after
    spec = cast("dict[str, Any]", value.get("spec") or {})
    if "template" not in spec or not isinstance(spec.get("selector"), dict):
        return _service(step, space) if target.kind == "Service" else None
    pods = [pod for pod in space.of("Pod") if is_alive(pod) and selected(pod, spec["selector"])]
    return _workload(step, pods, target.kind)


def _kind(step: Step) -> str:
    """Return the kind of a step's target."""
    entity = entity_of(step.operation.target)
    return "" if entity is None else entity.kind


def _one_pod(step: Step, space: Surroundings) -> Gone | None:
    entity = entity_of(step.operation.target)
    pods = [pod for pod in space.of("Pod") if entity is not None and pod["metadata"]["name"] == entity.name]
    if step.operation.op in ("delete", "evict"):
        return Gone(pods, 1, 1, "the pod goes, and its controller makes another")
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


def _by_bounds(step: Step) -> Gone | None:
    """Return what a lower upper bound of an autoscaler takes away of its target as it stands."""
    most = _number(step.after, "spec", "maxReplicas")
    now = _number(step.before, "status", "currentReplicas")
    if most is None or now is None:
        return None
    return Gone((), max(0, now - most), max(0, now - most), f"{now} pods now, at most {most} then")


def _number(value: Object, *path: str) -> int | None:
    """Return a whole number at a path, or None."""
    found: Any = value
    for name in path:
        found = cast("dict[str, Any]", found).get(name) if isinstance(found, dict) else None
    return found if isinstance(found, int) else None


def _service(step: Step, space: Surroundings) -> Gone | None:
    """Return the pods that lose a Service's traffic: all, when it is deleted."""
    selector = cast("dict[str, str]", cast("dict[str, Any]", step.before.get("spec") or {}).get("selector") or {})
    if step.after or not selector:
        return None
    return Gone([pod for pod in space.of("Pod") if carries(pod, selector)], 0, 0, "its name and address go")


# Whom it reaches


def _shares(step: Step, gone: Gone, space: Surroundings) -> Iterator[ServiceReach]:
    """Yield how much of each Service that selects the pods is away at once, at the worst."""
    gone_names = {pod["metadata"]["name"] for pod in gone.pods if is_ready(pod)}
    deleted = _kind(step) == "Service" and not step.after
    entity = entity_of(step.operation.target)
    for service in space.of("Service"):
        name = str(service["metadata"]["name"])
        selector = cast("dict[str, str]", service["spec"].get("selector") or {})
        if not selector or (deleted and entity is not None and name != entity.name):
            continue
        ready = {pod["metadata"]["name"] for pod in space.of("Pod") if is_ready(pod) and carries(pod, selector)}
        reached = ready & gone_names
        if not reached:
            continue
        away = len(reached) if deleted or _leaves(step, selector) else min(gone.at_once, len(reached))
        text = f"Service/{service['metadata']['namespace']}/{name}"
        yield ServiceReach(service=text, ready=len(ready), away=away, share=round(away / len(ready), 4))


def _leaves(step: Step, selector: Mapping[str, str]) -> bool:
    """Say whether the pods that come no longer carry what a Service selects by."""
    return (
        carries(_template(step.before), selector) and bool(step.after) and not carries(_template(step.after), selector)
    )


def _template(value: Object) -> Mapping[str, Any]:
    spec = cast("dict[str, Any]", value.get("spec") or {})
    return cast("dict[str, Any]", spec.get("template") or {})


def _budgets(gone: Gone, space: Surroundings) -> Iterator[str]:
    """Yield the disruption budgets that allow fewer pods to go than do at once."""
    for budget in space.of("PodDisruptionBudget"):
        selector = cast("dict[str, Any]", budget["spec"].get("selector") or {})
        held = [pod for pod in gone.pods if is_ready(pod) and selected(pod, selector)]
        allowed = _number(budget, "status", "disruptionsAllowed")
        away = min(gone.at_once, len(held))
        if held and allowed is not None and away > allowed:
            name = budget["metadata"]["name"]
            pods = "pod" if away == 1 else "pods"
            yield f"takes {away} {pods} away at once, and the disruption budget {name} allows {allowed} now"


def _autoscalers(step: Step, space: Surroundings) -> Iterator[str]:
    """Yield the autoscalers that write the replicas of the same workload, where a change sets them."""
    entity = entity_of(step.operation.target)
    new = [new for pointer, _, new in step.diff.changes if pointer == "/spec/replicas"]
    if entity is None or not new:
        return
    for scaler in space.of("HorizontalPodAutoscaler"):
        spec = cast("dict[str, Any]", scaler["spec"])
        target = cast("dict[str, Any]", spec["scaleTargetRef"])
        if (target.get("kind"), target.get("name")) != (entity.kind, entity.name):
            continue
        least, most = _count(spec.get("minReplicas"), 1), _count(spec.get("maxReplicas"), 1)
        said = f"the autoscaler {scaler['metadata']['name']} also sets the replicas of {entity}"
        wanted = _count(new[0], 1)
        beyond = "" if least <= wanted <= most else f", between {least} and {most}, and will set them back"
        yield said + beyond
