"""`midwatch policy`: what the jail is, whether its file fits, and what it says of a plan."""

import asyncio
import json
from argparse import Namespace
from pathlib import Path
from typing import Any

from midwatch_contracts.clock import WallClock
from midwatch_contracts.command import CommandError, Settings
from midwatch_contracts.exit_codes import Exit
from midwatch_mcp.safe_apply.answering import Verb, answer, dump, run_verb
from midwatch_mcp.safe_apply.draft_files import read_draft
from midwatch_mcp.safe_apply.judged import Judged
from midwatch_mcp.safe_apply.opening import open_envelope
from midwatch_mcp.safe_apply.policy import Policy, sentences
from midwatch_mcp.safe_apply.policy_file import load, parse, policy_path, set_frozen
from midwatch_mcp.safe_apply.render import one_line
from midwatch_mcp.settings import ServerSettings


def main(arguments: Namespace, settings: Settings) -> int:
    """Run `midwatch policy VERB`."""
    verbs: dict[str, Verb] = {
        "show": _show,
        "check": _check,
        "schema": _schema,
        "test": _test,
        "freeze": _freeze,
        "unfreeze": _freeze,
    }
    return run_verb(verbs, arguments, settings)


def _show(arguments: Namespace, settings: Settings) -> int:
    path = policy_path(settings.state, settings.policy)
    found = load(path, required=settings.policy is not None)
    data = {"file": str(path) if path.exists() else None, "policy": dump(found)}
    lines = [f"# {path if path.exists() else 'built in: no file ' + str(path)}"]
    lines += [f"{name} = {one_line(value)}" for name, value in dump(found).items()]
    answer(arguments, data, "\n".join(lines))
    return Exit.OK


def _check(arguments: Namespace, settings: Settings) -> int:
    """Say whether a policy file fits, and what it means; names line, field and mend of what does not."""
    path = arguments.file or policy_path(settings.state, settings.policy)
    named = arguments.file is not None or settings.policy is not None
    if not path.exists() and not named:
        return _fits(arguments, None, Policy(), f"There is no policy file {path}: the built-in policy is in force.")
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"the policy {path} cannot be read: {error}", Exit.BAD_INPUT) from error
    found, faults = parse(text)
    if found is not None:
        return _fits(arguments, path, found, f"{path} fits.")
    data = {
        "fits": False,
        "file": str(path),
        "faults": [
            {"line": fault.line, "field": fault.field, "says": fault.says, "mend": fault.mend} for fault in faults
        ],
    }
    lines = [fault.text(path) for fault in faults]
    answer(arguments, data, "\n".join([*map(one_line, lines), "Until it fits, nothing is allowed."]))
    return Exit.BAD_INPUT


def _fits(arguments: Namespace, path: Path | None, found: Policy, head: str) -> int:
    frozen = found.frozen_at(WallClock().now())
    said = sentences(found)
    data: dict[str, Any] = {"fits": True, "file": None if path is None else str(path), "faults": [], "means": said}
    data |= {"autonomy": found.autonomy, "frozen": frozen}
    now = "Now: writes go through." if frozen is None else f"Now: frozen, {one_line(frozen)}."
    answer(arguments, data, "\n".join([head, *(f"- {one_line(line)}" for line in said), now]))
    return Exit.OK


def _schema(arguments: Namespace, settings: Settings) -> int:
    del settings
    schema = Policy.model_json_schema(by_alias=True)
    answer(arguments, schema, json.dumps(schema, indent=2))
    return Exit.OK


def _test(arguments: Namespace, settings: Settings) -> int:
    """Say the class of a plan or a draft, and what decides it. Nothing is stored, here or in the cluster."""
    subject = read_draft(arguments.plan) if Path(arguments.plan).is_file() else arguments.plan

    async def run() -> Judged:
        opened = open_envelope(ServerSettings.from_settings(settings), allow_write=False)
        try:
            return await opened.envelope.judge(subject)
        finally:
            await opened.aclose()

    judged = asyncio.run(run())
    lines = [f"{judged.risk}: {judged.needs}"]
    for one in judged.operations:
        lines += [f"{one.operation}: {one_line(one.rule)}", *(f"    {one_line(reason)}" for reason in one.reasons)]
    lines += [f"! {one_line(reason)}" for reason in judged.reasons]
    answer(arguments, dump(judged), "\n".join(lines))
    return Exit.NOT_APPROVED if judged.risk == "forbidden" else Exit.OK


def _freeze(arguments: Namespace, settings: Settings) -> int:
    path = policy_path(settings.state, settings.policy)
    reason = arguments.reason if arguments.verb == "freeze" else None
    set_frozen(path, reason)
    said = "not frozen" if reason is None else f"frozen: {one_line(reason)}"
    answer(arguments, {"frozen": reason, "file": str(path)}, f"{said} ({path})")
    return Exit.OK
