"""Approval by policy: what nobody need be asked about (CONTRACTS §6, autonomy 4 and 5).

"Nothing untrusted steered it" is read narrowly: docs/decisions says why.
"""

from collections.abc import Sequence
from pathlib import Path

from midwatch_contracts.canonical import sha256_hex
from midwatch_contracts.plan import Change, Plan, Risk
from midwatch_mcp.errors import EvidenceError
from midwatch_mcp.evidence import EvidenceStore
from midwatch_mcp.safe_apply.journal import Journal
from midwatch_mcp.safe_apply.policy import ACT, LEVELS, Policy
from midwatch_mcp.safe_apply.questions import Questions

FIGURES_AND_FIELDS = frozenset(
    {
        "kube_access",
        "kube_get",
        "kube_list",
        "kube_resources",
        "kube_rollout",
        "kube_top",
        "kube_topology",
        "metrics_burn",
        "metrics_compare",
        "metrics_outliers",
        "metrics_query",
        "metrics_range",
        "serving_config",
        "serving_models",
        "serving_requests",
        "serving_status",
    }
)
"""Tools whose answers are figures and fields that code reads by name. Logs, events, alerts, descriptions and the words
of a model are sentences that anybody can write: evidence of any other tool counts as steered."""


def policy_principal(policy: Policy) -> str:
    """Return the approver that stands for the policy as it is now."""
    return f"policy:{sha256_hex(policy.model_dump(mode='json', by_alias=True))[:16]}"


def against_unattended(plan: Plan, policy: Policy, journal: Journal, state: Path) -> str | None:
    """Return why the policy does not approve a plan by itself, or None where only its risk is left to be seen."""
    if policy.autonomy < ACT:
        return f"autonomy {policy.autonomy} ({LEVELS[policy.autonomy]}) approves nothing by itself"
    if plan.cause is None or plan.cause.confidence != "certain":
        return "its cause is not certain"
    if not drafted_by_code(journal, plan.id):
        return "somebody else than the supervisor's own code drafted it"
    tried = [record.change for record in journal.records() if record.change.plan_id == plan.id]
    return _tried(tried) or _declined(plan, journal) or _steered(plan, EvidenceStore(state))


def against_risk(risk: Risk, policy: Policy) -> str | None:
    """Return why the policy does not approve a plan of this risk by itself, or None."""
    if risk != "change":
        return f"it is {risk}, and that needs a person"
    needed = policy.approvals.rule(risk).people
    return None if needed == 1 else f"it needs the approvals of {needed} people"


def drafted_by_code(journal: Journal, plan_id: str) -> bool:
    """Say whether whoever drafted a plan was code: one other caller who drafted the same is one too many."""
    found = journal.rows("SELECT by_code FROM proposers WHERE plan_id = ?", plan_id)
    return bool(found) and all(by_code for (by_code,) in found)


def _tried(tried: Sequence[Change]) -> str | None:
    return f"it was tried before ({tried[-1].change_id} is {tried[-1].state})" if tried else None


def _declined(plan: Plan, journal: Journal) -> str | None:
    return "somebody said no to it" if Questions(journal).declined(plan.id) else None


def _steered(plan: Plan, evidence: EvidenceStore) -> str | None:
    cited = dict.fromkeys([*plan.evidence, *(plan.cause.evidence if plan.cause is not None else ())])
    if not cited:
        return "it cites no evidence"
    for name in cited:
        try:
            tool = evidence.entry(name).tool
            evidence.content(name)
        except EvidenceError as error:
            return f"its evidence cannot be read: {error}"
        if tool not in FIGURES_AND_FIELDS:
            return f"its evidence {name} is text from outside ({tool})"
    return None
