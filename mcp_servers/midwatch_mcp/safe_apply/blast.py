"""Blast radius: which pods a change restarts or takes away, and what share of each Service's ready pods at once.

Read off the namespace as it stands: pods, Services, disruption budgets, autoscalers and quotas, each listed once for a
plan. The operations of a plan are written one after another without waiting for rollouts, so what they take is taken
together; a pod that two of them take is one pod. What cannot be listed makes the change `dangerous`, since then nobody
knows whom it reaches.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from midwatch_contracts.entity import Entity
from midwatch_contracts.plan import Blast, Reach, ServiceReach
from midwatch_mcp.safe_apply.classify import Judgement, judge_findings
from midwatch_mcp.safe_apply.config_maps import config_findings, takes_in
from midwatch_mcp.safe_apply.gone import Gone, Step, gone_by
from midwatch_mcp.safe_apply.guards import entity_of, protecting
from midwatch_mcp.safe_apply.membership import moved
from midwatch_mcp.safe_apply.nodes_left import left_without_nodes
from midwatch_mcp.safe_apply.operations.base import WORKLOADS
from midwatch_mcp.safe_apply.pods import Object, carries, is_ready, selected
from midwatch_mcp.safe_apply.policy import Policy
from midwatch_mcp.safe_apply.ports import TargetApi
from midwatch_mcp.safe_apply.quotas import quota_refusals
from midwatch_mcp.safe_apply.surroundings import Surroundings, surroundings
from midwatch_mcp.safe_apply.values import lookup

_MORE: Mapping[str, Sequence[str]] = {
    "HorizontalPodAutoscaler": tuple(WORKLOADS),
    "ConfigMap": (*WORKLOADS, "CronJob"),
}
"""Kinds that are listed beside the usual ones where a plan changes one of a kind."""


@dataclass(frozen=True)
class Taken:
    """What one operation takes of a group of pods: up to `number` of those named."""

    operation: str
    pods: frozenset[Entity]
    number: int


async def blast(steps: Sequence[Step], api: TargetApi, policy: Policy, judged: Judgement) -> tuple[Blast, list[str]]:
    """Return the blast radius of a plan and what a person should know; raises the class in `judged` beyond a limit."""
    names = sorted({name for step in steps for name in step.namespaces})
    more = sorted({kind for step in steps for kind in _MORE.get(step.kind, ())})
    around = dict(zip(names, await asyncio.gather(*(surroundings(name, api, more) for name in names)), strict=True))
    reached: list[Reach] = []
    gone: list[tuple[Step, Gone, Surroundings]] = []
    warnings: list[str] = []
    for step in steps:
        for name in step.namespaces:
            space = around[name]
            warnings += [f"{step.operation.id}: {text}" for text in _warnings(step, space)]
            found = gone_by(step, name, space)
            if found is not None:
                gone.append((step, found, space))
                reached.append(_reach(step, found, space))
                _judge(judged, step.operation.id, found, space, policy)
    _judge_config(judged, steps, around, policy)
    for reason in [*await moved(steps, around, api), *await left_without_nodes(steps, api)]:
        judged.at_least("dangerous", reason)
    services = list(_together(judged, gone, around.values(), policy))
    total = _most(Taken("", _names(one.pods), max(len(one.pods), one.restarted)) for _, one, _ in gone)
    restarted = _most(Taken("", _names(one.pods), one.restarted) for _, one, _ in gone)
    if restarted > policy.limits.max_pods_restarted:
        judged.at_least("dangerous", f"{restarted} pods restart or go, more than {policy.limits.max_pods_restarted}")
    at_once = _most(Taken("", _names(one.pods), one.at_once) for _, one, _ in gone)
    note = _note(services, restarted, total, at_once)
    radius = Blast(objects=len(steps), pods_restarted=restarted, pods_total=total, note=note, reach=tuple(reached))
    return radius, warnings


def _most(taken: Iterable[Taken]) -> int:
    """Return how many different pods are away when every operation takes as many of its pods as it may.

    Pods of an operation that takes all of its own are certain to be among them; what is beyond the pods that are listed
    is counted as others.
    """
    parts = list(taken)
    sure = {pod for part in parts if part.number >= len(part.pods) for pod in part.pods}
    unlisted = sum(max(0, part.number - len(part.pods)) for part in parts)
    rest = [part for part in parts if part.number < len(part.pods)]
    others = {pod for part in rest for pod in part.pods} - sure
    return len(sure) + min(len(others), sum(min(part.number, len(part.pods - sure)) for part in rest)) + unlisted


def _names(pods: Iterable[Object]) -> frozenset[Entity]:
    return frozenset(map(_entity, pods))


def _entity(value: Object, kind: str = "Pod") -> Entity:
    return Entity(kind, str(value["metadata"].get("namespace", "")), str(value["metadata"]["name"]))


def _reach(step: Step, gone: Gone, space: Surroundings) -> Reach:
    shares = (_share(service, space, [taken]) for service, taken in _of_services(step, gone, space))
    return Reach(
        operation=step.operation.id,
        target=str(entity_of(step.operation.target)),
        pods=len(gone.pods),
        ready=sum(map(is_ready, gone.pods)),
        restarted=gone.restarted,
        at_once=gone.at_once,
        how=gone.how,
        services=tuple(shares),
    )


def _judge(judged: Judgement, operation: str, gone: Gone, space: Surroundings, policy: Policy) -> None:
    """Raise the class by what a step reaches alone."""
    if not gone.restarted and not gone.at_once:
        return
    if space.unknown:
        judged.at_least("dangerous", f"{operation} reaches pods, and {'; '.join(space.unknown)}")
    for pod in gone.pods:
        for reason in protecting(_entity(pod), pod, policy):
            judged.at_least("forbidden", f"{operation} reaches pods, and {reason}")


def _judge_config(judged: Judgement, steps: Sequence[Step], around: Mapping[str, Surroundings], policy: Policy) -> None:
    """Raise the class by what ConfigMaps are to those who take them in."""
    for step in steps:
        for space in (around[name] for name in step.namespaces) if step.kind == "ConfigMap" else ():
            if space.unknown:
                unknown = "; ".join(space.unknown)
                judged.at_least("dangerous", f"{step.operation.id} changes what pods may run, and {unknown}")
            name = str((step.after or step.before)["metadata"]["name"])
            users = [
                (kind, user)
                for kind in ("Pod", *_MORE["ConfigMap"])
                for user in space.of(kind)
                if takes_in(user.get("spec"), name)
            ]
            found = config_findings(step.before, step.after, (user for _, user in users))
            judge_findings(judged, found, policy, f"{step.operation.id}: ")
            for kind, user in users:
                entity = _entity(user, kind)
                for reason in protecting(entity, user, policy):
                    judged.at_least("forbidden", f"{step.operation.id} changes what {entity} takes in, and {reason}")
                if not step.after:
                    judged.at_least("dangerous", f"{step.operation.id} takes away what {entity} takes in")


def _together(
    judged: Judgement,
    gone: Sequence[tuple[Step, Gone, Surroundings]],
    around: Iterable[Surroundings],
    policy: Policy,
) -> Iterator[ServiceReach]:
    """Yield what all operations take of each Service, and raise the class by that and by the budgets."""
    most = policy.limits.max_traffic_share
    for space in around:
        here = [(step, one) for step, one, its in gone if its is space]
        found = [pair for step, one in here for pair in _of_services(step, one, space)]
        for service in space.of("Service"):
            taken = [part for its, part in found if its is service]
            if not taken:
                continue
            share = _share(service, space, taken)
            yield share
            if share.share > most:
                what = f"{share.away} of {share.ready} ready pods of {share.service}"
                judged.at_least("dangerous", f"{_who(taken)} {what} away at once, more than {most:.0%}")
        for reason in _budgets(here, space):
            judged.at_least("dangerous", reason)


def _who(taken: Sequence[Taken]) -> str:
    names = list(dict.fromkeys(part.operation for part in taken))
    return f"{names[0]} takes" if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]} together take"


def _warnings(step: Step, space: Surroundings) -> Iterator[str]:
    yield from _autoscalers(step, space)
    yield from quota_refusals(step.before, step.after, space.of("ResourceQuota"))


def _note(services: Sequence[ServiceReach], restarted: int, total: int, at_once: int) -> str:
    if not restarted:
        return "no pod restarts"
    worst = max((share for share in services if share.away), key=lambda share: share.share, default=None)
    said = f"{restarted} of {total} pods restart or go, at most {at_once} at once"
    return (
        said if worst is None else f"{said}; {worst.service} loses {worst.away} of {worst.ready} ready pods meanwhile"
    )


# Services


def _of_services(step: Step, gone: Gone, space: Surroundings) -> Iterator[tuple[Object, Taken]]:
    """Yield (Service, what is taken of its ready pods at the worst) for each that selects pods which go."""
    ready = _names(pod for pod in gone.pods if is_ready(pod))
    deleted = step.kind == "Service" and not step.after
    entity = entity_of(step.operation.target)
    for service in space.of("Service"):
        selector = _selector(service)
        if not selector or (deleted and entity is not None and service["metadata"]["name"] != entity.name):
            continue
        reached = ready & _behind(selector, space)
        if reached:
            number = len(reached) if deleted or _leaves(step, selector) else min(gone.at_once, len(reached))
            yield service, Taken(step.operation.id, reached, number)


def _selector(service: Object) -> Mapping[str, str]:
    return cast("dict[str, str]", service["spec"].get("selector") or {})


def _behind(selector: Mapping[str, str], space: Surroundings) -> frozenset[Entity]:
    """Return the ready pods behind a Service."""
    return _names(pod for pod in space.of("Pod") if is_ready(pod) and carries(pod, selector))


def _share(service: Object, space: Surroundings, taken: Sequence[Taken]) -> ServiceReach:
    ready, away = len(_behind(_selector(service), space)), _most(taken)
    text = str(Entity("Service", str(service["metadata"]["namespace"]), str(service["metadata"]["name"])))
    return ServiceReach(service=text, ready=ready, away=away, share=round(away / ready, 4))


def _leaves(step: Step, selector: Mapping[str, str]) -> bool:
    """Say whether the pods that come no longer carry what a Service selects by."""
    return (
        carries(_template(step.before), selector) and bool(step.after) and not carries(_template(step.after), selector)
    )


def _template(value: Object) -> Mapping[str, Any]:
    spec = cast("dict[str, Any]", value.get("spec") or {})
    return cast("dict[str, Any]", spec.get("template") or {})


# Budgets and autoscalers


def _budgets(here: Sequence[tuple[Step, Gone]], space: Surroundings) -> Iterator[str]:
    """Yield the disruption budgets that allow fewer pods to go than do at once."""
    for budget in space.of("PodDisruptionBudget"):
        selector = cast("dict[str, Any]", budget["spec"].get("selector") or {})
        held = (
            (step, one, _names(pod for pod in one.pods if is_ready(pod) and selected(pod, selector)))
            for step, one in here
        )
        taken = [Taken(step.operation.id, pods, min(one.at_once, len(pods))) for step, one, pods in held if pods]
        allowed, away = lookup(budget, "/status/disruptionsAllowed"), _most(taken)
        if taken and allowed and away > int(allowed[0]):
            pods = "pod" if away == 1 else "pods"
            name = budget["metadata"]["name"]
            yield f"{_who(taken)} {away} {pods} away at once, and the disruption budget {name} allows {allowed[0]} now"


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
        least, most = (int(spec.get(bound) or 1) for bound in ("minReplicas", "maxReplicas"))
        said = f"the autoscaler {scaler['metadata']['name']} also sets the replicas of {entity}"
        wanted = new[0] if isinstance(new[0], int) else 1
        beyond = "" if least <= wanted <= most else f", between {least} and {most}, and will set them back"
        yield said + beyond
