"""`midwatch change`. The answer goes to standard output, what a person looks at to standard error."""

from argparse import Namespace
from contextlib import closing
from typing import Any

from midwatch_contracts.clock import WallClock
from midwatch_contracts.command import Settings
from midwatch_contracts.exit_codes import Exit
from midwatch_contracts.plan import Change
from midwatch_contracts.times import rfc3339
from midwatch_mcp.safe_apply import plans_cli
from midwatch_mcp.safe_apply.answering import Verb, answer, dump, open_journal, run_verb
from midwatch_mcp.safe_apply.approving import consents_of, decide, decide_remotely, policy_of
from midwatch_mcp.safe_apply.as_git.plans import in_git
from midwatch_mcp.safe_apply.rehearsal.commanding import rehearse
from midwatch_mcp.safe_apply.rehearsal.keeping import Rehearsals
from midwatch_mcp.safe_apply.render import one_line, plan_text
from midwatch_mcp.safe_apply.settling import settle
from midwatch_mcp.safe_apply.waiting import waiting_plans


def change(arguments: Namespace, settings: Settings) -> int:
    """Run `midwatch change VERB`."""
    verbs: dict[str, Verb] = {
        "propose": plans_cli.propose,
        "operations": plans_cli.operations,
        "list": _list,
        "show": _show,
        "preview": plans_cli.preview,
        "rehearse": rehearse,
        "approve": _approve,
        "apply": plans_cli.apply,
        "recover": plans_cli.recover,
        "undo": plans_cli.undo,
        "settle": settle,
    }
    return run_verb(verbs, arguments, settings)


# change


def _list(arguments: Namespace, settings: Settings) -> int:
    with closing(open_journal(settings)) as journal:
        waiting = waiting_plans(consents_of(settings, journal), lambda: policy_of(settings))
        records = journal.records()
        titles = {plan.id: plan.title for plan, _ in journal.plans()}
    lines = [f"{'plan':12}  {'change':20}  {'state':10}  title"]
    lines += [
        _line(one.plan.id, "in git" if in_git(one.plan) else "-", one.state, one.plan.title, one.says)
        for one in waiting
    ]
    changes = [record.change for record in records]
    lines += [
        _line(one.plan_id, one.change_id, one.state, titles.get(one.plan_id, ""), _settled(one)) for one in changes
    ]
    data = {
        "plans": [
            {
                "plan_id": one.plan.id,
                "title": one.plan.title,
                "state": one.state,
                "says": one.says,
                "in_git": in_git(one.plan),
            }
            for one in waiting
        ],
        "changes": [dump(one) for one in changes],
    }
    answer(arguments, data, "\n".join(lines) if len(lines) > 1 else "no plans and no changes")
    return Exit.OK


def _settled(one: Change) -> str:
    return "" if one.settled is None else f"settled as {one.settled.found} by {one.settled.by}, unverified"


def _line(plan_id: str, change_id: str, state: str, title: str, says: str = "") -> str:
    said = f" ({one_line(says)})" if says else ""
    return f"{plan_id[:12]:12}  {change_id:20}  {state:10}  {one_line(title)}{said}"


def _show(arguments: Namespace, settings: Settings) -> int:
    journal = open_journal(settings)
    if not arguments.id.startswith("chg-"):
        plan = journal.plan(arguments.id)
        kept = journal.preview(plan.id)
        data: dict[str, Any] = {"plan": dump(plan)}
        text = f"plan {plan.id}: no preview"
        if kept is not None:
            rehearsals = Rehearsals(journal)
            found = rehearsals.newest(plan.id, kept[1])
            data |= {"preview": dump(kept[0]), "preview_sha256": kept[1]}
            data["rehearsal"] = None if found is None else dump(found)
            text = plan_text(plan, *kept, rehearsals.lines(plan, kept[0], WallClock().now()))
        answer(arguments, data, text)
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
