"""`midwatch replay SCENARIO.yaml`: an incident from a file, judged, to an exit code."""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from midwatch_agents.approver import DenyApprover, YesApprover
from midwatch_agents.result import RunResult
from midwatch_agents.session import Session
from midwatch_contracts.alert import Alert
from midwatch_contracts.clock import WallClock
from midwatch_contracts.command import CommandError, Settings
from midwatch_contracts.exit_codes import Exit
from midwatch_evals.errors import EvalError
from midwatch_evals.incident import Incident, IncidentResult
from midwatch_evals.judging import Judgement, LabReader, judged
from midwatch_evals.prometheus import Prometheus
from midwatch_evals.scenario import Scenario, load_scenario
from midwatch_lab.client import LabClient
from midwatch_lab.errors import LabError


def replay(arguments: argparse.Namespace, settings: Settings) -> int:
    """Play a scenario and judge it.

    The exit code is that of the run when it is judged right, and 7 when what came out is not what the file says.
    """
    player = _Player(Console(stderr=True), settings, deny=arguments.no)
    try:
        scenario = load_scenario(arguments.scenario)
        result = asyncio.run(player.play(scenario))
    except (EvalError, LabError) as error:
        raise CommandError(str(error), Exit.BAD_INPUT) from error
    judgement = player.judgement
    if judgement is None:
        raise CommandError("the run ended before it could be judged", Exit.INTERNAL)
    code = result.run.exit_code if judgement.passed else Exit.REPLAY_DIFFERS
    if arguments.json:
        sys.stdout.write(json.dumps(_answer(scenario, result, judgement, code), indent=2) + "\n")
    else:
        sys.stdout.write(_lines(scenario, result, judgement))
    return int(code)


@dataclass
class _Player:
    console: Console
    settings: Settings
    deny: bool
    judgement: Judgement | None = field(default=None, init=False)

    async def play(self, scenario: Scenario) -> IncidentResult:
        parent = self.settings.state / "replays"
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{scenario.name}-", dir=parent))
        (folder / "state").mkdir(mode=0o700)

        async def judge(prometheus: Prometheus, client: LabClient, result: IncidentResult) -> None:
            reader = LabReader(prometheus, client)
            self.judgement = await judged(scenario, result.run, result.writes, reader=reader, clock=WallClock())

        return await Incident(
            scenario,
            Settings(state=folder / "state", guides=self.settings.guides),
            WallClock(),
            self.investigate,
            self.tell,
            folder / "lab",
            at_the_end=judge,
        ).run()

    async def investigate(self, alert: Alert, settings: Settings) -> RunResult:
        approver = DenyApprover() if self.deny else YesApprover(settings)
        return await Session(settings, self.console, approver, WallClock()).investigate(alert)

    def tell(self, stage: str, line: str, _facts: Mapping[str, Any]) -> None:
        self.console.print(Text.assemble((f"{stage:>9}  ", "bold cyan"), line), soft_wrap=True)


def _answer(scenario: Scenario, result: IncidentResult, judgement: Judgement, code: int) -> dict[str, Any]:
    return {
        "scenario": scenario.name,
        "passed": judgement.passed,
        "judgement": asdict(judgement),
        "run": result.run.as_json(),
        "objective_s": result.objective_s,
        "healthy_p95_s": result.healthy_p95_s,
        "writes": list(result.writes),
        "seconds": round(result.seconds, 2),
        "processes_left": result.processes_left,
        "exit_code": int(code),
    }


def _lines(scenario: Scenario, result: IncidentResult, judgement: Judgement) -> str:
    cause = result.run.cause
    said = "no cause" if cause is None else f"{cause.mechanism} of {cause.entity}"
    lines = [f"{scenario.name}: {'passed' if judgement.passed else 'FAILED'}"]
    lines.append(f"  cause: {said} ({'right' if judgement.cause else 'not what the scenario says'})")
    if judgement.end_state is not None:
        lines.append(f"  end state: {'reached' if judgement.end_state else 'not reached'}")
    lines += [f"  {why}" for why in judgement.failed if not judgement.end_state]
    lines += [f"  forbidden operation: {op}" for op in judgement.forbidden]
    lines += [f"  over budget: {what}" for what in judgement.over_budget]
    lines.append(f"  report: {result.run.report}")
    return "\n".join(lines) + "\n"
