"""What must hold before the first write of a change: policy, cluster, approval, preconditions, and the same preview."""

import secrets
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NoReturn

from midwatch_contracts.clock import Clock
from midwatch_contracts.plan import Approval, Change, OperationState, Plan, Preview, Target
from midwatch_contracts.times import unix_seconds
from midwatch_mcp.questions import Asker, Question, Reply
from midwatch_mcp.safe_apply.approvals import Sifted, approvers_of, clusters_of, missing_approval
from midwatch_mcp.safe_apply.at_once import at_once
from midwatch_mcp.safe_apply.audit import Audit
from midwatch_mcp.safe_apply.consent import Consents
from midwatch_mcp.safe_apply.errors import PolicyError, RefusedChangeError
from midwatch_mcp.safe_apply.guards import entity_of, outside, protecting
from midwatch_mcp.safe_apply.journal import Journal
from midwatch_mcp.safe_apply.owed import Line
from midwatch_mcp.safe_apply.policy import ASSIST, LEVELS, Policy
from midwatch_mcp.safe_apply.policy_file import load, policy_path
from midwatch_mcp.safe_apply.ports import Snapshot, TargetApi
from midwatch_mcp.safe_apply.preview import Previewed, held_by, preview_plan, target_text
from midwatch_mcp.safe_apply.reading import unmet
from midwatch_mcp.safe_apply.rehearsal.keeping import Rehearsals
from midwatch_mcp.safe_apply.sealing import sealer
from midwatch_mcp.safe_apply.waiting import WaitingPlan, waiting_plans


class Admission:
    """Lets a plan begin, or refuses it and says why in the audit."""

    def __init__(
        self,
        *,
        state: Path,
        journal: Journal,
        audit: Audit,
        api: TargetApi,
        clock: Clock,
        policy: Path | Policy | None,
        lab: Path | None,
    ) -> None:
        self._journal = journal
        self._audit = audit
        self._api = api
        self._clock = clock
        self._fixed = policy if isinstance(policy, Policy) else None
        self._policy_path = policy_path(state, policy if isinstance(policy, Path) else None)
        self._policy_given = policy is not None
        self._consents = Consents(state, journal, audit, clock, lab)

    def policy(self) -> Policy:
        """Read the policy as it is now."""
        return self._fixed or load(self._policy_path, required=self._policy_given)

    async def previewed(self, plan: Plan, policy: Policy) -> Previewed:
        """Try every operation of a plan by dry run, under a policy."""
        return await preview_plan(plan, self._api, policy, sealer(self._journal))

    def against_policy_alone(self, plan: Plan, previewed: Previewed) -> str | None:
        """Return why the policy does not approve a plan without a person, or None."""
        return self._consents.against_policy_alone(plan, previewed.preview.risk, self.policy())

    def waiting(self) -> list[WaitingPlan]:
        """Return the plans that wait, with how far their approval is."""
        return waiting_plans(self._consents, self.policy)

    def audited(self, what: str, run: str) -> AbstractContextManager[None]:
        """Write to the audit whatever is not done, with the reason: a refusal, or a cluster that did not answer."""
        return self._audit.refusals(what, run)

    def frozen(self) -> str | None:
        """Return why nothing new may be written, or None; read from the file each time."""
        try:
            frozen = self.policy().frozen_at(self._clock.now())
        except PolicyError as error:
            return str(error)
        return None if frozen is None else f"changes are frozen: {frozen}"

    def against(self, target: Target, found: Snapshot | None = None) -> str | None:
        """Return why nothing new may be written to a target now, as it was read if it was; None where it may."""
        frozen = self.frozen()
        if frozen is not None:
            return frozen
        entity, policy = entity_of(target), self.policy()
        if entity is None:
            return "the target is not understood"
        marks = [] if found is None else protecting(entity, found.holder, policy)
        return "; ".join([*outside(entity.namespace, policy), *marks]) or None

    async def question(self, plan: Plan, asker: Asker) -> Question | str:
        """Return what a person is to be asked before a plan is applied, or why nobody is asked.

        Where applying is refused anyhow nobody is asked: `begin` says why it is.

        Raises:
            RefusedChangeError: the answer that this call brings is to no open question.
        """
        with self.audited("apply", plan.id):
            if asker.again:
                return self._consents.open_question(plan, asker)
            if self._journal.under_way(plan.id):
                return "a change of this plan is under way"
            policy = self.policy()
            if policy.frozen_at(self._clock.now()) is not None or policy.autonomy < ASSIST:
                return "the policy applies nothing now"
            await self.refuse_other_cluster(plan)
            if await self._stale(plan) is not None:
                return "the plan is out of date"

            async def previewed() -> Previewed:
                found = await self.previewed(plan, policy)
                refuse_forbidden(found)
                return found

            return await self._consents.question(plan, policy, asker, previewed)

    def settled(self, plan: Plan, reply: Reply) -> Approval | None:
        """Take the reply to a question; returns the approval that it stands for, if any.

        Raises:
            RefusedChangeError: the answer is no, or to no open question.
        """
        with self.audited("apply", plan.id):
            return self._consents.settled(plan, reply)

    async def begin(self, plan: Plan, given: Approval | None = None, why: str = "") -> str:
        """Check everything that must hold before the first write, and start the change; returns its id.

        `given` is an approval that this very call got from its client; `why` says why there is none.
        """
        with self.audited("apply", plan.id):
            policy = self.policy()
            frozen = policy.frozen_at(self._clock.now())
            if frozen is not None:
                raise RefusedChangeError("frozen", f"changes are frozen: {frozen}")
            if policy.autonomy < ASSIST:
                raise RefusedChangeError("autonomy", f"{level(policy)} applies nothing: raise autonomy in the policy")
            await self.refuse_other_cluster(plan)
            found = self._consents.signed(plan, policy)
            if not found.valid and given is None and not self._consents.could_do_without(plan, policy):
                self._refuse_unapproved(plan, found, policy, why)
            change = Change(
                change_id=f"chg-{secrets.token_hex(8)}",
                plan_id=plan.id,
                preview_sha256="0" * 64,
                approval=None,
                state="applying",
                operations=tuple(OperationState(id=one.id, state="pending") for one in plan.operations),
            )
            stale = await self._stale(plan)
            if stale is not None:
                return self._superseded(change, stale, found.valid or ((given,) if given else ()))
            previewed = await self.previewed(plan, policy)
            refuse_forbidden(previewed)
            unrehearsed = Rehearsals(self._journal).lacking(plan, previewed.preview, policy)
            if unrehearsed is not None:
                raise RefusedChangeError("not_rehearsed", unrehearsed)
            approvals = self._consents.chosen(plan, previewed, policy, given)
            change = _approved(change, approvals, previewed.sha256)
            body = {
                "plan": plan.id,
                "preview_sha256": previewed.sha256,
                "approvers": list(approvers_of(approvals)),
                "attested": approvals[0].attested,
            }
            self._audit.check()
            self._journal.begin(
                change,
                now=self._clock.now(),
                nonces=[approval.nonce for approval in approvals],
                targets=held_by(plan),
                expected=previewed.expected,
                line=Line("applying", change.change_id, body),
            )
            self._audit.tell(change.change_id)
            return change.change_id

    def _refuse_unapproved(self, plan: Plan, found: Sifted, policy: Policy, why: str) -> NoReturn:
        if found.refusals:
            raise found.refusals[0]
        kept = self._journal.preview(plan.id)
        needed = policy.approvals.rule("change" if kept is None else kept[0].risk).people
        raise RefusedChangeError("missing", f"{missing_approval(plan, (), needed)}{f': {why}' if why else ''}")

    def _superseded(self, change: Change, why: str, approvals: Sequence[Approval]) -> str:
        note = f"{why}. Nothing was written."
        ended = _approved(change, approvals, approvals[0].preview_sha256 if approvals else change.preview_sha256)
        ended = ended.model_copy(update={"state": "superseded", "note": note})
        nonces = [approval.nonce for approval in approvals]
        self._journal.end_before_apply(ended, now=self._clock.now(), nonces=nonces)
        return change.change_id

    async def refuse_other_cluster(self, plan: Plan) -> None:
        """Refuse a plan that was made for another cluster."""
        here = await self._api.cluster_uid()
        if clusters_of(plan) != frozenset({here}):
            there = ", ".join(sorted(clusters_of(plan)))
            raise RefusedChangeError("other_cluster", f"the plan is for cluster {there}, and this is {here}")

    async def refuse_stale(self, plan: Plan) -> None:
        """Refuse a plan whose preconditions no longer hold."""
        stale = await self._stale(plan)
        if stale is not None:
            raise RefusedChangeError("state", f"{stale}: propose the change again")

    async def _stale(self, plan: Plan) -> str | None:
        """Return which precondition no longer holds, or None."""
        found = await at_once(unmet(self._api, operation) for operation in plan.operations)
        for operation, why in zip(plan.operations, found, strict=True):
            if why is not None:
                return f"{operation.id}: {target_text(operation.target)}: {why}"
        return None


def _approved(change: Change, approvals: Sequence[Approval], preview_sha256: str) -> Change:
    """Return a change with what it was approved by; the first to expire stands for all."""
    ordered = sorted(approvals, key=lambda approval: unix_seconds(approval.expires))
    first, further = (ordered[0], tuple(ordered[1:])) if ordered else (None, ())
    return change.model_copy(update={"approval": first, "further": further, "preview_sha256": preview_sha256})


def refuse_forbidden(previewed: Previewed) -> None:
    """Refuse what nobody can approve."""
    if previewed.preview.risk == "forbidden":
        raise RefusedChangeError("forbidden", f"the plan is refused: {'; '.join(previewed.reasons)}")


def refuse_forbidden_risk(preview: Preview) -> None:
    """Refuse a preview that was made before and that nobody can approve."""
    if preview.risk == "forbidden":
        raise RefusedChangeError("forbidden", f"the plan is refused: {'; '.join(preview.warnings)}")


def level(policy: Policy) -> str:
    """Return the autonomy level as a person reads it."""
    return f"autonomy {policy.autonomy} ({LEVELS[policy.autonomy]})"
