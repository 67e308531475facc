"""From a draft to a plan: read the objects, fill in what binds the plan to them, refuse what is not understood."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, cast

from pydantic import Field, ValidationError

from midwatch_contracts.causes import Cause
from midwatch_contracts.entity import Entity
from midwatch_contracts.errors import ContractError
from midwatch_contracts.evidence import EVIDENCE_ID
from midwatch_contracts.expectations import check_expectation
from midwatch_contracts.model import Model
from midwatch_contracts.plan import Expectation, KubeTarget, Operation, Plan, Precondition, ServingTarget, Target
from midwatch_contracts.times import rfc3339
from midwatch_mcp.safe_apply.at_once import at_once
from midwatch_mcp.safe_apply.classify import jail
from midwatch_mcp.safe_apply.errors import RefusedChangeError, TargetMissingError
from midwatch_mcp.safe_apply.masking import masked
from midwatch_mcp.safe_apply.operations import OPERATIONS, operation_kind
from midwatch_mcp.safe_apply.operations.base import OperationKind
from midwatch_mcp.safe_apply.policy import Policy
from midwatch_mcp.safe_apply.ports import TargetApi
from midwatch_mcp.safe_apply.preparing import Drafting, as_arguments, generated_name, prepared
from midwatch_mcp.safe_apply.preview import try_out
from midwatch_mcp.safe_apply.reading import read_for
from midwatch_mcp.safe_apply.together import refuse_dependent, refuse_order, refuse_same_object
from midwatch_mcp.safe_apply.values import ill_formed, is_noise


class KubeDraft(Model):
    """A Kubernetes object as a draft names it."""

    kind: str = Field(pattern=r"^[A-Z][A-Za-z0-9]{0,62}$")
    name: str = Field(default="", pattern=r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?$")
    """May be left out where a manifest to create has a `generateName`."""
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
    operations: tuple[DraftOperation, ...] = Field(min_length=1, max_length=200)
    expect: tuple[Expectation, ...] = Field(min_length=1)


def parse_draft(raw: Mapping[str, Any]) -> Draft:
    """Read a draft.

    Raises:
        RefusedChangeError: names each field that does not fit.
    """
    wrong = ill_formed(raw)
    if wrong is not None:
        raise RefusedChangeError("bad_draft", f"the draft does not fit: {wrong}")
    try:
        draft = Draft.model_validate(dict(raw))
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'draft'}: {e['msg']}" for e in error.errors())
        raise RefusedChangeError("bad_draft", f"the draft does not fit: {wrong}") from error
    for number, operation in enumerate(draft.operations, 1):
        ours = _written_here(operation)
        if ours:
            what = f"operation {number} ({operation.op}) gives {', '.join(ours)}, which change_propose writes itself"
            raise RefusedChangeError("bad_draft", f"{what}: leave it out")
    return draft


def _written_here(operation: DraftOperation) -> list[str]:
    """Return the arguments that no draft from outside gives; the draft of an undo does."""
    kind = OPERATIONS.get(operation.op)
    return (
        [] if kind is None else sorted(set(operation.args) & (set(kind.arguments.model_fields) - set(kind.drafted())))
    )


def checked(draft: Draft) -> None:
    """Check what can be checked of a draft without its objects.

    Raises:
        RefusedChangeError: it holds what looks like a credential, or an expectation that cannot be judged.
    """
    for number, operation in enumerate(draft.operations, 1):
        if masked(operation.args) != operation.args:
            # What is hidden on the screen would be approved unseen.
            raise RefusedChangeError(
                "bad_draft",
                f"operation {number} ({operation.op}) holds what looks like a secret, which nobody could look at "
                "before approving it: refer to a Secret, or name the field otherwise",
            )
    for expectation in draft.expect:
        try:
            check_expectation(expectation)
        except ContractError as error:
            raise RefusedChangeError("bad_draft", f"an expectation cannot be judged: {error}") from error


async def draft_plan(draft: Draft, api: TargetApi, policy: Policy, *, now: float) -> Plan:
    """Return the plan of a draft.

    Raises:
        RefusedChangeError: an operation, target or expectation is not understood, outside the jail or without effect.
        TargetError: a target cannot be read, or its server refuses the dry run.
    """
    checked(draft)
    refuse_dependent([(one.op, one.target.model_dump(), one.args) for one in draft.operations])
    cluster = await api.cluster_uid()
    wanted = await at_once(_rewritten(operation, cluster, api, policy) for operation in draft.operations)
    wanted = [one for at, one in enumerate(wanted) if one is draft.operations[at] or one not in wanted[:at]]
    operations = await at_once(
        _operation(f"op{number}", operation, cluster, api, (policy, now)) for number, operation in enumerate(wanted, 1)
    )
    refuse_same_object(operations)
    refuse_order(operations)
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


async def _rewritten(draft: DraftOperation, cluster: str, api: TargetApi, policy: Policy) -> DraftOperation:
    """Return a `serving.config` as `set_args` where the backend has no configuration resource (CONTRACTS §8)."""
    if draft.op != "serving.config" or not isinstance(draft.target, ServingDraft) or draft.target.serving.kind != "Pod":
        return draft
    pod = draft.target.serving
    backend = ServingTarget(serving=str(pod), cluster=cluster)
    values = operation_kind(draft.op).parse(draft.args).values
    if jail(draft.op, backend, policy):
        return draft  # nothing is sent to a pod outside the jail; the operation is refused as it stands
    try:
        await api.read(backend)
    except TargetMissingError:
        target, args = await as_arguments(pod, values, cluster, api)
        return DraftOperation(op="set_args", target=KubeDraft.model_validate(target), args=args)
    return draft


async def _operation(
    name: str, draft: DraftOperation, cluster: str, api: TargetApi, under: tuple[Policy, float]
) -> Operation:
    kind = operation_kind(draft.op)
    target, entity = await _target(draft, kind, cluster, api)
    policy, now = under
    outside = jail(draft.op, target, policy)
    if outside:
        raise RefusedChangeError("forbidden", f"{name} ({draft.op} of {entity}): {'; '.join(outside)}")
    snapshot = await read_for(api, kind, target)
    args = await prepared(kind, draft.args, Drafting(target, entity, snapshot, api, policy, now))
    parsed = kind.parse(args)
    touched = kind.touched(parsed, snapshot.value)
    unseen = [pointer for pointer in kind.pointers(parsed, snapshot.value) if is_noise(pointer)]
    if unseen:
        raise RefusedChangeError("not_understood", f"{name} changes {', '.join(unseen)}, which the server itself sets")
    operation = Operation(id=name, op=draft.op, target=target, args=args)
    tried = await try_out(operation, snapshot, api)
    expected = tried.expected
    shows = kind.proof == "reading" and not kind.parts(parsed, target)
    if shows and expected.pre_sha256 == expected.post_sha256:
        held = ", ".join(f"{place} is {value[0] if value else 'absent'}" for place, value in touched.items())
        raise RefusedChangeError("no_effect", f"{name} ({draft.op} of {entity}) changes nothing: {held}")
    undo: Operation | Literal["none"] = "none"
    if tried.undo is not None:
        undo = Operation(id=f"{name}-undo", op=tried.undo[0], target=target, args=tried.undo[1])
    pre = Precondition(uid=snapshot.uid, touched_sha256=expected.pre_sha256)
    return operation.model_copy(update={"pre": pre, "undo": undo})


async def _target(
    draft: DraftOperation, kind: OperationKind[Any], cluster: str, api: TargetApi
) -> tuple[Target, Entity]:
    if isinstance(draft.target, ServingDraft):
        entity = draft.target.serving
        if not kind.serving or entity.kind != "Pod":
            able = ", ".join(one.name for one in OPERATIONS.values() if one.serving)
            raise RefusedChangeError(
                "not_understood", f"{kind.name} of {entity}: only {able} have a serving target, and it is a Pod"
            )
        return ServingTarget(serving=str(entity), cluster=cluster), entity
    found = await api.kind(draft.target.kind, draft.target.apiVersion)
    if kind.serving or ("*" not in kind.kinds and found.kind not in kind.kinds):
        able = 'a target {"serving": "Pod/ns/name"}' if kind.serving else ", ".join(kind.kinds)
        raise RefusedChangeError("not_understood", f"{kind.name} does not know the kind {found.kind}, only {able}")
    name = draft.target.name or _generated(draft)
    if found.namespaced != bool(draft.target.namespace):
        need = "needs a namespace" if found.namespaced else "has no namespace"
        raise RefusedChangeError("bad_draft", f"the target {found.kind} {name} {need}")
    target = KubeTarget(
        cluster=cluster, apiVersion=found.api_version, kind=found.kind, namespace=draft.target.namespace, name=name
    )
    return target, target.entity


def _generated(draft: DraftOperation) -> str:
    """Return the name that a manifest's `generateName` leads to; drawn here, so that the plan is fixed."""
    manifest = draft.args.get("manifest")
    metadata: Any = cast("dict[str, Any]", manifest).get("metadata") if isinstance(manifest, dict) else None
    stem = cast("dict[str, Any]", metadata).get("generateName") if isinstance(metadata, dict) else None
    if draft.op != "create" or not isinstance(stem, str) or not re.fullmatch(r"[a-z0-9][-a-z0-9.]{0,57}", stem):
        raise RefusedChangeError(
            "bad_draft", f"the target of {draft.op} needs a name; only create takes metadata.generateName in its place"
        )
    return generated_name(stem)
