"""What a plan would do: every operation tried by dry run (CONTRACTS §5)."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

from midwatch_contracts.canonical import sha256_hex
from midwatch_contracts.plan import (
    RISKS,
    Diff,
    KubeTarget,
    Operation,
    Owner,
    Plan,
    Preview,
    Risk,
    ServingTarget,
    Target,
    preview_sha256,
)
from midwatch_mcp.safe_apply.approvals import clusters_of
from midwatch_mcp.safe_apply.at_once import at_once
from midwatch_mcp.safe_apply.blast import blast
from midwatch_mcp.safe_apply.classify import Judgement, judge_operation
from midwatch_mcp.safe_apply.errors import BusyError, ConflictError, RefusedChangeError
from midwatch_mcp.safe_apply.expected import Expected
from midwatch_mcp.safe_apply.git_owners import git_source
from midwatch_mcp.safe_apply.gone import Step
from midwatch_mcp.safe_apply.guards import Guards
from midwatch_mcp.safe_apply.masking import masked, masked_changes
from midwatch_mcp.safe_apply.operations import operation_kind
from midwatch_mcp.safe_apply.operations.base import OperationKind, Part, Undo
from midwatch_mcp.safe_apply.owners import managers
from midwatch_mcp.safe_apply.policy import Policy
from midwatch_mcp.safe_apply.ports import Snapshot, TargetApi
from midwatch_mcp.safe_apply.reading import read_for
from midwatch_mcp.safe_apply.sealing import Seal
from midwatch_mcp.safe_apply.values import Change, as_yaml, changes, cleaned, same

DRY_RUNS = 5
"""How often a dry run is tried when the target's version moves in between."""


@dataclass(frozen=True)
class Previewed:
    """A preview, its hash, and what each operation must find."""

    preview: Preview
    sha256: str
    expected: dict[str, Expected]
    reasons: tuple[str, ...]
    """Why the risk is what it is, where it is more than `change`."""
    judgements: dict[str, Judgement]
    """The same by operation."""


def target_text(target: Target) -> str:
    """Return a target as a person reads it."""
    if isinstance(target, KubeTarget):
        return f"{target.apiVersion} {target.entity}"
    if isinstance(target, ServingTarget):
        return f"backend of {target.serving}"
    return f"{target.git.path} in {target.git.repo}"


def held_by(plan: Plan) -> list[str]:
    """Return the names by which the journal holds what a plan changes."""
    cluster = "/".join(clusters_of(plan))
    return [f"{cluster} {target_text(operation.target)}" for operation in plan.operations]


def touched_sha256(operation: str, args: Mapping[str, Any], value: Mapping[str, Any]) -> str:
    """Return the hash over the values that an operation replaces in `value`."""
    kind = operation_kind(operation)
    return sha256_hex(kind.touched(kind.parse(args), value))


def unified(before: Mapping[str, Any], after: Mapping[str, Any], title: str) -> str:
    """Return the unified diff of two objects as YAML, with three lines of context; no object is no line."""
    old, new = (as_yaml(dict(value)).splitlines(keepends=True) if value else [] for value in (before, after))
    return "".join(difflib.unified_diff(old, new, f"{title} (as it is)", f"{title} (as it would be)"))


async def preview_plan(plan: Plan, api: TargetApi, policy: Policy, seal: Seal) -> Previewed:
    """Try every operation by dry run. Nothing is stored in the cluster. `seal` binds the values that are not shown.

    Raises:
        TargetError: a target cannot be read, or its server refuses the dry run.
        RefusedChangeError: an operation no longer fits the object that it finds.
    """
    diffs: list[Diff] = []
    owners: list[Owner] = []
    expected: dict[str, Expected] = {}
    judged = Judgement()
    judgements: dict[str, Judgement] = {}
    warnings: list[str] = []
    steps: list[Step] = []
    guards = Guards(api, policy)
    tries = await at_once(_read_and_tried(operation, api) for operation in plan.operations)
    for operation, tried in zip(plan.operations, tries, strict=True):
        kind = operation_kind(operation.op)
        snapshot = tried.snapshot
        diff, expectation = _sealed(tried, seal), tried.expected
        owned = _owners(operation, diff, snapshot.value)
        one = judge_operation(
            operation,
            before=snapshot.value,
            after=expectation.after,
            diff=diff,
            said=kind.pointers(kind.parse(operation.args), snapshot.value),
            owners=owned,
            guards=await guards.against(operation, snapshot.holder or expectation.after),
            policy=policy,
        )
        judgements[operation.id] = one
        judged.at_least(one.risk)
        for risk, reason in one.reasons:
            judged.at_least(risk, f"{operation.id} {reason}")
        diffs.append(diff)
        owners += owned
        expected[operation.id] = expectation
        steps.append(_step(operation, snapshot.value, expectation.after, diff))
        warnings += [f"{operation.id}: {note}" for note in kind.notes(kind.parse(operation.args))]
        warnings += _warnings(operation, snapshot.value, diff)
    if len(plan.operations) > policy.limits.max_objects:
        judged.at_least("dangerous", f"{len(plan.operations)} objects are more than {policy.limits.max_objects}")
    radius, more = await blast(steps, api, policy, judged)
    preview = Preview(
        plan_id=plan.id,
        diffs=tuple(diffs),
        owners=tuple(owners),
        risk=_risk(judged),
        blast=radius,
        warnings=(*judged.said(), *more, *warnings),
    )
    return Previewed(preview, preview_sha256(preview), expected, tuple(judged.said()), judgements)


async def _read_and_tried(operation: Operation, api: TargetApi) -> "Tried":
    return await try_out(operation, await read_for(api, operation_kind(operation.op), operation.target), api)


@dataclass(frozen=True)
class Tried:
    """One operation's dry run, and the way back from it."""

    snapshot: Snapshot
    """The target as it was when the dry run fitted it."""
    diff: Diff
    hidden: tuple[Change, ...]
    """The changes as they are, where the diff hides some of their values."""
    expected: Expected
    undo: Undo | None


async def _dry_run(operation: Operation, snapshot: Snapshot, api: TargetApi) -> tuple[Snapshot, Snapshot]:
    """Return the target as it is, and as the operation would leave it."""
    kind = operation_kind(operation.op)
    args = kind.parse(operation.args)
    predicted = kind.predicted(args, snapshot.value)
    if predicted is not None:
        return snapshot, replace(snapshot, value=predicted)
    for part in kind.parts(args, operation.target):
        await _try_part(part, operation, api)
    for _ in range(DRY_RUNS):
        try:
            return snapshot, await _tried_once(kind, args, operation, snapshot, api)
        except ConflictError:
            snapshot = await read_for(api, kind, operation.target)
    raise ConflictError(
        f"{operation.id}: {target_text(operation.target)} had another version at each of {DRY_RUNS} dry runs, for "
        "somebody writes it all the while: nothing was written; ask again"
    )


async def _tried_once(
    kind: OperationKind[Any], args: Any, operation: Operation, snapshot: Snapshot, api: TargetApi
) -> Snapshot:
    try:
        return await api.write(operation.target, kind.request(args, snapshot.value), read=snapshot, dry_run=True)
    except BusyError as busy:
        if kind.patience_s:
            raise _not_now(operation.id, operation.target, busy) from busy
        raise


def _not_now(operation: str, target: Target, busy: BusyError) -> RefusedChangeError:
    """Return the refusal of what a disruption budget does not allow now."""
    return RefusedChangeError(
        "state", f"{operation}: {target_text(target)}: {busy} (wait, or change the budget first, in a plan of its own)"
    )


async def _try_part(part: Part, operation: Operation, api: TargetApi) -> None:
    """Try one write of an operation that makes several; a part that is done already needs no trying.

    Raises:
        RefusedChangeError: the target asks to come back later, as a disruption budget does that allows nothing now.
    """
    kind = operation_kind(part.op)
    args = kind.parse(part.args)
    for _ in range(DRY_RUNS):
        snapshot = await read_for(api, kind, part.target)
        if kind.touched(args, snapshot.value) == kind.touched(args, part.after):
            return
        try:
            await api.write(part.target, kind.request(args, snapshot.value), read=snapshot, dry_run=True)
        except ConflictError:
            continue
        except BusyError as busy:
            raise _not_now(operation.id, part.target, busy) from busy
        return


async def try_out(operation: Operation, snapshot: Snapshot, api: TargetApi) -> Tried:
    """Dry-run one operation on the target as it was read, and say what that would change.

    A controller that writes status meanwhile moves the version; the target is then read and tried again.
    """
    kind = operation_kind(operation.op)
    args = kind.parse(operation.args)
    snapshot, result = await _dry_run(operation, snapshot, api)
    undo = _undo(operation) if operation.undo is not None else kind.undo(args, snapshot.value, result.value)
    title = target_text(operation.target)
    before = kind.shown(args, snapshot.value, done=False)
    after = kind.shown(args, result.value, done=True)
    shown, plain = masked_changes(before, after), tuple(changes(before, after))
    diff = Diff(
        operation=operation.id,
        target=title,
        unified=unified(masked(before), masked(after), title),
        changes=shown,
    )
    expected = Expected(
        uid=snapshot.uid,
        before=cleaned(snapshot.value),
        after=cleaned(result.value),
        pre_sha256=sha256_hex(kind.touched(args, snapshot.value)),
        post_sha256=sha256_hex(kind.touched(args, result.value)),
    )
    if undo is not None:
        hashes = {
            "undo_pre_sha256": touched_sha256(*undo, result.value),
            "undo_post_sha256": touched_sha256(*undo, snapshot.value),
        }
        expected = expected.model_copy(update=hashes)
    return Tried(snapshot, diff, () if same(shown, plain) else plain, expected, undo)


def _sealed(tried: Tried, seal: Seal) -> Diff:
    """Return a diff that binds what it hides."""
    if not tried.hidden:
        return tried.diff
    bound = [tried.diff.operation, tried.diff.target, tried.hidden]
    return tried.diff.model_copy(update={"hidden": seal(bound)})


def _undo(operation: Operation) -> Undo | None:
    """Return the undo that a plan holds, or None where it says that there is none."""
    return (operation.undo.op, operation.undo.args) if isinstance(operation.undo, Operation) else None


def _risk(judged: Judgement) -> Risk:
    return judged.risk if RISKS.index(judged.risk) >= RISKS.index("change") else "change"


def _owners(operation: Operation, diff: Diff, value: Mapping[str, Any]) -> list[Owner]:
    return [
        Owner(operation=operation.id, pointer=pointer, manager=manager)
        for pointer, _, _ in diff.changes
        for manager in managers(value, pointer)
    ]


def _step(operation: Operation, before: Mapping[str, Any], after: Mapping[str, Any], diff: Diff) -> Step:
    kind = operation_kind(operation.op)
    parts = kind.parts(kind.parse(operation.args), operation.target)
    pods = [part.target.entity for part in parts if isinstance(part.target, KubeTarget) and part.target.kind == "Pod"]
    return Step(operation, before, after, diff, tuple(pods))


def _warnings(operation: Operation, value: Mapping[str, Any], diff: Diff) -> list[str]:
    found: list[str] = []
    metadata = cast("dict[str, Any]", value.get("metadata") or {})
    source = git_source(value)
    if source is not None:
        found.append(f"{operation.id}: {source.says()}: what it has in its source would be changed back")
    if value and not metadata.get("managedFields") and isinstance(operation.target, KubeTarget):
        found.append(f"{operation.id}: {diff.target} records no field owners: who else writes it is unknown")
    return found
