"""Who selects pods by their labels, and what becomes of that where a change gives pods other labels.

A pod that joins another Service gets its callers, one that a network policy lets in reaches what is kept behind it, and
one that leaves either is no longer found, or no longer shut off.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from midwatch_contracts.entity import Entity
from midwatch_mcp.safe_apply.errors import TargetError
from midwatch_mcp.safe_apply.gone import Step
from midwatch_mcp.safe_apply.pods import Object, carries, is_alive, selected
from midwatch_mcp.safe_apply.ports import TargetApi
from midwatch_mcp.safe_apply.surroundings import Surroundings


async def moved(steps: Sequence[Step], around: Mapping[str, Surroundings], api: TargetApi) -> list[str]:
    """Return what operations do to who selects pods by labels, in words."""
    found = [text for step in steps for text in _second_budget(step, around)]
    labelled = [step for step in steps if step.after and _labels(step.before) != _labels(step.after)]
    if not labelled:
        return found
    policies: Sequence[Object] = ()
    try:
        # Of every namespace: a policy there may let in pods of here by their labels.
        policies = await api.objects("NetworkPolicy", "")
    except TargetError as error:
        found.append(f"pods get other labels, and which network policies go by them cannot be listed ({error})")
    for step in labelled:
        for name in step.namespaces:
            old, new = (
                set(_selecting(_labels(value), name, around[name], policies)) for value in (step.before, step.after)
            )
            gained, lost = sorted(new - old), sorted(old - new)
            found += [f"{step.operation.id} gives pods to {who}, by their labels" for who in gained]
            found += [f"{step.operation.id} takes pods from {who}, by their labels" for who in lost]
            budgets = [who for who in sorted(new) if who.startswith("PodDisruptionBudget/")]
            if len(budgets) > 1 and gained:
                found.append(f"{step.operation.id}: {' and '.join(budgets)} {_NEITHER}")
    return found


_NEITHER = "hold the same pods: no eviction of them is let through, and no node of theirs can be drained"


def _labels(value: Object) -> Mapping[str, str] | None:
    """Return the labels of the pods that an object is or makes; None where it makes none."""
    spec: Any = value.get("spec")
    pod = (
        value
        if value.get("kind") == "Pod"
        else cast("Object", spec).get("template")
        if isinstance(spec, dict)
        else None
    )
    if not isinstance(pod, dict):
        return None
    metadata: Any = cast("Object", pod).get("metadata") or {}
    return cast("dict[str, str]", metadata.get("labels") or {})


def _selecting(
    labels: Mapping[str, str] | None, namespace: str, space: Surroundings, policies: Sequence[Object]
) -> Iterator[str]:
    """Yield who selects pods of some labels in a namespace."""
    if labels is None:
        return
    pod = {"metadata": {"labels": labels}}
    for service in space.of("Service"):
        selector = cast("dict[str, str]", service["spec"].get("selector") or {})
        if selector and carries(pod, selector):
            yield _named("Service", service)
    for budget in space.of("PodDisruptionBudget"):
        if selected(pod, cast("Object", budget["spec"].get("selector") or {})):
            yield _named("PodDisruptionBudget", budget)
    for policy in policies:
        here = policy["metadata"]["namespace"] == namespace
        if here and selected(pod, cast("Object", policy["spec"].get("podSelector") or {})):
            yield _named("NetworkPolicy", policy)
        if any(_lets_in(pod, peer, here=here) for peer in _peers(policy)):
            yield f"those that {_named('NetworkPolicy', policy)} lets in or out"


def _named(kind: str, value: Object) -> str:
    return str(Entity(kind, str(value["metadata"]["namespace"]), str(value["metadata"]["name"])))


def _peers(policy: Object) -> Iterator[Mapping[str, Any]]:
    """Yield the peers that a network policy names by the labels of their pods."""
    for direction, side in (("ingress", "from"), ("egress", "to")):
        for rule in cast("list[dict[str, Any]]", policy["spec"].get(direction) or []):
            for peer in cast("list[dict[str, Any]]", rule.get(side) or []):
                if "podSelector" in peer:
                    yield peer


def _lets_in(pod: Object, peer: Mapping[str, Any], *, here: bool) -> bool:
    """Say whether a peer may be such a pod; one that goes by namespaces may mean any."""
    return (here or "namespaceSelector" in peer) and selected(pod, peer["podSelector"])


def _second_budget(step: Step, around: Mapping[str, Surroundings]) -> Iterator[str]:
    """Yield the budgets that a new one stands beside, over the same pods."""
    if step.kind != "PodDisruptionBudget" or step.before:
        return
    own = cast("Object", step.after["spec"].get("selector") or {})
    for name in step.namespaces:
        pods = [pod for pod in around[name].of("Pod") if is_alive(pod) and selected(pod, own)]
        for budget in around[name].of("PodDisruptionBudget"):
            if any(selected(pod, cast("Object", budget["spec"].get("selector") or {})) for pod in pods):
                yield f"{step.operation.id}: it and {_named('PodDisruptionBudget', budget)} {_NEITHER}"
