"""`midwatch change`. The answer goes to standard output, what a person looks at to standard error."""

import asyncio
from argparse import Namespace
from collections.abc import Awaitable, Callable
from typing import TypeVar

from midwatch_contracts.command import Settings
from midwatch_contracts.exit_codes import Exit
from midwatch_contracts.plan import Change, ChangeState
from midwatch_contracts.times import rfc3339
from midwatch_mcp.safe_apply.answering import Verb, answer, dump, open_journal, run_verb
from midwatch_mcp.safe_apply.approvals import approvals_for
from midwatch_mcp.safe_apply.approving import decide, decide_remotely, show
from midwatch_mcp.safe_apply.envelope import Envelope, Proposal
from midwatch_mcp.safe_apply.opening import open_envelope
from midwatch_mcp.safe_apply.render import one_line, plan_text
from midwatch_mcp.settings import ServerSettings

T = TypeVar("T")

_ENDS: dict[ChangeState, Exit] = {
    "verified": Exit.OK,
    "undone": Exit.UNDONE,
    "stuck": Exit.STUCK,
    "rejected": Exit.NOT_APPROVED,
    "expired": Exit.NOT_APPROVED,
    "superseded": Exit.UNSETTLED,
}


def change(arguments: Namespace, settings: Settings) -> int:
    """Run `midwatch change VERB`."""
    verbs: dict[str, Verb] = {
        "list": _list,
        "show": _show,
        "preview": _preview,
        "approve": _approve,
        "recover": _recover,
        "undo": _undo,
    }
    return run_verb(verbs, arguments, settings)


def _with_envelope(settings: Settings, use: Callable[[Envelope], Awaitable[T]]) -> T:
    async def run() -> T:
        opened = open_envelope(ServerSettings.from_settings(settings), allow_write=True)
        try:
            return await use(opened.envelope)
        finally:
            await opened.aclose()

    return asyncio.run(run())


# change


def _list(arguments: Namespace, settings: Settings) -> int:
    journal = open_journal(settings)
    records = journal.records()
    tried = {record.change.plan_id for record in records}
    waiting = [
        (plan, "approved" if approvals_for(settings.state, plan.id) else "previewed")
        for plan, _ in journal.plans()
        if plan.id not in tried
    ]
    titles = {plan.id: plan.title for plan, _ in journal.plans()}
    lines = [f"{'plan':12}  {'change':20}  {'state':10}  title"]
    lines += [f"{plan.id[:12]:12}  {'-':20}  {state:10}  {one_line(plan.title)}" for plan, state in waiting]
    lines += [
        f"{one.change.plan_id[:12]:12}  {one.change.change_id:20}  {one.change.state:10}  "
        f"{one_line(titles.get(one.change.plan_id, ''))}"
        for one in records
    ]
    data = {
        "plans": [{"plan_id": plan.id, "title": plan.title, "state": state} for plan, state in waiting],
        "changes": [one.change.model_dump(mode="json", by_alias=True) for one in records],
    }
    answer(arguments, data, "\n".join(lines) if len(lines) > 1 else "no plans and no changes")
    return Exit.OK


def _show(arguments: Namespace, settings: Settings) -> int:
    journal = open_journal(settings)
    if not arguments.id.startswith("chg-"):
        plan = journal.plan(arguments.id)
        kept = journal.preview(plan.id)
        data = {"plan": dump(plan)} | ({} if kept is None else {"preview": dump(kept[0]), "preview_sha256": kept[1]})
        answer(arguments, data, f"plan {plan.id}: no preview" if kept is None else plan_text(plan, *kept))
        return Exit.OK
    record = journal.record(arguments.id)
    steps = journal.steps(arguments.id)
    lines = [*_change_lines(record.change), *(f"  {rfc3339(at)}  {step}  {one_line(body)}" for at, step, body in steps)]
    data = {
        "change": dump(record.change),
        "steps": [{"at": at, "step": step, "body": body} for at, step, body in steps],
        "observations": [dump(observation) for observation in journal.observations(arguments.id)],
    }
    answer(arguments, data, "\n".join(lines))
    return Exit.OK


def _preview(arguments: Namespace, settings: Settings) -> int:
    proposal = _with_envelope(settings, lambda envelope: envelope.preview(arguments.plan))
    return _proposal(arguments, proposal)


def _proposal(arguments: Namespace, proposal: Proposal) -> int:
    if not arguments.json:
        show(proposal.text)
    data = {
        "plan_id": proposal.plan.id,
        "preview": dump(proposal.preview),
        "preview_sha256": proposal.preview_sha256,
    }
    answer(arguments, data, f"{proposal.plan.id}\napprove it with: midwatch change approve {proposal.plan.id[:12]}")
    return Exit.OK


def _approve(arguments: Namespace, settings: Settings) -> int:
    if arguments.server is None:
        journal = open_journal(settings)
        try:
            decided = decide(arguments, settings, journal)
        finally:
            journal.close()
    else:
        decided = decide_remotely(arguments, settings)
    data = {
        "plan_id": decided.plan.id,
        "preview_sha256": decided.preview_sha256,
        "approved": decided.approval is not None,
        "why": decided.why,
        "expires": None if decided.approval is None else decided.approval.expires,
    }
    answer(arguments, data, f"plan {decided.plan.id[:12]}: {decided.why}")
    return Exit.OK if decided.approval is not None else Exit.NOT_APPROVED


def _recover(arguments: Namespace, settings: Settings) -> int:
    changes = _with_envelope(settings, lambda envelope: envelope.recover(arguments.change))
    text = "\n".join(line for one in changes for line in _change_lines(one)) or "nothing to recover"
    answer(arguments, {"changes": [dump(one) for one in changes]}, text)
    return max((_ENDS.get(one.state, Exit.UNSETTLED) for one in changes), default=Exit.OK)


def _undo(arguments: Namespace, settings: Settings) -> int:
    return _proposal(arguments, _with_envelope(settings, lambda envelope: envelope.draft_undo(arguments.change)))


def _change_lines(one: Change) -> list[str]:
    states = ", ".join(f"{operation.id} {operation.state}" for operation in one.operations)
    return [f"{one.change_id} of plan {one.plan_id[:12]}: {one.state} ({states})", f"  {one_line(one.note)}"]
