"""`midwatch audit`."""

from argparse import Namespace
from contextlib import closing

from midwatch_contracts.clock import WallClock
from midwatch_contracts.command import CommandError, Settings
from midwatch_contracts.evidence import GENESIS
from midwatch_contracts.exit_codes import Exit
from midwatch_mcp.safe_apply.answering import answer, dump, open_journal, run_verb
from midwatch_mcp.safe_apply.audit import Audit
from midwatch_mcp.safe_apply.audit_log import Verified, audit_path, entries, verify_alone
from midwatch_mcp.safe_apply.errors import AuditError
from midwatch_mcp.safe_apply.render import one_line


def main(arguments: Namespace, settings: Settings) -> int:
    """Run `midwatch audit VERB`."""
    return run_verb({"verify": _verify, "show": _show, "restart": _restart}, arguments, settings)


def _verify(arguments: Namespace, settings: Settings) -> int:
    path = audit_path(settings.state)
    try:
        found = _verified(settings)
    except AuditError as error:
        if arguments.json:
            answer(arguments, {"intact": False, "why": str(error), "line": error.line, "file": str(path)}, "")
        raise CommandError(str(error), Exit.STUCK) from error
    data = {"intact": True, "entries": found.entries, "sha256": found.sha256, "file": str(path)}
    data |= {"beyond": found.beyond, "known": found.known, "owed": found.owed}
    said = f"{path}: {found.entries} entries, intact; the last is {found.sha256}"
    if found.beyond:
        said += (
            "\nthe last line is one more than the journal knows: a crash came between the two; the next entry mends it"
        )
    if found.owed:
        said += f"\n{found.owed} of what happened is not told yet, since a crash came between: the next entry brings it"
    if not found.known:
        said += "\nboth are from an earlier Midwatch: whether the tail is whole is known from the next entry on"
    answer(arguments, data, said)
    return Exit.OK


def _verified(settings: Settings) -> Verified:
    """Verify the log beside its journal. Where one of the two is missing, nothing is made in its place."""
    path, journal = audit_path(settings.state), settings.state / "changes.sqlite"
    if journal.exists():
        with closing(open_journal(settings)) as opened:
            return Audit(settings.state, WallClock(), opened).verify()
    if not path.exists():
        return Verified(0, GENESIS)
    raise AuditError(
        f"{path} has {verify_alone(path)} lines whose chain holds, but no {journal.name} lies beside it, which knows "
        "how many there were, so whether its tail is whole cannot be told: put that file back, or run "
        "`midwatch audit restart REASON`"
    )


def _show(arguments: Namespace, settings: Settings) -> int:
    runs = None if arguments.change is None else _runs(arguments.change, settings)
    found = [entry for entry in entries(audit_path(settings.state)) if runs is None or entry.run in runs]
    shown = found[-arguments.last :] if arguments.last else found
    lines = [f"{one.at}  {one.run[:20]:20}  {one.kind:10}  {one_line(one.body)}" for one in shown]
    data = {"entries": [dump(one) for one in shown], "total": len(found)}
    answer(arguments, data, "\n".join(lines) or "no entries")
    return Exit.OK


def _runs(name: str, settings: Settings) -> frozenset[str]:
    """Return the ids under which the log tells of a change and its plan, or of a plan and its changes."""
    with closing(open_journal(settings)) as journal:
        if name.startswith("chg-"):
            return frozenset({name, journal.record(name).change.plan_id})
        plan = journal.plan(name).id
        return frozenset({plan, *(one.change.change_id for one in journal.records() if one.change.plan_id == plan)})


def _restart(arguments: Namespace, settings: Settings) -> int:
    with closing(open_journal(settings)) as journal:
        kept = Audit(settings.state, WallClock(), journal).restart(arguments.reason)
    said = "a new log was begun" if kept is None else f"a new log was begun; the one before is {kept}"
    answer(arguments, {"kept": None if kept is None else str(kept)}, said)
    return Exit.OK
