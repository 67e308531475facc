"""`midwatch change|policy|keys|audit`. The answer goes to standard output, what a person looks at to standard error."""

import asyncio
import json
import sys
from argparse import Namespace
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from midwatch_contracts.command import CommandError, Settings
from midwatch_contracts.errors import ContractError
from midwatch_contracts.exit_codes import Exit
from midwatch_contracts.plan import Change, ChangeState
from midwatch_contracts.times import rfc3339
from midwatch_mcp.errors import ServersError
from midwatch_mcp.safe_apply.approvals import approvals_for
from midwatch_mcp.safe_apply.approving import decide, show
from midwatch_mcp.safe_apply.audit import verify
from midwatch_mcp.safe_apply.envelope import Envelope, Proposal
from midwatch_mcp.safe_apply.errors import AuditError, RefusedChangeError
from midwatch_mcp.safe_apply.journal import Journal
from midwatch_mcp.safe_apply.keys import new_key, principals
from midwatch_mcp.safe_apply.opening import open_envelope
from midwatch_mcp.safe_apply.policy import LEVELS, load, policy_path, set_frozen
from midwatch_mcp.safe_apply.render import one_line, plan_text
from midwatch_mcp.settings import ServerSettings

T = TypeVar("T")
Verb = Callable[[Namespace, Settings], int]

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
    return _run(verbs, arguments, settings)


def policy(arguments: Namespace, settings: Settings) -> int:
    """Run `midwatch policy VERB`."""
    verbs: dict[str, Verb] = {
        "show": _policy_show,
        "check": _policy_check,
        "freeze": _policy_freeze,
        "unfreeze": _policy_freeze,
    }
    return _run(verbs, arguments, settings)


def keys(arguments: Namespace, settings: Settings) -> int:
    """Run `midwatch keys VERB`."""
    return _run({"new": _keys_new, "list": _keys_list}, arguments, settings)


def audit(arguments: Namespace, settings: Settings) -> int:
    """Run `midwatch audit VERB`."""
    return _run({"verify": _audit_verify}, arguments, settings)


def _run(verbs: Mapping[str, Verb], arguments: Namespace, settings: Settings) -> int:
    try:
        return verbs[arguments.verb](arguments, settings)
    except RefusedChangeError as error:
        code = Exit.BAD_INPUT if error.reason in ("bad_draft", "state", "no_effect") else Exit.NOT_APPROVED
        raise CommandError(str(error), code) from error
    except (ServersError, ContractError) as error:
        raise CommandError(str(error), Exit.BAD_INPUT) from error


def _answer(arguments: Namespace, data: Mapping[str, Any], text: str) -> None:
    out = json.dumps(data, indent=2, ensure_ascii=False) if arguments.json else text
    sys.stdout.write(out.rstrip("\n") + "\n")


def _journal(settings: Settings) -> Journal:
    return Journal(settings.state / "changes.sqlite")


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
    journal = _journal(settings)
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
    _answer(arguments, data, "\n".join(lines) if len(lines) > 1 else "no plans and no changes")
    return Exit.OK


def _show(arguments: Namespace, settings: Settings) -> int:
    journal = _journal(settings)
    if not arguments.id.startswith("chg-"):
        plan = journal.plan(arguments.id)
        kept = journal.preview(plan.id)
        data = {"plan": _dump(plan)} | ({} if kept is None else {"preview": _dump(kept[0]), "preview_sha256": kept[1]})
        _answer(arguments, data, f"plan {plan.id}: no preview" if kept is None else plan_text(plan, *kept))
        return Exit.OK
    record = journal.record(arguments.id)
    steps = journal.steps(arguments.id)
    lines = [*_change_lines(record.change), *(f"  {rfc3339(at)}  {step}  {one_line(body)}" for at, step, body in steps)]
    data = {
        "change": _dump(record.change),
        "steps": [{"at": at, "step": step, "body": body} for at, step, body in steps],
        "observations": [_dump(observation) for observation in journal.observations(arguments.id)],
    }
    _answer(arguments, data, "\n".join(lines))
    return Exit.OK


def _preview(arguments: Namespace, settings: Settings) -> int:
    proposal = _with_envelope(settings, lambda envelope: envelope.preview(arguments.plan))
    return _proposal(arguments, proposal)


def _proposal(arguments: Namespace, proposal: Proposal) -> int:
    if not arguments.json:
        show(proposal.text)
    data = {
        "plan_id": proposal.plan.id,
        "preview": _dump(proposal.preview),
        "preview_sha256": proposal.preview_sha256,
    }
    _answer(arguments, data, f"{proposal.plan.id}\napprove it with: midwatch change approve {proposal.plan.id[:12]}")
    return Exit.OK


def _approve(arguments: Namespace, settings: Settings) -> int:
    journal = _journal(settings)
    try:
        decided = decide(arguments, settings, journal)
    finally:
        journal.close()
    data = {
        "plan_id": decided.plan.id,
        "preview_sha256": decided.preview_sha256,
        "approved": decided.approval is not None,
        "why": decided.why,
        "expires": None if decided.approval is None else decided.approval.expires,
    }
    _answer(arguments, data, f"plan {decided.plan.id[:12]}: {decided.why}")
    return Exit.OK if decided.approval is not None else Exit.NOT_APPROVED


def _recover(arguments: Namespace, settings: Settings) -> int:
    changes = _with_envelope(settings, lambda envelope: envelope.recover(arguments.change))
    text = "\n".join(line for one in changes for line in _change_lines(one)) or "nothing to recover"
    _answer(arguments, {"changes": [_dump(one) for one in changes]}, text)
    return max((_ENDS.get(one.state, Exit.UNSETTLED) for one in changes), default=Exit.OK)


def _undo(arguments: Namespace, settings: Settings) -> int:
    return _proposal(arguments, _with_envelope(settings, lambda envelope: envelope.draft_undo(arguments.change)))


def _change_lines(one: Change) -> list[str]:
    states = ", ".join(f"{operation.id} {operation.state}" for operation in one.operations)
    return [f"{one.change_id} of plan {one.plan_id[:12]}: {one.state} ({states})", f"  {one_line(one.note)}"]


def _dump(model: Any) -> dict[str, Any]:
    return model.model_dump(mode="json", by_alias=True)


# policy, keys, audit


def _policy_show(arguments: Namespace, settings: Settings) -> int:
    path = policy_path(settings.state, settings.policy)
    found = load(path, required=settings.policy is not None)
    data = {"file": str(path) if path.exists() else None, "policy": _dump(found)}
    lines = [f"# {path if path.exists() else 'built in: no file ' + str(path)}"]
    lines += [f"{name} = {one_line(value)}" for name, value in _dump(found).items()]
    _answer(arguments, data, "\n".join(lines))
    return Exit.OK


def _policy_check(arguments: Namespace, settings: Settings) -> int:
    path = policy_path(settings.state, settings.policy)
    found = load(path, required=settings.policy is not None)
    state = "frozen: " + found.frozen if found.frozen is not None else "not frozen"
    said = f"{path if path.exists() else 'the built-in policy'} fits: autonomy {found.autonomy} "
    _answer(
        arguments,
        {"fits": True, "autonomy": found.autonomy, "frozen": found.frozen},
        said + f"({LEVELS[found.autonomy]}), {one_line(state)}",
    )
    return Exit.OK


def _policy_freeze(arguments: Namespace, settings: Settings) -> int:
    path = policy_path(settings.state, settings.policy)
    reason = arguments.reason if arguments.verb == "freeze" else None
    set_frozen(path, reason)
    said = "not frozen" if reason is None else f"frozen: {one_line(reason)}"
    _answer(arguments, {"frozen": reason, "file": str(path)}, f"{said} ({path})")
    return Exit.OK


def _keys_new(arguments: Namespace, settings: Settings) -> int:
    principal = new_key(settings.state, arguments.name)
    data = {"name": principal.name, "public_key": principal.key_text}
    _answer(arguments, data, f"{principal.name} may approve; public key {principal.key_text}")
    return Exit.OK


def _keys_list(arguments: Namespace, settings: Settings) -> int:
    known = [
        {"name": one.name, "public_key": one.key_text, "cluster": one.cluster}
        for one in principals(settings.state, settings.lab).values()
    ]
    lines = [f"{one['name']}  {one['public_key']}  {one['cluster'] or 'any cluster'}" for one in known]
    _answer(arguments, {"approvers": known}, "\n".join(lines) or "nobody may approve: midwatch keys new NAME")
    return Exit.OK


def _audit_verify(arguments: Namespace, settings: Settings) -> int:
    path = settings.state / "audit.jsonl"
    try:
        count = verify(path)
    except AuditError as error:
        if arguments.json:
            _answer(arguments, {"intact": False, "why": str(error)}, "")
        raise CommandError(str(error), Exit.STUCK) from error
    _answer(arguments, {"intact": True, "entries": count, "file": str(path)}, f"{path}: {count} entries, intact")
    return Exit.OK
