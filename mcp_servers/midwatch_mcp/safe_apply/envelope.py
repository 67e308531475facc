"""The envelope: propose, preview, apply, verify, undo, recover. The one way to a write (CONTRACTS §5).

A change is carried by a task of its own, so that a caller that goes away cannot leave it half done, and under a lock of
the kernel, so that no two processes carry the same plan and a killed one leaves none behind.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from midwatch_contracts.clock import Clock
from midwatch_contracts.expectations import Observation, Reader, judge
from midwatch_contracts.plan import (
    TERMINAL_STATES,
    Approval,
    Change,
    ChangeState,
    OperationState,
    Plan,
    Preview,
)
from midwatch_contracts.times import unix_seconds
from midwatch_mcp.safe_apply.approvals import (
    approvals_for,
    check_approval,
    clusters_of,
    for_preview,
    valid_approvals,
)
from midwatch_mcp.safe_apply.audit import Audit
from midwatch_mcp.safe_apply.drafting import Draft, draft_plan, parse_draft
from midwatch_mcp.safe_apply.errors import PolicyError, RefusedChangeError, TargetMissingError
from midwatch_mcp.safe_apply.files import locked
from midwatch_mcp.safe_apply.journal import Journal, Record
from midwatch_mcp.safe_apply.keys import principals
from midwatch_mcp.safe_apply.policy import ASSIST, LEVELS, PROPOSE, Policy, load, policy_path
from midwatch_mcp.safe_apply.ports import TargetApi
from midwatch_mcp.safe_apply.preview import Rehearsed, rehearse, target_text, touched_sha256
from midwatch_mcp.safe_apply.render import plan_text
from midwatch_mcp.safe_apply.reversing import reversing_draft
from midwatch_mcp.safe_apply.transaction import StepFailedError, Transaction

log = logging.getLogger(__name__)

_LOOK_S = 0.2
"""How often a waiting call looks at the journal, in seconds of the clock."""


@dataclass(frozen=True)
class Proposal:
    """A plan with what it would do."""

    plan: Plan
    preview: Preview
    preview_sha256: str
    text: str


@dataclass(frozen=True)
class PlanStatus:
    """A plan and how far it is, where no change of it is newer."""

    plan: Plan
    state: ChangeState
    at: float


class Envelope:
    """One state folder, one cluster, one clock."""

    def __init__(
        self,
        *,
        state: Path,
        api: TargetApi,
        reader: Reader,
        clock: Clock,
        policy: Path | None = None,
        lab: Path | None = None,
        allow_write: bool = False,
        poll_s: float = 1.0,
        journal: Journal | None = None,
    ) -> None:
        self.state = state
        self.journal = journal or Journal(state / "changes.sqlite")
        self.audit = Audit(state, clock)
        self._api = api
        self._reader = reader
        self._clock = clock
        self._policy_path = policy_path(state, policy)
        self._policy_given = policy is not None
        self._lab = lab
        self._allow_write = allow_write
        self._poll_s = poll_s
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def aclose(self) -> None:
        """Stop watching over changes; what is under way stays in the journal and is taken up again later."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()
        self.journal.close()

    # Plans

    async def propose(self, draft: Mapping[str, Any] | Draft) -> Proposal:
        """Make a plan of a draft, try it by dry run, and keep both. Changes nothing in the cluster."""
        with self._audited("propose", "-"):
            policy = self._policy()
            if policy.autonomy < PROPOSE:
                raise RefusedChangeError("autonomy", f"{_level(policy)} drafts no plans: raise autonomy in the policy")
            parsed = draft if isinstance(draft, Draft) else parse_draft(draft)
            plan = await draft_plan(parsed, self._api, policy, now=self._clock.now())
            rehearsed = await rehearse(plan, self._api, policy)
            _refuse_forbidden(rehearsed)
            self.journal.put_plan(plan, self._clock.now())
            self.audit.append("proposed", run=plan.id, body={"title": plan.title, "risk": rehearsed.preview.risk})
            return self._keep(plan, rehearsed)

    async def preview(self, plan_id: str) -> Proposal:
        """Try a plan by dry run again, and keep what it would do now."""
        plan = self.journal.plan(plan_id)
        with self._audited("preview", plan.id):
            await self._refuse_other_cluster(plan)
            await self._refuse_stale(plan)
            return self._keep(plan, await rehearse(plan, self._api, self._policy()))

    def _keep(self, plan: Plan, rehearsed: Rehearsed) -> Proposal:
        self.journal.put_preview(rehearsed.preview, self._clock.now())
        self.audit.append("previewed", run=plan.id, body={"preview_sha256": rehearsed.sha256})
        text = plan_text(plan, rehearsed.preview, rehearsed.sha256)
        return Proposal(plan, rehearsed.preview, rehearsed.sha256, text)

    async def draft_undo(self, change_id: str) -> Proposal:
        """Draft the plan that undoes a verified change. It needs an approval of its own."""
        with self._audited("undo", change_id):
            record = self.journal.record(change_id)
            if record.change.state != "verified":
                raise RefusedChangeError(
                    "state", f"{change_id} is {record.change.state}: only a verified change is undone by a new plan"
                )
            draft = reversing_draft(self.journal.plan(record.change.plan_id))
        return await self.propose(draft)

    # Changes

    async def apply(self, plan_id: str) -> Change:
        """Apply an approved plan, and return once every operation is applied or the attempt has ended.

        Verifying goes on in the background. With a change of the plan under way this takes that one up: it finishes or
        undoes it and never starts a second.

        Raises:
            RefusedChangeError: with the reason; nothing was written.
        """
        if not self._allow_write:
            with self._audited("apply", plan_id):
                raise RefusedChangeError("read_only", "this server does not write: start it with --allow-write")
        plan = self.journal.plan(plan_id)
        return await self._carried(plan, None)

    async def recover(self, change_id: str | None = None) -> list[Change]:
        """Take up one change, or all that are under way, and carry each to its end, verifying included."""
        if not self._allow_write:
            raise RefusedChangeError("read_only", "this server does not write: start it with --allow-write")
        records = [self.journal.record(change_id)] if change_id else self.journal.under_way()
        ended: list[Change] = []
        for record in records:
            known = record.change
            if known.state in TERMINAL_STATES and known.state != "stuck":
                raise RefusedChangeError("state", f"{known.change_id} is {known.state}: there is nothing to recover")
            await self._carried(self.journal.plan(known.plan_id), known.change_id)
            await self.join(known.plan_id)
            ended.append(self.journal.record(known.change_id).change)
        return ended

    async def join(self, plan_id: str) -> None:
        """Wait until this process no longer carries a change of a plan; raises what cut it off, if anything did."""
        task = self._tasks.get(plan_id)
        if task is not None:
            await asyncio.wait({task})
            task.result()

    async def status(self, change_id: str, wait_s: float = 0.0) -> tuple[Record, list[Observation]]:
        """Return a change and what was observed; wait until its state is another, it has ended, or `wait_s` is over.

        A server that may write resumes verifying where a process that did it has ended.
        """
        record = self.journal.record(change_id)
        state = record.change.state
        if self._allow_write and state in ("applied", "verifying") and record.change.plan_id not in self._tasks:
            self._start(self.journal.plan(record.change.plan_id), change_id)
        deadline = self._clock.now() + wait_s
        while record.change.state == state and state not in TERMINAL_STATES and self._clock.now() < deadline:
            await self._clock.sleep(min(_LOOK_S, deadline - self._clock.now()))
            record = self.journal.record(change_id)
        return record, self.journal.observations(change_id)

    def changes(self) -> list[Record]:
        """Return all changes, oldest first."""
        return self.journal.records()

    def plans(self) -> list[PlanStatus]:
        """Return the plans that no change was made of, oldest first."""
        tried = {record.change.plan_id for record in self.journal.records()}
        found: list[PlanStatus] = []
        for plan, at in self.journal.plans():
            if plan.id in tried:
                continue
            state: ChangeState = "proposed" if self.journal.preview(plan.id) is None else "previewed"
            found.append(PlanStatus(plan, "approved" if approvals_for(self.state, plan.id) else state, at))
        return found

    # Carrying a change

    async def _carried(self, plan: Plan, change_id: str | None) -> Change:
        """Carry a plan's change until its operations are applied or it has ended, and return it."""
        task = self._tasks.get(plan.id)
        if task is None:
            task, applied = self._start(plan, change_id)
            await asyncio.wait({task, applied}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                applied.cancel()
                task.result()
            if applied.done() and not applied.cancelled():
                return self.journal.record(applied.result()).change
        return self._newest(plan.id)

    def _newest(self, plan_id: str) -> Change:
        """Return the newest change of a plan that somebody else carries."""
        found = [record.change for record in self.journal.records() if record.change.plan_id == plan_id]
        if not found:
            raise RefusedChangeError("busy", f"another process is about to apply plan {plan_id[:12]}: ask again")
        return found[-1]

    def _start(self, plan: Plan, change_id: str | None) -> tuple[asyncio.Task[None], asyncio.Future[str]]:
        applied: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._carry(plan, change_id, applied))
        self._tasks[plan.id] = task

        def ended(done: asyncio.Task[None]) -> None:
            self._tasks.pop(plan.id, None)
            if not done.cancelled() and done.exception() is not None:
                log.info("the attempt at plan %s ended: %s", plan.id[:12], done.exception())

        task.add_done_callback(ended)
        return task, applied

    async def _carry(self, plan: Plan, change_id: str | None, applied: asyncio.Future[str]) -> None:
        with locked(self.state / "locks" / f"plan-{plan.id[:16]}.lock", wait=False) as held:
            if not held:
                return
            if change_id is None:
                running = self.journal.under_way(plan.id)
                change_id = running[0].change.change_id if running else await self._begin(plan)
                recovering = bool(running)
            else:
                recovering = True
            transaction = Transaction(
                change_id, plan, self.journal, self._api, self._clock, self.audit, against=self._frozen
            )
            if recovering and self._state(change_id) not in TERMINAL_STATES | {"applied", "verifying"}:
                self.audit.append("recovering", run=change_id, body={"state": self._state(change_id)})
            await self._apply_or_undo(transaction, recovering=recovering)
            if not applied.done():
                applied.set_result(change_id)
            await self._verify(transaction)

    def _state(self, change_id: str) -> ChangeState:
        return self.journal.record(change_id).change.state

    async def _apply_or_undo(self, transaction: Transaction, *, recovering: bool) -> None:
        change_id = transaction.change_id
        state = self._state(change_id)
        if state in ("undoing", "stuck"):
            await transaction.back("Taken up again.")
        elif state == "applying":
            against = self._against_finishing(change_id) if recovering else None
            if against is not None:
                await transaction.back(against)
            else:
                await self._forward(transaction)
        self._note_end(transaction)

    async def _forward(self, transaction: Transaction) -> None:
        change_id = transaction.change_id
        try:
            await transaction.forward()
        except StepFailedError as failure:
            states = {operation.state for operation in self.journal.record(change_id).change.operations}
            if failure.stale and states <= {"pending", "failed"}:
                self.journal.move(
                    change_id, "superseded", now=self._clock.now(), note=f"{failure}. Nothing was written."
                )
            else:
                await transaction.back(f"Not applied: {failure}.")
        else:
            self.audit.append("applied", run=change_id, body={"plan": transaction.plan.id})

    def _frozen(self) -> str | None:
        """Return why nothing new may be written, or None; read from the file each time."""
        try:
            frozen = self._policy().frozen
        except PolicyError as error:
            return str(error)
        return None if frozen is None else f"changes are frozen: {frozen}"

    def _against_finishing(self, change_id: str) -> str | None:
        """Return why a change that was cut off is undone rather than finished, or None."""
        frozen = self._frozen()
        if frozen is not None:
            return f"What was begun is undone, for {frozen}."
        approval = self.journal.record(change_id).change.approval
        if approval is None or self._clock.now() >= unix_seconds(approval.expires):
            return "The approval expired while the change was cut off, so what was begun is undone."
        return None

    async def _verify(self, transaction: Transaction) -> None:
        """Judge the expectations; when one fails, undo and prove it."""
        change_id = transaction.change_id
        if self._state(change_id) == "applied":
            self.journal.move(change_id, "verifying", now=self._clock.now())
        if self._state(change_id) != "verifying":
            return
        applied = self.journal.record(change_id).applied
        try:
            verdict = await judge(
                transaction.plan.expect,
                self._reader,
                self._clock,
                since=self._clock.now() if applied is None else applied,
                start=self._clock.now(),
                poll_s=self._poll_s,
                on_observation=lambda observation: self.journal.observe(change_id, observation),
            )
        except Exception as error:  # noqa: BLE001 (what cannot be judged is not verified: the change must not stay)
            failed: Sequence[str] = (f"the expectations could not be judged: {error!r}",)
            met = False
        else:
            met, failed = verdict.met, verdict.failed
        if met:
            self.journal.move(change_id, "verified", now=self._clock.now())
        else:
            await transaction.back(f"Not verified: {'; '.join(failed)}.")
        self._note_end(transaction)

    def _note_end(self, transaction: Transaction) -> None:
        change = self.journal.record(transaction.change_id).change
        if change.state in TERMINAL_STATES:
            self.audit.append(change.state, run=change.change_id, body={"plan": change.plan_id, "note": change.note})

    # Beginning a change

    async def _begin(self, plan: Plan) -> str:
        """Check everything that must hold before the first write, and start the change; returns its id."""
        with self._audited("apply", plan.id):
            policy = self._policy()
            if policy.frozen is not None:
                raise RefusedChangeError("frozen", f"changes are frozen: {policy.frozen}")
            if policy.autonomy < ASSIST:
                raise RefusedChangeError("autonomy", f"{_level(policy)} applies nothing: raise autonomy in the policy")
            await self._refuse_other_cluster(plan)
            valid = valid_approvals(
                approvals_for(self.state, plan.id), lambda one: self._check(one, plan, policy), plan
            )
            change = Change(
                change_id=f"chg-{secrets.token_hex(8)}",
                plan_id=plan.id,
                preview_sha256=valid[0].preview_sha256,
                approval=valid[0],
                state="applying",
                operations=tuple(OperationState(id=one.id, state="pending") for one in plan.operations),
            )
            stale = await self._stale(plan)
            if stale is not None:
                return self._superseded(change, stale)
            rehearsed = await rehearse(plan, self._api, policy)
            _refuse_forbidden(rehearsed)
            approval = for_preview(valid, rehearsed.sha256)
            change = change.model_copy(update={"approval": approval, "preview_sha256": approval.preview_sha256})
            self.audit.append(
                "applying",
                run=change.change_id,
                body={"plan": plan.id, "preview_sha256": rehearsed.sha256, "approver": approval.approver},
            )
            self.journal.begin(
                change,
                now=self._clock.now(),
                nonce=approval.nonce,
                targets=[f"{'/'.join(clusters_of(plan))} {target_text(one.target)}" for one in plan.operations],
                expected=rehearsed.expected,
            )
            return change.change_id

    def _superseded(self, change: Change, why: str) -> str:
        ended = change.model_copy(update={"state": "superseded", "note": f"{why}. Nothing was written."})
        nonce = None if change.approval is None else change.approval.nonce
        self.journal.end_before_apply(ended, now=self._clock.now(), nonce=nonce)
        return change.change_id

    def _check(self, approval: Approval, plan: Plan, policy: Policy) -> None:
        check_approval(
            approval,
            plan,
            principals(self.state, self._lab),
            now=self._clock.now(),
            max_age_s=policy.approvals.max_age_s,
            spent_by=self.journal.spent_by(approval.nonce),
        )

    async def _refuse_other_cluster(self, plan: Plan) -> None:
        here = await self._api.cluster_uid()
        if clusters_of(plan) != frozenset({here}):
            there = ", ".join(sorted(clusters_of(plan)))
            raise RefusedChangeError("other_cluster", f"the plan is for cluster {there}, and this is {here}")

    async def _refuse_stale(self, plan: Plan) -> None:
        stale = await self._stale(plan)
        if stale is not None:
            raise RefusedChangeError("state", f"{stale}: propose the change again")

    async def _stale(self, plan: Plan) -> str | None:
        """Return which precondition no longer holds, or None."""
        for operation in plan.operations:
            name = target_text(operation.target)
            try:
                snapshot = await self._api.read(operation.target)
                if operation.pre is None or snapshot.uid != operation.pre.uid:
                    return f"{operation.id}: {name} is not the object that the plan was made for"
                if touched_sha256(operation.op, operation.args, snapshot.value) != operation.pre.touched_sha256:
                    return f"{operation.id}: the values of {name} that the plan replaces were changed since"
            except (TargetMissingError, RefusedChangeError) as error:
                return f"{operation.id}: {error}"
        return None

    def _policy(self) -> Policy:
        return load(self._policy_path, required=self._policy_given)

    @contextlib.contextmanager
    def _audited(self, what: str, run: str) -> Generator[None]:
        """Write every refusal to the audit, with its reason."""
        try:
            yield
        except RefusedChangeError as refusal:
            self.audit.append("refused", run=run, body={"what": what, "reason": refusal.reason, "says": str(refusal)})
            raise


def _refuse_forbidden(rehearsed: Rehearsed) -> None:
    if rehearsed.preview.risk == "forbidden":
        raise RefusedChangeError("forbidden", f"the plan is refused: {'; '.join(rehearsed.reasons)}")


def _level(policy: Policy) -> str:
    return f"autonomy {policy.autonomy} ({LEVELS[policy.autonomy]})"
