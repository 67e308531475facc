"""Taking in approvals that were signed elsewhere (CONTRACTS §5): checked as at apply, then put into the state folder.

Whoever may call the server may bring one; what counts is the signature. Apply checks everything again.
"""

import re
from dataclasses import dataclass

from pydantic import ValidationError

from midwatch_contracts.canonical import canonical_bytes
from midwatch_contracts.clock import Clock, WallClock
from midwatch_contracts.errors import ContractError
from midwatch_contracts.plan import Approval, Plan
from midwatch_contracts.times import unix_seconds
from midwatch_mcp.redact import harmless
from midwatch_mcp.safe_apply.approvals import approval_folder, check_approval, put_approval
from midwatch_mcp.safe_apply.audit import Audit
from midwatch_mcp.safe_apply.errors import EnvelopeError, RefusedChangeError, reason_of
from midwatch_mcp.safe_apply.journal import Journal
from midwatch_mcp.safe_apply.keys import principals
from midwatch_mcp.safe_apply.policy_file import load, policy_path
from midwatch_mcp.settings import ServerSettings

MAX_BYTES = 8_192
"""Longest approval in bytes; one of ours has about 600."""
_NONCE = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Received:
    """An approval that lies in the state folder; `new` when this call put it there."""

    approval: Approval
    new: bool


class ApprovalInbox:
    """Where a server that may write takes approvals in. Its methods read and write files: off the event loop."""

    def __init__(self, settings: ServerSettings, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or WallClock()

    def take(self, nonce: str, content: bytes, caller: str) -> Received:
        """Check an approval and keep it, 0600; the same bytes again change nothing.

        Raises:
            RefusedChangeError: it is not kept; `reason` says why, and so does the audit.
            UnknownPlanError: this server has no such plan.
        """
        journal = Journal(self._settings.state / "changes.sqlite")
        try:
            audit = Audit(self._settings.state, self._clock, journal)
            run = "-"
            try:
                approval = parsed(nonce, content)
                run = approval.plan_id
                new = self._checked(approval, journal)
            except EnvelopeError as error:
                body = {"what": "approval", "reason": reason_of(error), "says": harmless(str(error)), "caller": caller}
                audit.append("refused", run=run, body=body)
                raise
            if new:
                body = {"approver": approval.approver, "nonce": nonce, "caller": caller}
                audit.append("received", run=run, body=body | {"preview_sha256": approval.preview_sha256})
                new = self._kept(approval)
            return Received(approval, new)
        finally:
            journal.close()

    def _checked(self, approval: Approval, journal: Journal) -> bool:
        """Return whether the approval is a new one."""
        found = self._stored(approval.nonce)
        if found is not None:
            return _same(found, approval)
        plan = journal.plan(approval.plan_id)
        policy = load(policy_path(self._settings.state, self._settings.policy), required=bool(self._settings.policy))
        check_approval(
            approval,
            plan,
            principals(self._settings.state, self._settings.lab),
            now=self._clock.now(),
            max_age_s=policy.approvals.max_age_s,
            spent_by=journal.spent_by(approval.nonce),
        )
        _refuse_denied(approval, plan, journal)
        return True

    def _kept(self, approval: Approval) -> bool:
        try:
            put_approval(self._settings.state, approval)
        except FileExistsError:
            # Another call came first; its bytes decide.
            return _same(self._stored(approval.nonce) or b"", approval)
        return True

    def _stored(self, nonce: str) -> bytes | None:
        try:
            return (approval_folder(self._settings.state) / f"{nonce}.json").read_bytes()
        except FileNotFoundError:
            return None


def parsed(nonce: str, content: bytes) -> Approval:
    """Return the approval that a request carries.

    Raises:
        RefusedChangeError: it is none in canonical form (RFC 8785), or is not of this nonce.
    """
    if not _NONCE.fullmatch(nonce):
        raise RefusedChangeError("malformed", "the path ends with the approval's nonce: 32 hex digits in lower case")
    try:
        approval = Approval.model_validate_json(content)
        canonical = canonical_bytes(approval)
    except (ValidationError, ContractError) as error:
        raise RefusedChangeError("malformed", "this is no approval of the form midwatch.approval/v1") from error
    if canonical != content:
        raise RefusedChangeError("malformed", "the approval is not in its canonical form (RFC 8785)")
    if approval.nonce != nonce:
        raise RefusedChangeError("malformed", "the nonce in the path is not that of the approval")
    return approval


def _same(stored: bytes, approval: Approval) -> bool:
    """Return False, for nothing new, where the stored bytes are those of the approval."""
    if stored != canonical_bytes(approval):
        raise RefusedChangeError("conflict", "another approval was stored under this nonce: approve the plan again")
    return False


def _refuse_denied(approval: Approval, plan: Plan, journal: Journal) -> None:
    """Refuse what was signed before a denial: the denial took it back, and it must not return over the network."""
    rejected = [one for one in journal.records() if one.change.plan_id == plan.id and one.change.state == "rejected"]
    if any(one.ended is not None and unix_seconds(approval.issued) <= one.ended for one in rejected):
        raise RefusedChangeError("denied", f"plan {plan.id[:12]} was denied after this approval was given")
