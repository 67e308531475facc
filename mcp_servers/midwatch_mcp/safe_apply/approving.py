"""`midwatch change approve`: the only process that reads a private key, and the one that asks the person."""

import asyncio
import difflib
import secrets
from argparse import Namespace
from dataclasses import dataclass, replace

from rich.console import Console
from rich.text import Text

from midwatch_contracts.clock import WallClock
from midwatch_contracts.command import CommandError, Settings
from midwatch_contracts.exit_codes import Exit
from midwatch_contracts.plan import Approval, Change, OperationState, Plan, Preview, preview_sha256
from midwatch_contracts.times import parse_duration
from midwatch_mcp.errors import ServersError
from midwatch_mcp.safe_apply.approvals import approvers_of, put_approval, signed_approval, withdraw
from midwatch_mcp.safe_apply.as_git.plans import refuse_in_git
from midwatch_mcp.safe_apply.audit import Audit
from midwatch_mcp.safe_apply.consent import Consents
from midwatch_mcp.safe_apply.envelope import Proposal
from midwatch_mcp.safe_apply.errors import RefusedChangeError
from midwatch_mcp.safe_apply.journal import Journal
from midwatch_mcp.safe_apply.opening import open_envelope
from midwatch_mcp.safe_apply.owed import Line, approved_line
from midwatch_mcp.safe_apply.policy import Policy
from midwatch_mcp.safe_apply.policy_file import load, policy_path
from midwatch_mcp.safe_apply.rehearsal.commanding import rehearsed
from midwatch_mcp.safe_apply.rehearsal.keeping import Rehearsals
from midwatch_mcp.safe_apply.remote import RemoteServer
from midwatch_mcp.safe_apply.render import one_line, plan_text
from midwatch_mcp.safe_apply.signing import Signer, answered
from midwatch_mcp.settings import ServerSettings


@dataclass(frozen=True)
class Decided:
    """What became of the question; `approval` is None when it was refused."""

    plan: Plan
    preview_sha256: str
    approval: Approval | None
    why: str
    approvers: tuple[str, ...] = ()
    """Who approved this preview so far, this time included."""
    needed: int = 1

    @property
    def missing(self) -> int:
        """How many people must still approve."""
        return max(0, self.needed - len(self.approvers))


def decide(arguments: Namespace, settings: Settings, journal: Journal) -> Decided:
    """Show the plan, take the answer, and write an approval or a denial.

    Raises:
        CommandError: there is no preview, nobody to ask, or no key that may sign.
    """
    plan = journal.plan(arguments.plan)
    refuse_in_git(plan)
    kept = journal.preview(plan.id)
    if kept is None:
        raise CommandError(f"plan {plan.id[:12]} has no preview: run `midwatch change preview {plan.id[:12]}`")
    if arguments.deny:
        show(plan_text(plan, *kept, Rehearsals(journal).lines(plan, kept[0], WallClock().now())))
        return _deny(plan, kept[1], settings, journal, "refused with --deny")
    preview, sha256 = _as_it_is_now(plan, kept, settings)
    rehearsals = Rehearsals(journal)
    show(plan_text(plan, preview, sha256, rehearsals.lines(plan, preview, WallClock().now())))
    if preview.risk == "forbidden":
        _deny(plan, sha256, settings, journal, "the plan is forbidden")
        raise CommandError("the plan is forbidden: nobody can approve it", Exit.NOT_APPROVED)
    policy = policy_of(settings)
    if parse_duration(arguments.expires) > policy.approvals.max_age_s:
        raise CommandError(
            f"--expires {arguments.expires} is longer than the policy's {policy.approvals.max_age_s:g} s"
        )
    unrehearsed = rehearsals.lacking(plan, preview, policy)
    if unrehearsed is not None:
        raise CommandError(unrehearsed, Exit.NOT_APPROVED)
    needed = policy.approvals.rule(preview.risk).people
    names = approvers_of(consents_of(settings, journal).signed(plan, policy).on(sha256))
    if names or needed > 1:
        show(f"approved so far by {', '.join(names) or 'nobody'}; {needed} must approve")
    offer = (lambda: _try(plan, preview, settings)) if preview.risk == "dangerous" else None
    signer, yes = answered(arguments, plan, settings, f"Approve plan {plan.id[:12]}", offer)
    if not yes:
        return _deny(plan, sha256, settings, journal, f"refused on the terminal of {signer.name}")
    approval = _signed(arguments, plan, sha256, signer)
    # Told before the approval can count: one that nobody was told of must not be used.
    line = approved_line(approval)
    _audit(settings, journal).append(line.kind, run=line.run, body=line.body)
    put_approval(settings.state, approval)
    names = tuple(dict.fromkeys([*names, signer.name]))
    decided = Decided(plan, sha256, approval, f"approved by {signer.name} until {approval.expires}", names, needed)
    left = f"; {decided.missing} more must approve" if decided.missing else ""
    return replace(decided, why=decided.why + left)


def policy_of(settings: Settings) -> Policy:
    """Read the policy as it is now."""
    return load(policy_path(settings.state, settings.policy), required=settings.policy is not None)


def consents_of(settings: Settings, journal: Journal) -> Consents:
    """Return what was consented to in the state folder."""
    return Consents(settings.state, journal, _audit(settings, journal), WallClock(), settings.lab)


def _as_it_is_now(plan: Plan, kept: tuple[Preview, str], settings: Settings) -> tuple[Preview, str]:
    """Return what a plan would do now, and say what differs from the preview that was kept.

    Where the cluster cannot be asked from here the kept one is shown: apply compares again before it writes.

    Raises:
        RefusedChangeError: the plan does not fit the cluster any more.
    """

    async def again() -> Proposal:
        opened = open_envelope(ServerSettings.from_settings(settings), allow_write=False)
        try:
            return await opened.envelope.preview(plan.id)
        finally:
            await opened.aclose()

    try:
        now = asyncio.run(again())
    except RefusedChangeError:
        raise
    except ServersError as error:
        show(f"  ! the cluster cannot be asked from here, so this is the preview that was made before: {error}")
        return kept
    if now.preview_sha256 != kept[1]:
        texts = (plan_text(plan, *one) for one in (kept, (now.preview, now.preview_sha256)))
        before, after = (text.splitlines() for text in texts)
        lines = difflib.unified_diff(
            before, after, "the preview that was made before", "the preview now", lineterm="", n=0
        )
        show("\n".join(["The preview is not what it was:", *lines, ""]))
    return now.preview, now.preview_sha256


def decide_remotely(arguments: Namespace, settings: Settings) -> Decided:
    """Show a plan of a server elsewhere, take the answer, and bring a signed approval there. A no sends nothing.

    Raises:
        CommandError: nobody to ask, or no key that may sign.
        ServersError: the server cannot be reached, or refuses.
    """
    if arguments.deny:
        raise CommandError("--deny is for the server's own machine: a plan without an approval is not applied anyway")
    server = RemoteServer(arguments.server, arguments.server_token_file)
    plan, preview, sha256, rehearsal = asyncio.run(server.plan(arguments.plan))
    show(plan_text(plan, preview, sha256, rehearsal))
    if preview.risk == "forbidden":
        raise CommandError("the plan is forbidden: nobody can approve it", Exit.NOT_APPROVED)
    signer, yes = answered(arguments, plan, settings, f"Approve plan {plan.id[:12]}")
    if not yes:
        return Decided(plan, sha256, None, f"refused on the terminal of {signer.name}; nothing was sent")
    approval = _signed(arguments, plan, sha256, signer)
    asyncio.run(server.bring(approval))
    return Decided(plan, sha256, approval, f"approved by {signer.name} until {approval.expires}, at {arguments.server}")


def _try(plan: Plan, preview: Preview, settings: Settings) -> None:
    """Rehearse a plan from its approval screen, and show what came of it."""
    found = rehearsed(plan.id, settings)
    show("\n".join(map(one_line, found.lines())))
    if found.preview_sha256 != preview_sha256(preview):
        show("! that was another preview than the one above: answer n, and run approve again")


def _signed(arguments: Namespace, plan: Plan, sha256: str, signer: Signer) -> Approval:
    return signed_approval(
        plan,
        sha256,
        approver=signer.name,
        key=signer.key,
        method="cli" if arguments.yes else "terminal",
        now=WallClock().now(),
        expires_s=parse_duration(arguments.expires),
    )


def show(text: str) -> None:
    """Print a plan's text to standard error, its diff coloured, nothing cut and nothing taken as markup."""
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    for line in text.splitlines():
        console.print(Text(line, style=_style(line)))


def _style(line: str) -> str:
    if line.startswith(("---", "+++", "@@")):
        return "bold"
    return {"+": "green", "-": "red"}.get(line[:1], "yellow" if line.startswith("  !") else "")


def _deny(plan: Plan, sha256: str, settings: Settings, journal: Journal, why: str) -> Decided:
    """Record a refusal and take back approvals of the plan that were not used."""
    withdrawn = withdraw(settings.state, plan.id, lambda nonce: journal.spent_by(nonce) is not None)
    change = Change(
        change_id=f"chg-{secrets.token_hex(8)}",
        plan_id=plan.id,
        preview_sha256=sha256,
        approval=None,
        state="rejected",
        operations=tuple(OperationState(id=operation.id, state="pending") for operation in plan.operations),
        note=f"{why[0].upper()}{why[1:]}. Nothing was written.",
    )
    line = Line("denied", plan.id, {"why": why, "withdrawn": withdrawn})
    journal.end_before_apply(change, now=WallClock().now(), line=line)
    _audit(settings, journal).tell(plan.id)
    return Decided(plan, sha256, None, why)


def _audit(settings: Settings, journal: Journal) -> Audit:
    return Audit(settings.state, WallClock(), journal)
