"""`midwatch demo`: one incident on a lab of real processes, from alert to verified fix."""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.text import Text

from midwatch_agents.approver import Approver, DenyApprover, TerminalApprover, YesApprover
from midwatch_agents.result import RunResult
from midwatch_agents.session import Session
from midwatch_contracts.alert import Alert
from midwatch_contracts.clock import WallClock
from midwatch_contracts.command import CommandError, Settings
from midwatch_contracts.exit_codes import Exit
from midwatch_contracts.model import Model
from midwatch_evals.errors import EvalError
from midwatch_evals.incident import Incident, IncidentResult
from midwatch_evals.real_weights import on_model
from midwatch_evals.scenario import Scenario, TrueCause, load_scenario
from midwatch_lab.errors import LabError

FaultName = Literal["kv", "replicas", "none"]
SCENARIOS: dict[FaultName, str] = {
    "kv": "kv-cache-shrunk",
    "replicas": "replicas-scaled-down",
    "none": "false-alarm",
}
UNMEETABLE_WITHIN_S = 10.0


class Named(Model):
    """A fault or a cause: what went wrong, with what (an entity as text)."""

    mechanism: str
    entity: str


class DemoResult(Model):
    """What `--json FILE` holds. Times in seconds; the two p95 are null where nothing was changed."""

    fault: Named | None
    cause: Named | None
    evidence: tuple[str, ...]
    plan_id: str | None
    approved: bool
    applied: bool
    verified: bool
    undone: bool
    ttft_p95_before_s: float | None
    """Under the fault, just before the change."""
    ttft_p95_after_s: float | None
    """Once verified."""
    steps: int
    seconds: float
    processes_left: int
    report: str


def incident_file(name: str) -> Scenario:
    """Return a scenario of the library by its name."""
    with as_file(files("midwatch_evals").joinpath("incidents")) as folder:
        return load_scenario(folder / f"{name}.yaml")


def demo(arguments: argparse.Namespace, settings: Settings) -> int:
    """Run the demo; the exit code is that of the run (CONTRACTS §10)."""
    fault = _chosen(arguments.fault, arguments.seed)
    scenario = incident_file(SCENARIOS[fault])
    scenario = on_model(scenario, arguments.model, settings)
    if arguments.seed is not None:
        scenario = scenario.model_copy(update={"seed": arguments.seed})
    if arguments.json is not None:
        _check_writable(arguments.json)
    console = Console(record=arguments.svg is not None, width=100 if arguments.svg else None)
    folder = _folder(settings)
    stage = _Stage(console, settings, folder, arguments)
    try:
        result = asyncio.run(stage.play(scenario))
    except (EvalError, LabError) as error:
        raise CommandError(str(error), Exit.BAD_INPUT) from error
    finally:
        if arguments.svg is not None:
            console.save_svg(arguments.svg, title="midwatch demo")
    truth = scenario.truth.cause
    answer = demo_result(result, truth)
    if arguments.json is not None:
        arguments.json.write_text(answer.model_dump_json(indent=2) + "\n", "utf-8")
    _say_end(console, answer, result.run, truth)
    if answer.processes_left:
        raise CommandError(f"{answer.processes_left} processes of the lab are left running", Exit.INTERNAL)
    return result.run.exit_code


def demo_result(result: IncidentResult, fault: TrueCause | None) -> DemoResult:
    """Return what `--json` writes."""
    run = result.run
    return DemoResult(
        fault=None if fault is None else Named(mechanism=fault.mechanism, entity=str(fault.entity)),
        cause=None if run.cause is None else Named(mechanism=run.cause.mechanism, entity=str(run.cause.entity)),
        evidence=run.evidence,
        plan_id=run.plan_id,
        approved=run.approved,
        applied=run.applied,
        verified=run.verified,
        undone=run.undone,
        ttft_p95_before_s=run.ttft_p95_before_s if run.applied else None,
        ttft_p95_after_s=run.ttft_p95_after_s if run.applied else None,
        steps=run.steps,
        seconds=round(result.seconds, 2),
        processes_left=result.processes_left,
        report=str(run.report),
    )


def unmeetable(draft: dict[str, Any]) -> dict[str, Any]:
    """Return a plan's draft with expectations over queries that cannot be met, and little time to meet them."""
    expect = [
        entry | {"holds": "value < 0.0", "within_s": UNMEETABLE_WITHIN_S} if "promql" in entry else entry
        for entry in draft["expect"]
    ]
    return draft | {"expect": expect}


@dataclass
class _Stage:
    """Plays one scenario and narrates it."""

    console: Console
    settings: Settings
    folder: Path
    arguments: argparse.Namespace

    async def play(self, scenario: Scenario) -> IncidentResult:
        """Play it."""
        incident = Incident(
            scenario,
            Settings(state=self.folder / "state", guides=self.settings.guides),
            WallClock(),
            self.investigate,
            self.tell,
            self.folder / "lab",
            measure_objective=True,
        )
        return await incident.run()

    def tell(self, stage: str, line: str, _facts: Mapping[str, Any]) -> None:
        """Print one line of the story."""
        self.console.print(Text.assemble((f"{stage:>9}  ", "bold cyan"), line), soft_wrap=True)

    async def investigate(self, alert: Alert, settings: Settings) -> RunResult:
        """Hand the alert to the supervisor."""
        session = Session(settings, self.console, self._approver(settings), WallClock())
        if self.arguments.unmeetable:
            session.amend_draft = unmeetable
        return await session.investigate(alert)

    def _approver(self, settings: Settings) -> Approver:
        if self.arguments.no:
            return DenyApprover()
        if self.arguments.yes:
            return YesApprover(settings)
        if sys.stdin.isatty() and sys.stdout.isatty():
            return TerminalApprover(settings)
        self.tell("approval", "no terminal to ask on: as with --yes, the lab's own key approves", {})
        return YesApprover(settings)


def _chosen(name: str, seed: int | None) -> FaultName:
    if name == "random":
        return random.Random(seed).choice(list(SCENARIOS))  # noqa: S311 (a die, not a key)
    return next(known for known in SCENARIOS if known == name)


def _folder(settings: Settings) -> Path:
    """Return a fresh folder for this demo: its lab and its own state, so that no user's runs or keys are touched."""
    parent = settings.state / "demos"
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=time.strftime("%Y%m%dT%H%M%S-"), dir=parent))
    (folder / "state").mkdir(mode=0o700)
    return folder


def _check_writable(path: Path) -> None:
    try:
        path.write_text("", "utf-8")
    except OSError as error:
        raise CommandError(f"--json {path}: cannot be written: {error.strerror}", Exit.BAD_INPUT) from error


def _say_end(console: Console, answer: DemoResult, run: RunResult, truth: TrueCause | None) -> None:
    found = None if run.cause is None else (run.cause.mechanism, run.cause.entity)
    right = found == (None if truth is None else (truth.mechanism, truth.entity))
    broken = "nothing was broken" if truth is None else f"{truth.mechanism} of {truth.entity}"
    lines = [
        ("injected", broken),
        ("named", ("nothing" if answer.cause is None else f"{answer.cause.mechanism} of {answer.cause.entity}")),
        ("which is", "right" if right else "not what was injected"),
    ]
    if answer.ttft_p95_before_s is not None and answer.ttft_p95_after_s is not None:
        lines.append(("p95 TTFT", f"{answer.ttft_p95_before_s:.3f} s → {answer.ttft_p95_after_s:.3f} s, measured"))
    lines += [("report", str(run.report)), ("ledger", str(run.ledger)), ("took", f"{answer.seconds:.0f} s")]
    for name, text in lines:
        console.print(Text.assemble((f"{name:>9}  ", "bold green" if right else "bold red"), text), soft_wrap=True)
