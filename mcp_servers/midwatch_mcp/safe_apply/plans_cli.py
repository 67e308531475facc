"""`midwatch change propose|preview|apply|recover|undo|operations`: what is done with a plan over the cluster."""

import asyncio
from argparse import Namespace
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

import yaml

from midwatch_contracts.command import CommandError, Settings
from midwatch_contracts.exit_codes import Exit
from midwatch_contracts.plan import Change, ChangeState
from midwatch_mcp.os_user import os_user
from midwatch_mcp.safe_apply import git_cli
from midwatch_mcp.safe_apply.answering import answer, dump
from midwatch_mcp.safe_apply.approving import show
from midwatch_mcp.safe_apply.draft_files import read_draft
from midwatch_mcp.safe_apply.envelope import Envelope, Proposal
from midwatch_mcp.safe_apply.opening import open_envelope
from midwatch_mcp.safe_apply.operations import operation_kind
from midwatch_mcp.safe_apply.operations.catalogue import OperationEntry, catalogue, entry
from midwatch_mcp.safe_apply.rehearsal.commanding import rehearsed_as_asked
from midwatch_mcp.safe_apply.rehearsal.outcome import Rehearsal
from midwatch_mcp.safe_apply.render import one_line
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


def propose(arguments: Namespace, settings: Settings) -> int:
    """Draft a plan from a file, for the cluster or as a commit."""
    draft = read_draft(arguments.file)
    if arguments.form == "git":
        if arguments.rehearse:
            raise CommandError("--rehearse is for a plan of the cluster: a commit is reviewed and rolled out elsewhere")
        return git_cli.propose(draft, arguments, settings)
    git_cli.refuse_options(arguments)

    async def use(envelope: Envelope) -> Proposal:
        return await envelope.propose(draft, principal=os_user())

    proposal = _with_envelope(settings, use)
    found = rehearsed_as_asked(proposal.plan.id, arguments, settings) if arguments.rehearse else None
    return _proposal(arguments, proposal, found)


def preview(arguments: Namespace, settings: Settings) -> int:
    """Try a plan again."""
    return _proposal(arguments, _with_envelope(settings, lambda envelope: envelope.preview(arguments.plan)))


def undo(arguments: Namespace, settings: Settings) -> int:
    """Draft the plan that undoes a change."""

    async def use(envelope: Envelope) -> Proposal:
        return await envelope.draft_undo(arguments.change, principal=os_user())

    return _proposal(arguments, _with_envelope(settings, use))


def apply(arguments: Namespace, settings: Settings) -> int:
    """Apply an approved plan, and stay until it is verified, undone or stuck."""

    async def use(envelope: Envelope) -> Change:
        change = await envelope.apply(arguments.plan)
        await envelope.join(change.plan_id)
        return (await envelope.status(change.change_id))[0].change

    ended = _with_envelope(settings, use)
    answer(arguments, {"change": dump(ended)}, "\n".join(change_lines(ended)))
    return _ENDS.get(ended.state, Exit.UNSETTLED)


def recover(arguments: Namespace, settings: Settings) -> int:
    """Finish or undo what was cut off."""
    changes = _with_envelope(settings, lambda envelope: envelope.recover(arguments.change))
    text = "\n".join(line for one in changes for line in change_lines(one)) or "nothing to recover"
    answer(arguments, {"changes": [dump(one) for one in changes]}, text)
    return max((_ENDS.get(one.state, Exit.UNSETTLED) for one in changes), default=Exit.OK)


def operations(arguments: Namespace, settings: Settings) -> int:
    """Tell what a plan may hold: all operations in short, or one with the schema of its arguments."""
    del settings
    if arguments.name is None:
        found = catalogue()
        width = max(len(one.name) for one in found)
        text = "\n".join(f"{one.name:{width}}  {one.about}" for one in found)
        answer(arguments, {"operations": [dump(one) for one in found]}, text)
        return Exit.OK
    one = entry(operation_kind(arguments.name))
    answer(arguments, dump(one), "\n".join(_entry_lines(one)))
    return Exit.OK


def change_lines(one: Change) -> list[str]:
    """Return a change as a person reads it."""
    states = ", ".join(f"{operation.id} {operation.state}" for operation in one.operations)
    head = f"{one.change_id} of plan {one.plan_id[:12]}: {one.state} ({states})"
    lines = [head, f"  {one_line(one.note)}"] if one.note else [head]
    settled = one.settled
    if settled is not None:
        said = f"settled as {settled.found} by {settled.by}, {settled.at}, unverified: {one_line(settled.reason)}"
        lines.append(f"  {said}")
    return lines


def _entry_lines(one: OperationEntry) -> list[str]:
    properties = cast("dict[str, dict[str, Any]]", one.schema_["properties"])
    required = cast("list[str]", one.schema_.get("required", []))
    return [
        f"{one.name}: {one.about}",
        f"  target     {one.target}",
        f"  undone by  {one.undone_by}",
        "  args",
        *(
            f"    {name}{' (required)' if name in required else ''}: "
            f"{one_line({key: value for key, value in schema.items() if key not in ('title', 'description')})}"
            for name, schema in properties.items()
        ),
        f"  {one.takes}",
        "  example",
        *(f"    {line}" for line in yaml.safe_dump(one.example, sort_keys=False).splitlines()),
    ]


def _with_envelope(settings: Settings, use: Callable[[Envelope], Awaitable[T]]) -> T:
    async def run() -> T:
        opened = open_envelope(ServerSettings.from_settings(settings), allow_write=True)
        try:
            return await use(opened.envelope)
        finally:
            await opened.aclose()

    return asyncio.run(run())


def _proposal(arguments: Namespace, proposal: Proposal, found: Rehearsal | None = None) -> int:
    if not arguments.json:
        show(proposal.text)
        if found is not None:
            show("\n".join(map(one_line, found.lines())))
    data = {
        "plan_id": proposal.plan.id,
        "preview": dump(proposal.preview),
        "preview_sha256": proposal.preview_sha256,
        "rehearsal": None if found is None else dump(found),
    }
    answer(arguments, data, f"{proposal.plan.id}\napprove it with: midwatch change approve {proposal.plan.id[:12]}")
    return Exit.OK
