"""`midwatch runs list` and `midwatch runs show`."""

import argparse
import json
import sys
from typing import Any

from midwatch_agents.errors import LedgerError, RunError
from midwatch_agents.ledger import read_ledger
from midwatch_agents.runs import RunFolder, all_runs, find_run
from midwatch_contracts.command import Settings


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """List the runs, or show one."""
    return _list(arguments, settings) if arguments.action == "list" else _show(arguments, settings)


def summary(folder: RunFolder) -> dict[str, Any]:
    """Return one run in a few fields; `state` is `over`, `waiting`, `open`, or `changed` where its record was."""
    facts: dict[str, Any] = {"run": folder.run, "at": None, "asked": None, "state": "open", "outcome": None}
    facts |= {"cause": None, "change": None}
    if not folder.ledger.is_file():
        return facts
    try:
        entries = read_ledger(folder.ledger)
    except LedgerError:
        return facts | {"state": "changed"}
    for entry in entries:
        match entry.kind:
            case "begun":
                facts |= {"at": entry.at, "asked": entry.body["subject"]["text"]}
            case "findings":
                found = entry.body["cause"]
                cause = None if found is None else {"mechanism": found["mechanism"], "entity": found["entity"]}
                facts |= {"outcome": entry.body["outcome"], "cause": cause}
            case "change":
                facts["change"] = entry.body["change"]["state"]
            case "waiting" | "decision":
                facts["state"] = "waiting" if entry.kind == "waiting" else "open"
            case "end":
                facts |= {"state": "over", "outcome": entry.body.get("outcome") or facts["outcome"] or "no match"}
            case _:
                pass
    return facts


def _list(arguments: argparse.Namespace, settings: Settings) -> int:
    found = [summary(folder) for folder in all_runs(settings.state)]
    if arguments.json:
        sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return 0
    for facts in found:
        cause = "" if facts["cause"] is None else f"{facts['cause']['mechanism']} of {facts['cause']['entity']}"
        ended = ", ".join(str(part) for part in (facts["outcome"], cause, facts["change"]) if part)
        sys.stdout.write(f"{facts['run']}  {facts['state']:<8} {ended or '-'}  {facts['asked'] or ''}\n")
    if not found:
        sys.stderr.write(f"no runs in {settings.state}\n")
    return 0


def _show(arguments: argparse.Namespace, settings: Settings) -> int:
    folder = find_run(settings.state, arguments.run)
    entries = read_ledger(folder.ledger)
    if arguments.json:
        body = {"run": folder.run, "ledger": [entry.model_dump(mode="json") for entry in entries]}
        sys.stdout.write(json.dumps(body, indent=2) + "\n")
        return 0
    if not folder.report.is_file():
        raise RunError(f"{folder.run} has no report yet: midwatch resume {folder.run} goes on with it", 3)
    sys.stdout.write(folder.report.read_text("utf-8"))
    return 0
