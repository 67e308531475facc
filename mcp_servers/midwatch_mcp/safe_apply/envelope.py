"""The envelope: propose, preview, apply, verify, undo, recover. The one way to a write (CONTRACTS §5).

A change is carried by a task of its own, so that a caller that goes away cannot leave it half done, and under a lock of
the kernel, so that no two processes carry the same plan and a killed one leaves none behind.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from midwatch_contracts.clock import Clock
from midwatch_contracts.expectations import Observation, Reader
from midwatch_contracts.plan import TERMINAL_STATES, Approval, Change, Plan, Preview
from midwatch_mcp.files import locked
from midwatch_mcp.questions import Asker, Question, Reply
from midwatch_mcp.safe_apply.admission import Admission, level, refuse_forbidden
from midwatch_mcp.safe_apply.as_git.plans import refuse_in_git
from midwatch_mcp.safe_apply.attempt import Attempts
from midwatch_mcp.safe_apply.audit import Audit
from midwatch_mcp.safe_apply.drafting import Draft, draft_plan, parse_draft
from midwatch_mcp.safe_apply.errors import RefusedChangeError
from midwatch_mcp.safe_apply.journal import Journal, Proposer, Record
from midwatch_mcp.safe_apply.judged import Judged
from midwatch_mcp.safe_apply.owed import Line
from midwatch_mcp.safe_apply.policy import PROPOSE, Policy
from midwatch_mcp.safe_apply.ports import TargetApi
from midwatch_mcp.safe_apply.preview import Previewed
from midwatch_mcp.safe_apply.rehearsal.keeping import Rehearsals
from midwatch_mcp.safe_apply.rehearsal.outcome import Rehearsal, rehearsal_lines
from midwatch_mcp.safe_apply.render import plan_text
from midwatch_mcp.safe_apply.reversing import reversing_draft
from midwatch_mcp.safe_apply.transaction import Transaction
from midwatch_mcp.safe_apply.waiting import WaitingPlan

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
    needs_person: str | None
    """Why a person must approve it; None where the policy approves it by itself, as things are."""
    rehearsal: Rehearsal | None
    """The newest of this very preview."""


class Envelope:
    """One state folder, one cluster, one clock."""

    def __init__(
        self,
        *,
        state: Path,
        api: TargetApi,
        reader: Reader,
        clock: Clock,
        policy: Path | Policy | None = None,
        lab: Path | None = None,
        allow_write: bool = False,
        poll_s: float = 1.0,
        journal: Journal | None = None,
    ) -> None:
        self.state = state
        self.journal = journal or Journal(state / "changes.sqlite")
        self.audit = Audit(state, clock, self.journal)
        self._api = api
        self._clock = clock
        self._allow_write = allow_write
        self._admission = Admission(
            state=state, journal=self.journal, audit=self.audit, api=api, clock=clock, policy=policy, lab=lab
        )
        self._attempts = Attempts(self.journal, self.audit, clock, reader, self._admission, poll_s)
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

    async def propose(
        self, draft: Mapping[str, Any] | Draft, *, principal: str = "-", by_code: bool = False
    ) -> Proposal:
        """Make a plan of a draft, try it by dry run, and keep both. Changes nothing in the cluster.

        `by_code` says that code alone drafted it, with no model in between: only such a plan can be approved by policy.
        """
        with self._admission.audited("propose", "-"):
            policy = self._admission.policy()
            if policy.autonomy < PROPOSE:
                raise RefusedChangeError("autonomy", f"{level(policy)} drafts no plans: raise autonomy in the policy")
            parsed = draft if isinstance(draft, Draft) else parse_draft(draft)
            plan = await draft_plan(parsed, self._api, policy, now=self._clock.now())
            previewed = await self._admission.previewed(plan, policy)
            refuse_forbidden(previewed)
            body = {"title": plan.title, "risk": previewed.preview.risk, "principal": principal, "by_code": by_code}
            line = Line("proposed", plan.id, body)
            self.journal.put_plan(plan, self._clock.now(), Proposer(principal, by_code), line=line)
            return self._keep(plan, previewed)

    async def preview(self, plan_id: str) -> Proposal:
        """Try a plan by dry run again, and keep what it would do now."""
        plan = self._plan("preview", plan_id)
        with self._admission.audited("preview", plan.id):
            refuse_in_git(plan)
            await self._admission.refuse_other_cluster(plan)
            await self._admission.refuse_stale(plan)
            return self._keep(plan, await self._admission.previewed(plan, self._admission.policy()))

    def _plan(self, what: str, plan_id: str) -> Plan:
        with self._admission.audited(what, plan_id):
            return self.journal.plan(plan_id)

    def _for_cluster(self, plan_id: str) -> Plan:
        """Return a plan that can be applied to a cluster."""
        with self._admission.audited("apply", plan_id):
            plan = self.journal.plan(plan_id)
            refuse_in_git(plan)
            return plan

    async def judge(self, subject: str | Mapping[str, Any]) -> Judged:
        """Say the class of a plan, by its id, or of a draft, and what decides it. Keeps nothing."""
        policy = self._admission.policy()
        if isinstance(subject, str):
            plan = self.journal.plan(subject)
            refuse_in_git(plan)
            await self._admission.refuse_other_cluster(plan)
        else:
            try:
                plan = await draft_plan(parse_draft(subject), self._api, policy, now=self._clock.now())
            except RefusedChangeError as refusal:
                if refusal.reason != "forbidden":
                    raise
                return Judged.refused(str(refusal))
        return Judged.of(await self._admission.previewed(plan, policy), policy)

    async def tried(self, draft: Draft) -> Preview:
        """Return what a draft would do, by dry run. Keeps nothing."""
        policy = self._admission.policy()
        plan = await draft_plan(draft, self._api, policy, now=self._clock.now())
        return (await self._admission.previewed(plan, policy)).preview

    def _keep(self, plan: Plan, previewed: Previewed) -> Proposal:
        line = Line("previewed", plan.id, {"preview_sha256": previewed.sha256})
        self.journal.put_preview(previewed.preview, self._clock.now(), line=line)
        self.audit.tell(plan.id)
        found = Rehearsals(self.journal).newest(plan.id, previewed.sha256)
        lines = rehearsal_lines(found, plan.id, previewed.preview.risk)
        text = plan_text(plan, previewed.preview, previewed.sha256, lines)
        needs_person = self._admission.against_policy_alone(plan, previewed)
        return Proposal(plan, previewed.preview, previewed.sha256, text, needs_person, found)

    async def draft_undo(self, change_id: str, *, principal: str = "-") -> Proposal:
        """Draft the plan that undoes a verified change. It needs an approval of its own."""
        with self._admission.audited("undo", change_id):
            record = self.journal.record(change_id)
            if record.change.state != "verified":
                raise RefusedChangeError(
                    "state", f"{change_id} is {record.change.state}: only a verified change is undone by a new plan"
                )
            draft = reversing_draft(self.journal.plan(record.change.plan_id))
        return await self.propose(draft, principal=principal)

    # Changes

    async def question(self, plan_id: str, asker: Asker) -> Question | str:
        """Return what whoever calls is to be asked before a plan is applied, or why nobody is asked.

        Raises:
            RefusedChangeError: the answer that this call brings is to no open question; nothing was written.
        """
        if not self._allow_write:
            return "this server does not write"
        return await self._admission.question(self._for_cluster(plan_id), asker)

    async def apply(self, plan_id: str, reply: Reply | None = None) -> Change:
        """Apply an approved plan, and return once every operation is applied or the attempt has ended.

        `reply` is what came of the question, if one was put. Verifying goes on in the background. With a change of the
        plan under way this takes that one up: it finishes or undoes it and never starts a second.

        Raises:
            RefusedChangeError: with the reason; nothing was written.
        """
        if not self._allow_write:
            with self._admission.audited("apply", plan_id):
                raise RefusedChangeError("read_only", "this server does not write: start it with --allow-write")
        plan = self._for_cluster(plan_id)
        given = None if reply is None else self._admission.settled(plan, reply)
        return await self._carried(plan, None, given, "" if reply is None else reply.why)

    async def recover(self, change_id: str | None = None) -> list[Change]:
        """Take up one change, or all that are under way, and carry each to its end, verifying included."""
        if not self._allow_write:
            with self._admission.audited("recover", change_id or "-"):
                raise RefusedChangeError("read_only", "this server does not write: start it with --allow-write")
        self.audit.tell()
        records = [self.journal.record(change_id)] if change_id else self.journal.under_way()
        ended: list[Change] = []
        for record in records:
            known = record.change
            if known.settled is not None or (known.state in TERMINAL_STATES and known.state != "stuck"):
                settled = "" if known.settled is None else f", and was settled as {known.settled.found}"
                why = f"{known.change_id} is {known.state}{settled}: there is nothing to recover"
                with self._admission.audited("recover", known.change_id):
                    raise RefusedChangeError("state", why)
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

    def answers(self, change_id: str) -> dict[str, Any]:
        """Return what operations answered that no object shows, by their ids: the output of a command above all."""
        steps = self.journal.steps(change_id)
        return {step.rpartition(":")[0]: body["answer"] for _, step, body in steps if "answer" in body}

    def changes(self) -> list[Record]:
        """Return all changes, oldest first."""
        return self.journal.records()

    def plans(self) -> list[WaitingPlan]:
        """Return the plans that wait, oldest first."""
        return self._admission.waiting()

    # Carrying a change

    async def _carried(self, plan: Plan, change_id: str | None, given: Approval | None = None, why: str = "") -> Change:
        """Carry a plan's change until its operations are applied or it has ended, and return it."""
        task = self._tasks.get(plan.id)
        if task is None:
            task, applied = self._start(plan, change_id, given, why)
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
            with self._admission.audited("apply", plan_id):
                raise RefusedChangeError("busy", f"another process is about to apply plan {plan_id[:12]}: ask again")
        return found[-1]

    def _start(
        self, plan: Plan, change_id: str | None, given: Approval | None = None, why: str = ""
    ) -> tuple[asyncio.Task[None], asyncio.Future[str]]:
        applied: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def begin() -> str:
            return await self._admission.begin(plan, given, why)

        task = asyncio.create_task(self._carry(plan, change_id, applied, begin))
        self._tasks[plan.id] = task

        def ended(done: asyncio.Task[None]) -> None:
            self._tasks.pop(plan.id, None)
            if not done.cancelled() and done.exception() is not None:
                log.info("the attempt at plan %s ended: %s", plan.id[:12], done.exception())

        task.add_done_callback(ended)
        return task, applied

    async def _carry(
        self,
        plan: Plan,
        change_id: str | None,
        applied: asyncio.Future[str],
        begin: Callable[[], Awaitable[str]],
    ) -> None:
        with locked(self.state / "locks" / f"plan-{plan.id[:16]}.lock", wait=False) as held:
            if not held:
                return
            if change_id is None:
                running = self.journal.under_way(plan.id)
                change_id = running[0].change.change_id if running else await begin()
                recovering = bool(running)
            else:
                recovering = True
            transaction = Transaction(
                change_id, plan, self.journal, self._api, self._clock, self.audit, against=self._admission.against
            )
            if recovering and self._attempts.state(change_id) not in TERMINAL_STATES | {"applied", "verifying"}:
                self.audit.append("recovering", run=change_id, body={"state": self._attempts.state(change_id)})
            await self._attempts.apply_or_undo(transaction, recovering=recovering)
            if not applied.done():
                applied.set_result(change_id)
            await self._attempts.verify(transaction)
