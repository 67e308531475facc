"""Plans that wait: those that no change was made of, and those that were approved anew for another try."""

from collections.abc import Callable
from dataclasses import dataclass

from midwatch_contracts.plan import ChangeState, Plan, Preview
from midwatch_contracts.times import unix_seconds
from midwatch_mcp.safe_apply.approvals import Sifted, approvers_of
from midwatch_mcp.safe_apply.as_git.plans import in_git
from midwatch_mcp.safe_apply.consent import Consents
from midwatch_mcp.safe_apply.errors import KeyFileError, PolicyError
from midwatch_mcp.safe_apply.policy import Policy


@dataclass(frozen=True)
class WaitingPlan:
    """A plan that waits, and how far it is."""

    plan: Plan
    state: ChangeState
    at: float
    """When it was made (Unix seconds)."""
    says: str = ""
    """Who approved it and what is missing, where the state alone does not say it."""


def waiting_plans(consents: Consents, policy: Callable[[], Policy]) -> list[WaitingPlan]:
    """Return the plans that wait, oldest first; `approved` are those that can be applied as their newest preview is."""
    tried = {record.change.plan_id for record in consents.journal.records()}
    found: list[WaitingPlan] = []
    for plan, at in consents.journal.plans():
        kept = consents.journal.preview(plan.id)
        if kept is None or in_git(plan):
            state, says, signed = "proposed", "", False
        else:
            state, says, signed = _how_far(plan, kept, consents, policy)
        if signed or plan.id not in tried:
            found.append(WaitingPlan(plan, state, at, says))
    return found


def _how_far(
    plan: Plan, kept: tuple[Preview, str], consents: Consents, policy: Callable[[], Policy]
) -> tuple[ChangeState, str, bool]:
    """Return a plan's state, what there is to say, and whether somebody approved its newest preview."""
    try:
        rules = policy()
        signed = consents.signed(plan, rules)
    except (PolicyError, KeyFileError) as error:
        return "previewed", f"no approval counts: {error}", False
    preview, sha256 = kept
    fitting, needed = signed.on(sha256), rules.approvals.rule(preview.risk).people
    names = approvers_of(fitting)
    if len(names) >= needed:
        until = min((one.expires for one in fitting), key=unix_seconds)
        return "approved", f"by {', '.join(names)}, until {until}", True
    if names:
        return "previewed", f"{', '.join(names)} approved; {needed - len(names)} more must sign", True
    state, says = _not_counted(signed)
    return state, says, False


def _not_counted(signed: Sifted) -> tuple[ChangeState, str]:
    if signed.valid:
        return "previewed", f"the approval by {signed.valid[0].approver} is for another preview: approve it again"
    if signed.refusals:
        newest = signed.refusals[0]
        return "expired" if newest.reason == "expired" else "previewed", str(newest)
    return "previewed", ""
