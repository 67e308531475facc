"""Approvals: consent to one plan under one preview, signed, dated, used once (CONTRACTS §5)."""

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError

from midwatch_contracts.canonical import canonical_bytes
from midwatch_contracts.errors import ContractError
from midwatch_contracts.plan import Approval, KubeTarget, Plan, ServingTarget, approval_payload
from midwatch_contracts.times import rfc3339, unix_seconds
from midwatch_mcp.files import write_private
from midwatch_mcp.safe_apply.as_git.plans import refuse_in_git
from midwatch_mcp.safe_apply.errors import RefusedChangeError
from midwatch_mcp.safe_apply.keys import Principal, sign

EXPIRES_S = 15 * 60.0
"""How long an approval is good for, unless said otherwise."""


def approval_folder(state: Path) -> Path:
    """Return where approvals are put for the server."""
    return state / "approvals"


def clusters_of(plan: Plan) -> frozenset[str]:
    """Return the clusters that a plan touches; an empty text stands for a target that names none."""
    return frozenset(
        (operation.target.cluster or "") if isinstance(operation.target, KubeTarget | ServingTarget) else ""
        for operation in plan.operations
    )


def signed_approval(
    plan: Plan,
    preview_sha256: str,
    *,
    approver: str,
    key: Ed25519PrivateKey,
    method: str,
    now: float,
    expires_s: float = EXPIRES_S,
) -> Approval:
    """Return a new approval with a fresh nonce. `method` is `terminal` or `cli`."""
    unsigned = Approval.model_validate(
        {
            "plan_id": plan.id,
            "preview_sha256": preview_sha256,
            "approver": approver,
            "method": method,
            "attested": "key",
            "issued": rfc3339(now),
            "expires": rfc3339(now + expires_s),
            "nonce": secrets.token_hex(16),
            "signature": None,
        }
    )
    return unsigned.model_copy(update={"signature": sign(key, approval_payload(unsigned))})


def put_approval(state: Path, approval: Approval) -> Path:
    """Put an approval where the server finds it, 0600."""
    path = approval_folder(state) / f"{approval.nonce}.json"
    write_private(path, canonical_bytes(approval))
    return path


def approvals_for(state: Path, plan_id: str) -> list[Approval]:
    """Return the approvals of a plan that lie in the state folder, newest first; what is no approval is passed over."""
    found: list[Approval] = []
    for file in sorted(approval_folder(state).glob("*.json")):
        try:
            approval = Approval.model_validate_json(file.read_bytes())
        except (ValidationError, OSError):
            continue
        if approval.plan_id == plan_id and file.stem == approval.nonce:
            found.append(approval)
    return sorted(found, key=lambda approval: approval.issued, reverse=True)


def withdraw(state: Path, plan_id: str, is_spent: Callable[[str], bool]) -> int:
    """Remove the approvals of a plan that were not used, and return how many there were: a denial outlives them."""
    unspent = [approval for approval in approvals_for(state, plan_id) if not is_spent(approval.nonce)]
    for approval in unspent:
        (approval_folder(state) / f"{approval.nonce}.json").unlink(missing_ok=True)
    return len(unspent)


def check_approval(
    approval: Approval,
    plan: Plan,
    principals: Mapping[str, Principal],
    *,
    now: float,
    max_age_s: float,
    spent_by: str | None,
) -> None:
    """Check an approval itself; whether it is for the preview as it now is, `for_preview` says.

    `spent_by` is the change that used the nonce, or None.

    Raises:
        RefusedChangeError: with the reason.
    """
    refuse_in_git(plan)
    who = f"the approval by {approval.approver}"
    if approval.plan_id != plan.id:
        raise RefusedChangeError("other_plan", f"{who} is for plan {approval.plan_id[:12]}, not {plan.id[:12]}")
    if approval.attested != "key" or approval.method not in ("terminal", "cli") or approval.signature is None:
        raise RefusedChangeError(
            "unsigned", f"{who} carries no signature; only the changes server itself makes such approvals, in the call"
        )
    principal = principals.get(approval.approver)
    if principal is None:
        known = ", ".join(principals) or "nobody"
        raise RefusedChangeError("unknown_approver", f"{approval.approver} is no approver here; known: {known}")
    if not principal.signed(approval_payload(approval), approval.signature):
        raise RefusedChangeError("forged", f"{who} does not carry that principal's signature over this content")
    if principal.cluster is not None and clusters_of(plan) != frozenset({principal.cluster}):
        raise RefusedChangeError(
            "other_cluster",
            f"{approval.approver} may approve for cluster {principal.cluster} only; the plan is for "
            f"{', '.join(sorted(clusters_of(plan)))}",
        )
    if spent_by is not None:
        raise RefusedChangeError("replayed", f"{who} was used by {spent_by}: approve the plan again for another try")
    _check_dates(approval, who, now, max_age_s)


def _check_dates(approval: Approval, who: str, now: float, max_age_s: float) -> None:
    try:
        issued, expires = unix_seconds(approval.issued), unix_seconds(approval.expires)
    except ContractError as error:
        raise RefusedChangeError("forged", f"{who} has no readable dates: {error}") from error
    if issued > now:
        raise RefusedChangeError("future", f"{who} is dated {issued - now:.0f} s in the future: set the clocks right")
    if now >= expires:
        raise RefusedChangeError("expired", f"{who} expired {now - expires:.0f} s ago: approve the plan again")
    if expires - issued > max_age_s:
        raise RefusedChangeError("expired", f"{who} claims to last {expires - issued:.0f} s; policy says {max_age_s:g}")


@dataclass(frozen=True)
class Sifted:
    """Approvals of one plan, newest first: those that count by themselves, and why the others do not."""

    valid: tuple[Approval, ...]
    refusals: tuple[RefusedChangeError, ...]

    def on(self, preview_sha256: str) -> tuple[Approval, ...]:
        """Return those that are for this very preview, oldest first."""
        return tuple(one for one in reversed(self.valid) if one.preview_sha256 == preview_sha256)


def sift(approvals: Iterable[Approval], check: Callable[[Approval], None]) -> Sifted:
    """Tell the approvals that pass `check` from those that do not."""
    valid: list[Approval] = []
    refusals: list[RefusedChangeError] = []
    for approval in approvals:
        try:
            check(approval)
        except RefusedChangeError as refusal:
            refusals.append(refusal)
        else:
            valid.append(approval)
    return Sifted(tuple(valid), tuple(refusals))


def approvers_of(approvals: Iterable[Approval]) -> tuple[str, ...]:
    """Return the different principals, in order."""
    return tuple(dict.fromkeys(approval.approver for approval in approvals))


def enough(found: Sifted, plan: Plan, preview_sha256: str, needed: int) -> tuple[Approval, ...]:
    """Return all approvals that are for this very preview, of at least `needed` different principals.

    All are spent by the change, the third of two too: consent is to one attempt.

    Raises:
        RefusedChangeError: there are too few; the message says who approved, and why others do not count.
    """
    fitting = found.on(preview_sha256)
    names = approvers_of(fitting)
    if len(names) >= needed:
        return fitting
    missing = missing_approval(plan, names, needed)
    if not fitting and found.valid:
        raise RefusedChangeError(
            "other_preview",
            f"the approval is for the preview {found.valid[0].preview_sha256[:12]}, but the plan would now do "
            f"{preview_sha256[:12]}: look at the preview and approve it again",
        )
    if not fitting and found.refusals:
        raise found.refusals[0]
    if found.refusals:
        raise RefusedChangeError("missing", f"{missing}; not counted: {'; '.join(map(str, found.refusals))}")
    raise RefusedChangeError("missing", missing)


def missing_approval(plan: Plan, names: Sequence[str], needed: int) -> str:
    """Return what is missing, as a sentence."""
    if needed == 1:
        return f"plan {plan.id[:12]} has no approval"
    who = f"{', '.join(names)} approved" if names else "nobody approved"
    return (
        f"plan {plan.id[:12]} needs the approvals of {needed} different people; {who}, so {needed - len(names)} "
        "must still sign with a key of their own"
    )
