"""The guides that a run may use, and how one is run: the runner of `midwatch_tsg` with this run's tools and journal."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from midwatch_agents.errors import AgentError, IntakeError, NoMatchError, ToolCallError, UnknownToolError
from midwatch_agents.events import Recorder
from midwatch_agents.findings import Findings, StepReport
from midwatch_agents.intake import Subject
from midwatch_agents.result import Outcome
from midwatch_agents.tools import Caller, Result
from midwatch_contracts.clock import Clock
from midwatch_contracts.command import Settings
from midwatch_contracts.surface import surface
from midwatch_tsg.errors import GuideError, InputError, ToolFailedError, UnknownGuideError
from midwatch_tsg.events import StepEvent
from midwatch_tsg.guide import find, library
from midwatch_tsg.lint import lint
from midwatch_tsg.model import Guide
from midwatch_tsg.result import GuideResult, StepRecord
from midwatch_tsg.runner import Runner


@dataclass(frozen=True)
class GuideCaller:
    """The run's tools as the runner's `ToolCaller`: our errors become those that its retries know."""

    caller: Caller

    async def call(self, tool: str, arguments: dict[str, Any], *, step: str) -> Result:
        """Call a tool for a step.

        Raises:
            ToolFailedError: it failed; a tool that does not exist is not tried again.
        """
        try:
            return await self.caller.call(tool, arguments, step=step)
        except ToolCallError as error:
            raise ToolFailedError(str(error), retry=not isinstance(error, UnknownToolError)) from error


@dataclass(frozen=True)
class GuideShelf:
    """Guides by id."""

    guides: Mapping[str, Guide]
    folders: tuple[Path, ...] = ()

    @classmethod
    def of(cls, settings: Settings) -> "GuideShelf":
        """Return the library with the configured folders.

        Raises:
            IntakeError: one does not parse, or a folder is not there.
        """
        try:
            return cls(library(settings.guides), settings.guides)
        except GuideError as error:
            raise IntakeError(str(error)) from error

    def find(self, name: str) -> Guide:
        """Return a guide by id, or by the path of a file that ends in `.md`.

        Raises:
            NoMatchError: there is none of that id.
            IntakeError: it does not parse.
        """
        try:
            return self.guides[name] if name in self.guides else find(name, self.folders)
        except UnknownGuideError as error:
            raise NoMatchError(str(error)) from error
        except GuideError as error:
            raise IntakeError(str(error)) from error

    async def run(
        self,
        name: str,
        subject: Subject,
        inputs: Mapping[str, str],
        *,
        caller: Caller,
        recorder: Recorder,
        clock: Clock,
        journal: Path,
    ) -> Findings:
        """Check a guide whole, then run it; steps that the journal holds are not asked again.

        Raises:
            IntakeError: it fails its checks, or its inputs are missing or do not fit.
        """
        guide = self.find(name)
        wrong = [problem for problem in lint(guide, surface()) if problem.severity == "error"]
        if wrong:
            raise IntakeError(f"the guide fails its checks: {wrong[0]} ({len(wrong)} in all: midwatch guide lint)")
        recorder.record("guide", {"guide": guide.id, "title": guide.title, "sha256": guide.sha256}, step="guide")
        runner = Runner(
            guide, GuideCaller(caller), clock, journal=journal, on_event=lambda event: _tell(recorder, event)
        )
        try:
            result = await runner.run(inputs, run_id=recorder.run, alert=subject.alert)
        except InputError as error:
            raise IntakeError(str(error)) from error
        except GuideError as error:
            raise AgentError(str(error)) from error
        return findings_of(result)


def _tell(recorder: Recorder, event: StepEvent) -> None:
    body: dict[str, Any] = {"title": event.title, "says": event.says, "tool": event.tool}
    if event.state in ("started", "retrying"):
        recorder.show("step_started", body, step=event.step)
        return
    body |= {"state": event.state, "taken": list(event.taken), "seconds": round(event.seconds, 6)}
    recorder.record("step", body, step=event.step, evidence=event.evidence)


def findings_of(result: GuideResult) -> Findings:
    """Return what a guide's result says, in the terms of a run."""
    first = result.primary
    failed = next((step for step in result.steps if step.state == "failed"), None)
    says = first.says if first is not None else f"step {failed.id} failed: {failed.reason}" if failed else "no outcome"
    for other in result.escalated:
        if other is not first:
            says += f" A person must look as well: {other.says}"
    evidence = [step.evidence for step in result.steps if step.evidence is not None]
    return Findings(
        guide=result.guide,
        title=result.title,
        outcome=_outcome(result),
        says=says,
        cause=None if first is None else first.cause,
        evidence=first.evidence if first is not None and first.evidence else tuple(dict.fromkeys(evidence)),
        ruled_out=tuple(f"{item.mechanism}: {item.because}" for item in result.ruled_out),
        steps=tuple(_step(step) for step in result.steps),
        draft=result.plan_draft,
        by_code=all(step.kind in _BY_CODE for step in result.steps if step.state != "skipped"),
    )


_BY_CODE = frozenset({"tool", "until", "check", "decide", "change", "wait", "outcome"})
"""Kinds of steps that code alone carries out; `decide` chooses by expressions. Neither `ask` nor a new kind is here."""


def _outcome(result: GuideResult) -> Outcome:
    """Return the run's outcome; an escalation is never lost behind `healthy`, and missing telemetry is named so."""
    first = result.primary
    if first is None:
        return "escalate"
    if first.cause is not None:
        return "no_data" if first.cause.mechanism.startswith("telemetry.") else "cause"
    unmeasured = {target for step in result.steps if step.state == "no_data" for target in step.taken}
    if any(outcome.step in unmeasured for outcome in result.escalated):
        return "no_data"
    return "escalate" if result.escalated else "healthy"


def _step(step: StepRecord) -> StepReport:
    return StepReport(
        id=step.id,
        title=step.title,
        state=step.state,
        says=step.reason or step.summary,
        evidence=() if step.evidence is None else (step.evidence,),
        seconds=0.0 if step.started is None or step.ended is None else round(step.ended - step.started, 6),
    )
