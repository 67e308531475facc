"""The same plan for the copy: its operations as a draft, with the pods of the copy in place of those that it names.

What `change_propose` wrote for the real cluster (uids, marks, which pods a drain evicts) is written anew for the copy.
"""

import copy
from collections.abc import Mapping
from typing import Any, cast

from midwatch_contracts.entity import Entity
from midwatch_contracts.expectations import describe
from midwatch_contracts.plan import Expectation, KubeTarget, Operation, Plan, ServingTarget
from midwatch_mcp.safe_apply.drafting import Draft, DraftOperation, KubeDraft, ServingDraft
from midwatch_mcp.safe_apply.errors import RefusedChangeError
from midwatch_mcp.safe_apply.operations import operation_kind
from midwatch_mcp.safe_apply.operations.pod_template import TEMPLATE
from midwatch_mcp.safe_apply.rehearsal.reducing import WORKLOADS, reduced_pod, reduced_workload
from midwatch_mcp.safe_apply.reversing import SETTLED

HOLD_S = 2.0
"""How long at most what is expected must hold: a copy has no traffic whose course one would have to wait for."""

Json = dict[str, Any]


def redrafted(plan: Plan, pods: Mapping[str, str], within_s: float, cuts: set[str]) -> Draft:
    """Return the draft of a plan for its copy.

    Args:
        plan: the plan of the real cluster.
        pods: the copy's pod for each that the plan names.
        within_s: how long the copy has to settle.
        cuts: is told what of the plan the copy cannot judge.

    Raises:
        RefusedChangeError: the copy has no pod for one of them.
    """
    operations = [_operation(operation, pods, cuts) for operation in plan.operations]
    return Draft(
        title=f"Rehearsal: {plan.title}"[:200], operations=tuple(operations), expect=_expected(plan, within_s, cuts)
    )


def _operation(operation: Operation, pods: Mapping[str, str], cuts: set[str]) -> DraftOperation:
    kind = operation_kind(operation.op)
    op, args = (
        operation.op,
        {name: copy.deepcopy(operation.args[name]) for name in kind.drafted() if name in operation.args},
    )
    if op == "rollout_undo":
        # The copy has no history: what comes is the template that the plan holds.
        template = copy.deepcopy(cast("Json", operation.args["template"]))
        reduced_pod(cast("Json", template.get("spec") or {}), cuts)
        op, args = "patch", {"type": "json", "patch": [{"op": "replace", "path": TEMPLATE, "value": template}]}
    manifest = args.get("manifest")
    if isinstance(manifest, dict) and cast("Json", manifest).get("kind") in WORKLOADS:
        reduced_workload(cast("Json", cast("Json", manifest).get("spec") or {}), cuts)
    target = operation.target
    if isinstance(target, ServingTarget):
        return DraftOperation(op=op, target=ServingDraft(serving=_pod(Entity.parse(target.serving), pods)), args=args)
    if not isinstance(target, KubeTarget):
        raise RefusedChangeError("not_understood", f"{operation.id}: its target has no copy in a lab")
    name = target.name if target.kind != "Pod" or op == "create" else _pod(target.entity, pods).name
    named = KubeDraft(kind=target.kind, name=name, namespace=target.namespace, apiVersion=target.apiVersion)
    return DraftOperation(op=op, target=named, args=args)


def _pod(pod: Entity, pods: Mapping[str, str]) -> Entity:
    if str(pod) not in pods:
        raise RefusedChangeError("not_understood", f"the copy has no pod in the place of {pod}")
    return Entity.parse(pods[str(pod)])


def not_met(expectation: Expectation) -> str:
    """Return in words that an expectation of a copy was not met."""
    entity = expectation.object
    if entity is not None and expectation.cel == SETTLED.get(entity.kind):
        return f"{entity} did not settle within {expectation.within_s:g} s"
    return f"not met: {describe(expectation)}"


def _expected(plan: Plan, within_s: float, cuts: set[str]) -> tuple[Expectation, ...]:
    """Return what must come in the copy: what the plan expects of objects, and that what it touches settles."""
    found: list[Expectation] = []
    for one in plan.expect:
        if one.object is None:
            cuts.add("there is no traffic: expectations over metrics were not judged")
        elif one.object.kind != "Pod":
            shorter = {"within_s": min(one.within_s, within_s), "hold_s": min(one.hold_s, HOLD_S)}
            found.append(one.model_copy(update=shorter))
    for operation in plan.operations:
        target = operation.target
        if (
            isinstance(target, KubeTarget)
            and target.kind in SETTLED
            and target.kind != "Pod"
            and operation.op != "delete"
        ):
            found.append(Expectation(object=target.entity, cel=SETTLED[target.kind], within_s=within_s, hold_s=HOLD_S))
    if not found:
        there = Entity("Namespace", "", "kube-system")
        found.append(Expectation(object=there, cel='object.metadata.name != ""', within_s=within_s, hold_s=0.0))
    return tuple(found)
