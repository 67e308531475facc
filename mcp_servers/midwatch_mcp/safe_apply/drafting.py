"""From a draft to a plan: read the objects, fill in what binds the plan to them, refuse what is not understood."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field, ValidationError

from midwatch_contracts.causes import Cause
from midwatch_contracts.entity import Entity
from midwatch_contracts.errors import ContractError
from midwatch_contracts.evidence import EVIDENCE_ID
from midwatch_contracts.expectations import check_expectation
from midwatch_contracts.model import Model
from midwatch_contracts.plan import Expectation, KubeTarget, Operation, Plan, Precondition, ServingTarget, Target
from midwatch_contracts.times import rfc3339
from midwatch_mcp.safe_apply.classify import jail
from midwatch_mcp.safe_apply.errors import RefusedChangeError
from midwatch_mcp.safe_apply.operations import operation_kind
from midwatch_mcp.safe_apply.operations.base import OperationKind
from midwatch_mcp.safe_apply.operations.rollout_undo import RolloutUndoOperation, template_of
from midwatch_mcp.safe_apply.policy import Policy
from midwatch_mcp.safe_apply.ports import Snapshot, TargetApi
from midwatch_mcp.safe_apply.preview import try_out
from midwatch_mcp.safe_apply.values import is_noise


class KubeDraft(Model):
    """A Kubernetes object as a draft names it."""

    kind: str = Field(pattern=r"^[A-Z][A-Za-z0-9]{0,62}$")
    name: str = Field(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")
    namespace: str = Field(default="", pattern=r"^([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)?$")
    apiVersion: str | None = None  # noqa: N815 (Kubernetes' own spelling)


class ServingDraft(Model):
    """A serving backend as a draft names it: a pod."""

    serving: Entity


class DraftOperation(Model):
    """One operation of a draft. Ids, preconditions and undo are the envelope's to write."""

    op: str
    target: KubeDraft | ServingDraft
    args: dict[str, Any] = Field(default_factory=dict)


class Draft(Model):
    """What `change_propose` takes."""

    title: str = Field(min_length=1, max_length=200)
    cause: Cause | None = None
    evidence: tuple[Annotated[str, Field(pattern=EVIDENCE_ID)], ...] = ()
    operations: tuple[DraftOperation, ...] = Field(min_length=1)
    expect: tuple[Expectation, ...] = Field(min_length=1)


def parse_draft(raw: Mapping[str, Any]) -> Draft:
    """Read a draft.

    Raises:
        RefusedChangeError: names each field that does not fit.
    """
    try:
        return Draft.model_validate(dict(raw))
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'draft'}: {e['msg']}" for e in error.errors())
        raise RefusedChangeError("bad_draft", f"the draft does not fit: {wrong}") from error


async def draft_plan(draft: Draft, api: TargetApi, policy: Policy, *, now: float) -> Plan:
    """Return the plan of a draft.

    Raises:
        RefusedChangeError: an operation, target or expectation is not understood, outside the jail or without effect.
        TargetError: a target cannot be read, or its server refuses the dry run.
    """
    for expectation in draft.expect:
        try:
            check_expectation(expectation)
        except ContractError as error:
            raise RefusedChangeError("bad_draft", f"an expectation cannot be judged: {error}") from error
    cluster = await api.cluster_uid()
    operations = [
        await _operation(f"op{number}", operation, cluster, api, policy)
        for number, operation in enumerate(draft.operations, 1)
    ]
    _refuse_same_object(operations)
    try:
        return Plan.sealed(
            title=draft.title,
            cause=draft.cause,
            evidence=draft.evidence,
            operations=tuple(operations),
            expect=draft.expect,
            created=rfc3339(now),
        )
    except ValidationError as error:
        raise RefusedChangeError("bad_draft", f"the plan does not fit: {error.errors()[0]['msg']}") from error


async def _operation(name: str, draft: DraftOperation, cluster: str, api: TargetApi, policy: Policy) -> Operation:
    kind = operation_kind(draft.op)
    target, entity = await _target(draft, kind, cluster, api)
    outside = jail(draft.op, entity, policy)
    if outside:
        raise RefusedChangeError("forbidden", f"{name} ({draft.op} of {entity}): {'; '.join(outside)}")
    snapshot = await api.read(target)
    args = await _arguments(draft, kind, entity, snapshot, api)
    parsed = kind.parse(args)
    touched = kind.touched(parsed, snapshot.value)
    unseen = [pointer for pointer in kind.pointers(parsed, snapshot.value) if is_noise(pointer)]
    if unseen:
        raise RefusedChangeError("not_understood", f"{name} changes {', '.join(unseen)}, which the server itself sets")
    operation = Operation(id=name, op=draft.op, target=target, args=args)
    tried = await try_out(operation, snapshot, api)
    expected, (undo_name, undo_args) = tried.expected, tried.undo
    if expected.pre_sha256 == expected.post_sha256:
        held = ", ".join(f"{place} is {value[0] if value else 'absent'}" for place, value in touched.items())
        raise RefusedChangeError("no_effect", f"{name} ({draft.op} of {entity}) changes nothing: {held}")
    return operation.model_copy(
        update={
            "pre": Precondition(uid=snapshot.uid, touched_sha256=expected.pre_sha256),
            "undo": Operation(id=f"{name}-undo", op=undo_name, target=target, args=undo_args),
        }
    )


async def _target(
    draft: DraftOperation, kind: OperationKind[Any], cluster: str, api: TargetApi
) -> tuple[Target, Entity]:
    if isinstance(draft.target, ServingDraft):
        entity = draft.target.serving
        if kind.name != "serving.config" or entity.kind != "Pod":
            raise RefusedChangeError(
                "not_understood", f"{kind.name} of {entity}: only serving.config has a serving target, and it is a Pod"
            )
        return ServingTarget(serving=str(entity), cluster=cluster), entity
    found = await api.kind(draft.target.kind, draft.target.apiVersion)
    if kind.name == "serving.config" or ("*" not in kind.kinds and found.kind not in kind.kinds):
        able = ", ".join(kind.kinds) if kind.name != "serving.config" else 'a target {"serving": "Pod/ns/name"}'
        raise RefusedChangeError("not_understood", f"{kind.name} does not know the kind {found.kind}, only {able}")
    if found.namespaced != bool(draft.target.namespace):
        need = "needs a namespace" if found.namespaced else "has no namespace"
        raise RefusedChangeError("bad_draft", f"the target {found.kind} {draft.target.name} {need}")
    target = KubeTarget(
        cluster=cluster,
        apiVersion=found.api_version,
        kind=found.kind,
        namespace=draft.target.namespace,
        name=draft.target.name,
    )
    return target, target.entity


async def _arguments(
    draft: DraftOperation, kind: OperationKind[Any], entity: Entity, snapshot: Snapshot, api: TargetApi
) -> dict[str, Any]:
    """Return the arguments in the form that the plan keeps: typed, and with what only the cluster knows filled in."""
    parsed = kind.parse(draft.args)
    if isinstance(kind, RolloutUndoOperation):
        replicasets = await api.objects("ReplicaSet", entity.namespace)
        revision, template = template_of(parsed, snapshot.value, replicasets)
        return {"to_revision": revision, "template": template}
    return parsed.model_dump(mode="json", exclude_defaults=True)


def _refuse_same_object(operations: Sequence[Operation]) -> None:
    """Refuse two operations on one object, however it is written (CONTRACTS §5)."""
    uids = [operation.pre.uid for operation in operations if operation.pre is not None]
    serving = [isinstance(operation.target, ServingTarget) for operation in operations]
    if len(set(zip(uids, serving, strict=True))) != len(operations):
        raise RefusedChangeError(
            "bad_draft", "the plan touches an object more than once: merge the operations, or make two plans"
        )
