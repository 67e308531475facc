"""What must hold before the first write of a change: policy, cluster, approval, preconditions, and the same preview."""

import contextlib
import secrets
from collections.abc import Generator
from pathlib import Path

from midwatch_contracts.clock import Clock
from midwatch_contracts.plan import Approval, Change, OperationState, Plan
from midwatch_mcp.safe_apply.approvals import (
    approvals_for,
    check_approval,
    clusters_of,
    for_preview,
    valid_approvals,
)
from midwatch_mcp.safe_apply.audit import Audit
from midwatch_mcp.safe_apply.errors import PolicyError, RefusedChangeError
from midwatch_mcp.safe_apply.journal import Journal
from midwatch_mcp.safe_apply.keys import principals
from midwatch_mcp.safe_apply.policy import ASSIST, LEVELS, Policy
from midwatch_mcp.safe_apply.policy_file import load, policy_path
from midwatch_mcp.safe_apply.ports import TargetApi
from midwatch_mcp.safe_apply.preview import Rehearsed, rehearse, target_text
from midwatch_mcp.safe_apply.reading import unmet


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
        policy: Path | None,
        lab: Path | None,
    ) -> None:
        self._state = state
        self._journal = journal
        self._audit = audit
        self._api = api
        self._clock = clock
        self._policy_path = policy_path(state, policy)
        self._policy_given = policy is not None
        self._lab = lab

    def policy(self) -> Policy:
        """Read the policy as it is now."""
        return load(self._policy_path, required=self._policy_given)

    @contextlib.contextmanager
    def audited(self, what: str, run: str) -> Generator[None]:
        """Write every refusal to the audit, with its reason."""
        try:
            yield
        except RefusedChangeError as refusal:
            self._audit.append("refused", run=run, body={"what": what, "reason": refusal.reason, "says": str(refusal)})
            raise

    def frozen(self) -> str | None:
        """Return why nothing new may be written, or None; read from the file each time."""
        try:
            frozen = self.policy().frozen_at(self._clock.now())
        except PolicyError as error:
            return str(error)
        return None if frozen is None else f"changes are frozen: {frozen}"

    async def begin(self, plan: Plan) -> str:
        """Check everything that must hold before the first write, and start the change; returns its id."""
        with self.audited("apply", plan.id):
            policy = self.policy()
            frozen = policy.frozen_at(self._clock.now())
            if frozen is not None:
                raise RefusedChangeError("frozen", f"changes are frozen: {frozen}")
            if policy.autonomy < ASSIST:
                raise RefusedChangeError("autonomy", f"{level(policy)} applies nothing: raise autonomy in the policy")
            await self.refuse_other_cluster(plan)
            valid = valid_approvals(
                approvals_for(self._state, plan.id), lambda one: self._check(one, plan, policy), plan
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
            refuse_forbidden(rehearsed)
            approval = for_preview(valid, rehearsed.sha256)
            change = change.model_copy(update={"approval": approval, "preview_sha256": approval.preview_sha256})
            self._audit.append(
                "applying",
                run=change.change_id,
                body={"plan": plan.id, "preview_sha256": rehearsed.sha256, "approver": approval.approver},
            )
            self._journal.begin(
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
        self._journal.end_before_apply(ended, now=self._clock.now(), nonce=nonce)
        return change.change_id

    def _check(self, approval: Approval, plan: Plan, policy: Policy) -> None:
        check_approval(
            approval,
            plan,
            principals(self._state, self._lab),
            now=self._clock.now(),
            max_age_s=policy.approvals.max_age_s,
            spent_by=self._journal.spent_by(approval.nonce),
        )

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
        for operation in plan.operations:
            why = await unmet(self._api, operation)
            if why is not None:
                return f"{operation.id}: {target_text(operation.target)}: {why}"
        return None


def refuse_forbidden(rehearsed: Rehearsed) -> None:
    """Refuse what nobody can approve."""
    if rehearsed.preview.risk == "forbidden":
        raise RefusedChangeError("forbidden", f"the plan is refused: {'; '.join(rehearsed.reasons)}")


def level(policy: Policy) -> str:
    """Return the autonomy level as a person reads it."""
    return f"autonomy {policy.autonomy} ({LEVELS[policy.autonomy]})"
