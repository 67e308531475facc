"""From a draft to a plan that is a commit on a new branch. Nothing is applied, and nothing is pushed."""

import hashlib
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from midwatch_contracts.clock import Clock
from midwatch_contracts.plan import (
    Blast,
    Diff,
    GitPath,
    GitTarget,
    KubeTarget,
    Operation,
    Plan,
    Precondition,
    Preview,
    preview_sha256,
)
from midwatch_contracts.times import rfc3339
from midwatch_mcp.safe_apply.as_git.manifests import Files
from midwatch_mcp.safe_apply.as_git.merge_request import ClusterSays, commit_message, merge_request
from midwatch_mcp.safe_apply.as_git.outcome import Wanted, wanted
from midwatch_mcp.safe_apply.as_git.plans import EDIT, branch_of
from midwatch_mcp.safe_apply.as_git.repository import Committed, Repository
from midwatch_mcp.safe_apply.as_git.written import Edited
from midwatch_mcp.safe_apply.audit import Audit
from midwatch_mcp.safe_apply.classify import Judgement, judge_operation
from midwatch_mcp.safe_apply.drafting import Draft, checked
from midwatch_mcp.safe_apply.errors import GitError, RefusedChangeError
from midwatch_mcp.safe_apply.guards import protecting
from midwatch_mcp.safe_apply.journal import Journal, Proposer
from midwatch_mcp.safe_apply.masking import hidden, masked_changes
from midwatch_mcp.safe_apply.operations import operation_kind
from midwatch_mcp.safe_apply.owed import Line
from midwatch_mcp.safe_apply.policy import LEVELS, PROPOSE, Policy
from midwatch_mcp.safe_apply.preview import unified

Carry = Callable[[Files, Wanted], Edited]
"""Carries one operation out in the files."""


@dataclass(frozen=True)
class Options:
    """Where the commit goes, and whose it is."""

    repo: Path
    base: str = "HEAD"
    branch: str | None = None
    author: tuple[str, str] | None = None


@dataclass(frozen=True)
class GitProposal:
    """A plan, the commit that it is, and the text of its merge request."""

    plan: Plan
    preview: Preview
    committed: Committed
    base: str
    repo: Path
    files: tuple[str, ...]
    body: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Desk:
    """What a proposal is recorded with."""

    journal: Journal
    audit: Audit
    clock: Clock
    policy: Policy
    principal: str


def propose_in_git(draft: Draft, options: Options, carry: Carry, desk: Desk, cluster: ClusterSays) -> GitProposal:
    """Make the commit of a draft on a new branch, and record it.

    Raises:
        RefusedChangeError: an operation has no meaning in Git, or the policy forbids the change; it is in the audit.
        GitError: the files cannot be changed as asked. Nothing was changed.
    """
    with desk.audit.refusals("propose", "-"):
        if desk.policy.autonomy < PROPOSE:
            said = f"autonomy {desk.policy.autonomy} ({LEVELS[desk.policy.autonomy]})"
            raise RefusedChangeError("autonomy", f"{said} drafts no plans: raise autonomy in the policy")
        checked(draft)
        files = Files(Repository(options.repo, options.base))
        with _well_formed():
            edits = [carry(files, one) for one in _each_once(draft, desk.clock)]
            judged = _judged(edits, desk.policy)
        plan = _plan(draft, files, edits, desk.clock)
        preview = _preview(plan, edits, judged, cluster)
    with desk.audit.refusals("propose", plan.id):
        if preview.risk == "forbidden":
            raise RefusedChangeError("forbidden", f"the plan is refused: {'; '.join(judged.said())}")
        return _committed(plan, preview, files, edits, (options, desk, cluster))


@contextmanager
def _well_formed() -> Generator[None]:
    """Say of files that are not of the shape of a manifest, a kustomization or values that they are not."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, IndexError, ValueError) as error:
        # Files are somebody else's, and what has another shape than its kind breaks where it is first looked at.
        raise GitError(f"a file is not of the form that its kind has: {error}") from error


def _each_once(draft: Draft, clock: Clock) -> list[Wanted]:
    now = rfc3339(clock.now())
    found = [wanted(number, one, now) for number, one in enumerate(draft.operations, 1)]
    seen: dict[tuple[str, str, str], str] = {}
    for one in found:
        key = (one.target.kind, one.target.namespace, one.target.name)
        if key in seen:
            raise RefusedChangeError(
                "bad_draft",
                f"the plan touches an object more than once ({seen[key]} and {one.id}): merge the operations",
            )
        seen[key] = one.id
    return found


def _plan(draft: Draft, files: Files, edits: Sequence[Edited], clock: Clock) -> Plan:
    """Return the plan: one operation a file, from the content that it has in the base to the new one, and back."""
    repository = files.repository
    does = [
        {"op": one.wanted.op, "target": one.wanted.target.model_dump(exclude_defaults=True), "args": one.wanted.args}
        for one in edits
    ]
    operations: list[Operation] = []
    for number, (path, content) in enumerate(sorted(files.changed().items()), 1):
        before, after = files.before(path), repository.put(content)
        old = None if before is None else repository.tree[path].blob
        target = GitTarget(git=GitPath(repo=str(repository.top), path=path))
        back = {"base": repository.base, "before": after, "after": old}
        operations.append(
            Operation(
                id=f"file{number}",
                op=EDIT,
                target=target,
                args={"base": repository.base, "before": old, "after": after, "does": does},
                pre=Precondition(uid=repository.base, touched_sha256=hashlib.sha256(before or b"").hexdigest()),
                undo=Operation(id=f"file{number}-undo", op=EDIT, target=target, args=back),
            )
        )
    if not operations:
        raise RefusedChangeError("no_effect", "the draft changes no file")
    return Plan.sealed(
        title=draft.title,
        cause=draft.cause,
        evidence=draft.evidence,
        operations=tuple(operations),
        expect=draft.expect,
        created=rfc3339(clock.now()),
    )


# What it would do


def _title(one: Edited) -> str:
    where = f"{one.wanted.target.namespace}/" if one.wanted.target.namespace else ""
    return f"{one.after.get('apiVersion', '')} {one.wanted.target.kind}/{where}{one.wanted.target.name}".strip()


def _diff(one: Edited) -> Diff:
    before, after = hidden(one.before), hidden(one.after)
    title = _title(one)
    return Diff(
        operation=one.wanted.id,
        target=title,
        unified=unified(before, after, title),
        changes=masked_changes(one.before, one.after),
    )


def _judged(edits: Sequence[Edited], policy: Policy) -> Judgement:
    """Return the class of the change as if it were made on the cluster, but for who owns the fields: Git does."""
    judged = Judgement()
    judged.at_least("change")
    for one in edits:
        target = _kube(one)
        found = judge_operation(
            Operation(id=one.wanted.id, op=one.wanted.op, target=target, args=one.wanted.args),
            before=one.before,
            after=one.after,
            diff=Diff(operation=one.wanted.id, target="", unified="", changes=masked_changes(one.before, one.after)),
            said=_pointers(one),
            owners=None,
            guards=[("forbidden", why) for why in protecting(target.entity, one.before, policy)],
            policy=policy,
        )
        judged.at_least(found.risk)
        for risk, reason in found.reasons:
            judged.at_least(risk, f"{one.wanted.id} {reason}")
    if len(edits) > policy.limits.max_objects:
        judged.at_least("dangerous", f"{len(edits)} objects are more than {policy.limits.max_objects}")
    return judged


def _kube(one: Edited) -> KubeTarget:
    target = one.wanted.target
    named: dict[str, Any] = {"apiVersion": str(one.after.get("apiVersion", "")), "kind": target.kind}
    return KubeTarget(cluster="", namespace=target.namespace, name=target.name, **named)


def _pointers(one: Edited) -> list[str]:
    kind = operation_kind(one.wanted.op)
    return list(kind.pointers(kind.parse(one.wanted.args), one.before))


def _preview(plan: Plan, edits: Sequence[Edited], judged: Judgement, cluster: ClusterSays) -> Preview:
    reached = None if cluster.preview is None else cluster.preview.blast
    blast = reached or Blast(objects=len(edits), pods_restarted=0, pods_total=0, note=f"not known: {cluster.why}")
    notes = [f"{one.wanted.id}: {note}" for one in edits for note in one.notes]
    return Preview(
        plan_id=plan.id,
        diffs=tuple(_diff(one) for one in edits),
        owners=(),
        risk=judged.risk,
        blast=blast,
        warnings=(*judged.said(), *notes),
    )


# The commit


def _committed(
    plan: Plan, preview: Preview, files: Files, edits: Sequence[Edited], at: tuple[Options, Desk, ClusterSays]
) -> GitProposal:
    options, desk, cluster = at
    repository, branch = files.repository, options.branch or branch_of(plan.id)
    notes = _notes(files)
    present = repository.check_branch(branch)
    message = commit_message(plan, edits)
    entries = {
        path: files.entry(path, str(operation.args["after"]))
        for path, operation in zip(sorted(files.changed()), plan.operations, strict=True)
    }
    commit = repository.commit(entries, message, options.author)
    if present is not None and not repository.same_change(present, commit):
        raise GitError(f"there is a branch {branch} already, with another content: choose another one with --branch")
    made = Committed(branch, present or commit, new=present is None)
    where = f"in Git: commit {made.commit[:12]} on branch {branch} of {repository.top}"
    preview = preview.model_copy(update={"warnings": (*preview.warnings, where)})
    body = {"title": plan.title, "risk": preview.risk, "principal": desk.principal, "by_code": False}
    said = {"as": "git", "repo": str(repository.top), "branch": branch, "commit": made.commit, "base": repository.base}
    line = Line("proposed", plan.id, body | said)
    desk.audit.check()
    desk.journal.put_plan(plan, desk.clock.now(), Proposer(desk.principal, by_code=False), line=line)
    desk.journal.put_preview(preview, desk.clock.now())
    desk.audit.tell(plan.id)
    if made.new:
        repository.create_branch(branch, commit, f"plan {plan.id[:12]}")
    return GitProposal(
        plan=plan,
        preview=preview,
        committed=made,
        base=repository.base,
        repo=repository.top,
        files=tuple(entries),
        body=merge_request(plan, preview, edits, made, cluster),
        notes=notes,
    )


def _notes(files: Files) -> tuple[str, ...]:
    """Return what whoever commits by hand would expect, and is not so here."""
    repository = files.repository
    before = {path: content for path in files.changed() if (content := files.before(path)) is not None}
    stale = repository.uncommitted(before)
    hooks = repository.unheard_hooks()
    found = [f"made from commit {repository.base[:12]}; what is not committed is not in it"]
    if stale:
        found.append(f"uncommitted changes are left out, of files that this changes: {', '.join(stale)}")
    if hooks:
        found.append(f"hooks were not run (a repository's own programs never are): {', '.join(hooks)}")
    return tuple(found)


def sha256_of(proposal: GitProposal) -> str:
    """Return the hash of a proposal's preview."""
    return preview_sha256(proposal.preview)
