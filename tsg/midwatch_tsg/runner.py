"""Runs a guide as a dataflow graph: each step starts as soon as every way into it is decided.

Not level by level: a slow step holds up only what depends on it. Whether a step runs is judged once all of its inbound
edges are decided, and it sees only names that steps before it saved, so the result is the same in whatever order
concurrent steps finish. What was asked is kept in a journal; a resumed run asks only what is left.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from midwatch_contracts.alert import Alert
from midwatch_contracts.cel import NO_DATA
from midwatch_contracts.clock import Clock, WallClock
from midwatch_tsg.caller import Asker, ToolCaller
from midwatch_tsg.conclude import Conclusion, record
from midwatch_tsg.errors import GuideError, StepError
from midwatch_tsg.events import OnEvent, StepEvent, ignore
from midwatch_tsg.execute import Context, Ended, execute, without_reading
from midwatch_tsg.graph import Graph, graph_of
from midwatch_tsg.inputs import resolve
from midwatch_tsg.journal import Journal, NoJournal, SqliteJournal
from midwatch_tsg.model import Guide, OutcomeBody, Step
from midwatch_tsg.result import GuideResult, StepRecord
from midwatch_tsg.routing import enough
from midwatch_tsg.templates import plain


@dataclass(frozen=True)
class Runner:
    """Runs one guide, which must have passed the linter without errors.

    `journal` is a path (SQLite) or a Journal; without one, a run cannot be resumed. `on_event` is called within the run
    and must not wait. `max_parallel` bounds the steps that run at the same time.
    """

    guide: Guide
    caller: ToolCaller
    clock: Clock = field(default_factory=WallClock)
    journal: Path | Journal | None = None
    on_event: OnEvent = ignore
    asker: Asker | None = None
    max_parallel: int = 16

    async def run(self, inputs: Mapping[str, Any], *, run_id: str, alert: Alert | None = None) -> GuideResult:
        """Run the guide to its end, or go on with the run of that id.

        Raises:
            InputError: before anything is called, when the inputs do not fit.
            GuideError: when the guide has a cycle or leads to a step that does not exist.
            JournalError: when the journal cannot be used.
        """
        graph = graph_of(self.guide)
        if graph.cycle() or graph.dangling:
            bad = " → ".join(graph.cycle() or graph.dangling[0])
            raise GuideError(
                f"{self.guide.id} cannot be run ({bad}): `midwatch guide lint {self.guide.file}` says more"
            )
        values = resolve(self.guide, inputs, alert)
        if isinstance(self.journal, Path):
            with SqliteJournal(self.journal) as journal:
                return await _Run(self, graph, values, run_id, journal).result()
        return await _Run(self, graph, values, run_id, self.journal or NoJournal()).result()


class _Run:
    """The state of one run."""

    def __init__(self, runner: Runner, graph: Graph, inputs: Mapping[str, Any], run_id: str, journal: Journal) -> None:
        self._runner, self._graph, self._run_id = runner, graph, run_id
        self._guide, self._clock = runner.guide, runner.clock
        self._context = Context(
            run_id, runner.guide.sha256, runner.caller, runner.asker, runner.clock, journal, self._retrying
        )
        self._slots = asyncio.Semaphore(runner.max_parallel)
        loop = asyncio.get_running_loop()
        self._edges: dict[tuple[str, str], asyncio.Future[bool]] = {
            (source, target): loop.create_future() for source, targets in graph.successors.items() for target in targets
        }
        self._ended: dict[str, Ended] = {}
        self._records: dict[str, StepRecord] = {}
        self._conclusion = Conclusion(runner.guide, graph, inputs, self._ended)

    async def result(self) -> GuideResult:
        """Run every step and conclude."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for step in self._guide.steps:
                    tasks.create_task(self._step(step), name=f"step {step.id}")
        except BaseExceptionGroup as group:
            # Steps turn their failures into records; what comes here is ours, and one traceback tells it best.
            raise group.exceptions[0] from None
        return self._conclusion.result(self._run_id, self._records)

    async def _step(self, step: Step) -> None:
        before = self._graph.predecessors[step.id]
        taken = [source for source in before if await self._edges[source, step.id]]
        started = self._clock.now()
        if step.id != self._graph.start and not enough(step.join, len(taken), len(before)):
            ended = Ended("skipped", reason=_why_skipped(step, taken, before))
        else:
            async with self._slots:
                started = self._clock.now()
                self._tell(step, "started", started)
                ended = await self._run_step(step)
        self._finish(step, ended, started)

    async def _run_step(self, step: Step) -> Ended:
        names = self._conclusion.scope(step.id)
        try:
            return await execute(step, names, self._context)
        except StepError as error:
            reason = str(error)
            if step.on_error == "continue" and not isinstance(step.body, OutcomeBody):
                return self._continued(step, names, reason)
            return Ended(
                "failed",
                reason=reason,
                saved={save.name: NO_DATA for save in step.save},
                escalation=f"`{step.title}` failed: {reason}",
            )

    def _continued(self, step: Step, names: Mapping[str, Any], reason: str) -> Ended:
        try:
            return without_reading(step, names, reason)
        except StepError as error:
            both = f"{reason}; then {error}"
            return Ended("failed", reason=both, escalation=f"`{step.title}` failed: {both}")

    def _finish(self, step: Step, ended: Ended, started: float) -> None:
        self._ended[step.id] = ended
        now = self._clock.now()
        kept = record(step, ended, started, now)
        self._records[step.id] = kept
        self._tell(step, ended.state, now, kept, now - started)
        for target in self._graph.successors[step.id]:
            self._edges[step.id, target].set_result(target in kept.taken)

    def _retrying(self, step: Step, says: str) -> None:
        """Tell that a call is made again."""
        now = self._clock.now()
        self._runner.on_event(
            StepEvent(self._run_id, self._guide.id, step.id, step.title, step.kind, "retrying", now, says)
        )

    def _tell(self, step: Step, state: Any, at: float, kept: StepRecord | None = None, seconds: float = 0.0) -> None:
        self._runner.on_event(
            StepEvent(
                self._run_id,
                self._guide.id,
                step.id,
                step.title,
                step.kind,
                state,
                at,
                says="" if kept is None else kept.reason or kept.summary,
                tool=None if kept is None else kept.tool,
                evidence=None if kept is None else kept.evidence,
                bound={} if kept is None else plain(kept.bound),
                taken=() if kept is None else kept.taken,
                seconds=seconds,
            )
        )


def _why_skipped(step: Step, taken: list[str], before: tuple[str, ...]) -> str:
    if step.join == "any" or not taken:
        return f"not reached: {', '.join(before)} did not lead here"
    missing = [source for source in before if source not in taken]
    needed = len(before) if step.join == "all" else step.join
    return f"the join needs {needed} of {len(before)}; {', '.join(missing)} did not lead here"
