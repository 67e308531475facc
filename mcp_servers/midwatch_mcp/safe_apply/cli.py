"""`midwatch change`. The answer goes to standard output, what a person looks at to standard error."""

from argparse import Namespace

from midwatch_contracts.command import Settings
from midwatch_contracts.exit_codes import Exit
from midwatch_contracts.times import rfc3339
from midwatch_mcp.safe_apply import plans_cli
from midwatch_mcp.safe_apply.answering import Verb, answer, dump, open_journal, run_verb
from midwatch_mcp.safe_apply.approvals import approvals_for
from midwatch_mcp.safe_apply.approving import decide, decide_remotely
from midwatch_mcp.safe_apply.render import one_line, plan_text


def change(arguments: Namespace, settings: Settings) -> int:
    """Run `midwatch change VERB`."""
    verbs: dict[str, Verb] = {
        "propose": plans_cli.propose,
        "operations": plans_cli.operations,
        "list": _list,
        "show": _show,
        "preview": plans_cli.preview,
        "approve": _approve,
        "apply": plans_cli.apply,
        "recover": plans_cli.recover,
        "undo": plans_cli.undo,
    }
    return run_verb(verbs, arguments, settings)


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
    lines = [
        *plans_cli.change_lines(record.change),
        *(f"  {rfc3339(at)}  {step}  {one_line(body)}" for at, step, body in steps),
    ]
    data = {
        "change": dump(record.change),
        "steps": [{"at": at, "step": step, "body": body} for at, step, body in steps],
        "observations": [dump(observation) for observation in journal.observations(arguments.id)],
    }
    answer(arguments, data, "\n".join(lines))
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
        "approvers": list(decided.approvers),
        "needed": decided.needed,
        "missing": decided.missing,
    }
    answer(arguments, data, f"plan {decided.plan.id[:12]}: {decided.why}")
    return Exit.OK if decided.approval is not None else Exit.NOT_APPROVED
