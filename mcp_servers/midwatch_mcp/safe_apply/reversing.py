"""The plan that undoes a verified change by hand: its undos in reverse order, as a draft like any other."""

from typing import Any

from midwatch_contracts.entity import Entity
from midwatch_contracts.plan import Expectation, KubeTarget, Operation, Plan, ServingTarget
from midwatch_mcp.safe_apply.drafting import Draft, DraftOperation, KubeDraft, ServingDraft
from midwatch_mcp.safe_apply.errors import RefusedChangeError

_WITHIN_S = 300.0
SETTLED: dict[str, str] = {
    "Deployment": (
        "object.status.observedGeneration >= object.metadata.generation"
        " && (object.spec.replicas == 0.0 || object.status.availableReplicas >= object.spec.replicas)"
        " && (object.spec.replicas == 0.0 || object.status.updatedReplicas >= object.spec.replicas)"
        # Else pods of before, still there because the new ones do not get ready, would stand for them.
        " && (object.spec.replicas == 0.0 || object.status.updatedReplicas >= object.status.replicas)"
    ),
    "StatefulSet": (
        "object.status.observedGeneration >= object.metadata.generation"
        " && (object.spec.replicas == 0.0 || object.status.readyReplicas >= object.spec.replicas)"
    ),
    "DaemonSet": (
        "object.status.observedGeneration >= object.metadata.generation"
        " && (object.status.desiredNumberScheduled == 0.0"
        " || object.status.updatedNumberScheduled >= object.status.desiredNumberScheduled)"
        " && (object.status.desiredNumberScheduled == 0.0"
        " || object.status.numberAvailable >= object.status.desiredNumberScheduled)"
    ),
    "Pod": 'object.status.phase == "Running"',
}
"""What a target must come to after its undo: the service's own expectations spoke for the change, not against it."""
_THERE = 'object.metadata.name != ""'


def reversing_draft(plan: Plan) -> Draft:
    """Return the draft that leads back from an applied plan.

    Raises:
        RefusedChangeError: an operation has no undo.
    """
    operations = [_reversed(operation) for operation in reversed(plan.operations)]
    expect: list[Expectation] = []
    for operation in reversed(plan.operations):
        entity = _entity(operation)
        if isinstance(operation.undo, Operation) and operation.undo.op == "delete":
            # That it is gone, the transaction reads itself; what can be expected of anything is the place where it was.
            entity = Entity("Namespace", "", entity.namespace or "kube-system")
        found = Expectation(object=entity, cel=SETTLED.get(entity.kind, _THERE), within_s=_WITHIN_S, hold_s=0.0)
        expect += [] if found in expect else [found]
    return Draft(
        title=f"Undo: {plan.title}"[:200],
        cause=plan.cause,
        evidence=plan.evidence,
        operations=tuple(operations),
        expect=tuple(expect),
    )


def _reversed(operation: Operation) -> DraftOperation:
    if not isinstance(operation.undo, Operation):
        raise RefusedChangeError("not_understood", f"{operation.id} ({operation.op}) has no undo")
    args: dict[str, Any] = operation.undo.args
    target = operation.target
    if isinstance(target, KubeTarget):
        named = KubeDraft(kind=target.kind, name=target.name, namespace=target.namespace, apiVersion=target.apiVersion)
        return DraftOperation(op=operation.undo.op, target=named, args=args)
    return DraftOperation(op=operation.undo.op, target=ServingDraft(serving=_entity(operation)), args=args)


def _entity(operation: Operation) -> Entity:
    target = operation.target
    if isinstance(target, KubeTarget):
        return target.entity
    if isinstance(target, ServingTarget):
        return Entity.parse(target.serving)
    raise RefusedChangeError("not_understood", f"{operation.id} has a target that is not understood")
