"""`midwatch investigate` and `midwatch resume`: one run each, the answer on stdout, all else on stderr."""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from midwatch_agents import report
from midwatch_agents.approver import Approver, DenyApprover, LaterApprover, TerminalApprover, YesApprover
from midwatch_agents.errors import IntakeError
from midwatch_agents.intake import read_alert
from midwatch_agents.result import RunResult
from midwatch_agents.session import Session
from midwatch_contracts.alert import Alert
from midwatch_contracts.clock import WallClock
from midwatch_contracts.command import Settings


def investigate(arguments: argparse.Namespace, settings: Settings) -> int:
    """Investigate one alert or question."""
    subject = _subject(arguments)
    inputs = parsed_inputs(arguments.inputs)
    session = _session(arguments, settings)
    return _answered(arguments, asyncio.run(session.investigate(subject, guide=arguments.guide, inputs=inputs)))


def resume(arguments: argparse.Namespace, settings: Settings) -> int:
    """Go on with a run."""
    session = _session(arguments, settings)
    return _answered(arguments, asyncio.run(session.resume(arguments.run)))


def parsed_inputs(pairs: Sequence[str]) -> dict[str, str]:
    """Read `NAME=VALUE` pairs.

    Raises:
        IntakeError: one has another form, or a name stands twice.
    """
    inputs: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier():
            raise IntakeError(f"--input {pair!r}: write it as NAME=VALUE, for example --input window=20s")
        if name in inputs:
            raise IntakeError(f"--input {name} is given twice")
        inputs[name] = value
    return inputs


def chosen_approver(arguments: argparse.Namespace, settings: Settings) -> Approver:
    """Return the approver that the flags name; without one the terminal is asked where there is a terminal."""
    if arguments.yes:
        return YesApprover(settings)
    if arguments.deny:
        return DenyApprover(settings)
    if arguments.later or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return LaterApprover()
    return TerminalApprover(settings)


def _session(arguments: argparse.Namespace, settings: Settings) -> Session:
    return Session(settings, Console(stderr=True), chosen_approver(arguments, settings), WallClock())


def _subject(arguments: argparse.Namespace) -> Alert | str:
    if (arguments.alert is None) == (arguments.question is None):
        raise IntakeError('give either a question or --alert FILE: midwatch investigate "why is chat slow?"')
    if arguments.question is not None:
        return str(arguments.question)
    try:
        text = sys.stdin.read() if arguments.alert == "-" else Path(arguments.alert).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise IntakeError(f"--alert {arguments.alert}: cannot be read: {error}") from error
    return read_alert(text)


def _answered(arguments: argparse.Namespace, result: RunResult) -> int:
    if arguments.json:
        sys.stdout.write(json.dumps(result.as_json(), indent=2) + "\n")
    else:
        cause = "" if result.cause is None else f"{result.cause.mechanism} of {result.cause.entity}\n"
        sys.stdout.write(f"{cause}{report.verdict(result)}\n{result.report}\n")
    return result.exit_code
