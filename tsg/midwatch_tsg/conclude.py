"""From the ends of steps to what the run found: outcomes, causes with the confidence their evidence carries, a plan."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from midwatch_contracts.causes import Cause, capped
from midwatch_contracts.cel import NO_DATA
from midwatch_contracts.entity import Entity
from midwatch_contracts.errors import ContractError
from midwatch_contracts.mechanisms import refines
from midwatch_tsg.drafts import with_cause
from midwatch_tsg.errors import TemplateError
from midwatch_tsg.execute import Ended
from midwatch_tsg.graph import Graph
from midwatch_tsg.model import ChangeBody, Guide, OutcomeBody, Step
from midwatch_tsg.result import GuideResult, Outcome, RuledOut, StepRecord, primary
from midwatch_tsg.templates import names_in, plain, render_text, render_value


def record(step: Step, ended: Ended, started: float, now: float) -> StepRecord:
    """Return the record of a step that ended."""
    skipped = ended.state == "skipped"
    return StepRecord(
        id=step.id,
        title=step.title,
        kind=step.kind,
        state=ended.state,
        reason=ended.reason,
        summary=ended.summary,
        tool=ended.tool,
        evidence=ended.evidence,
        bound={name: None if value is NO_DATA else plain(value) for name, value in ended.saved.items()},
        no_data=tuple(name for name, value in ended.saved.items() if value is NO_DATA),
        option=ended.way.option,
        taken=ended.way.targets,
        attempts=ended.attempts,
        resumed=ended.resumed,
        started=None if skipped else started,
        ended=None if skipped else now,
    )


@dataclass(frozen=True)
class Conclusion:
    """Reads the ends of all steps of one run."""

    guide: Guide
    graph: Graph
    inputs: Mapping[str, Any]
    ended: Mapping[str, Ended]

    def result(self, run_id: str, records: Mapping[str, StepRecord]) -> GuideResult:
        """Return what the run found."""
        guide = self.guide
        outcomes = self._outcomes()
        best = primary(outcomes)
        return GuideResult(
            guide=guide.id,
            title=guide.title,
            guide_sha256=guide.sha256,
            run=run_id,
            state="failed" if any(self._fails(step) for step in guide.steps) else "done",
            inputs={name: plain(value) for name, value in self.inputs.items()},
            outcomes=tuple(outcomes),
            primary=best,
            plan_draft=None if best is None else best.plan_draft,
            ruled_out=() if best is None else best.ruled_out,
            steps=tuple(records[step.id] for step in guide.steps),
        )

    def scope(self, step: str) -> dict[str, Any]:
        """Return the names that a step sees: the inputs, and what steps before it saved, or would have saved."""
        before = self.graph.before(step)
        names = dict(self.inputs)
        for other in self.guide.steps:
            if other.id in before:
                names |= {save.name: self.ended[other.id].saved.get(save.name, NO_DATA) for save in other.save}
        return names

    def _fails(self, step: Step) -> bool:
        return self.ended[step.id].state == "failed" and step.on_error == "fail"

    def _outcomes(self) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for step in self.guide.steps:
            end = self.ended[step.id]
            if end.escalation is not None:
                outcomes.append(Outcome(step=step.id, title=step.title, verdict="escalate", says=end.escalation))
            elif isinstance(step.body, OutcomeBody) and end.state == "done":
                outcomes.append(self._outcome(step, step.body))
        if not outcomes:
            says = "no outcome was reached: every branch ended before one"
            outcomes.append(Outcome(step=self.graph.start, title=self.guide.title, verdict="escalate", says=says))
        return outcomes

    def _outcome(self, step: Step, body: OutcomeBody) -> Outcome:
        names = self.scope(step.id)
        cited = [other for other in self.guide.steps if other.id in body.evidence]
        evidence = self._evidence(cited)
        says = render_text(body.says, names)
        cause, problem = self._cause(body, names, cited)
        if problem is not None:
            says = f"{says} ({problem})"
            return Outcome(step=step.id, title=step.title, verdict="escalate", says=says, evidence=evidence)
        ruled_out = tuple(
            RuledOut(mechanism=mechanism, because=render_text(text, names), evidence=evidence)
            for mechanism, text in body.rules_out
        )
        return Outcome(
            step=step.id,
            title=step.title,
            verdict=body.verdict,
            says=says,
            cause=cause,
            evidence=evidence,
            plan_draft=self._plan(step, cause, evidence),
            ruled_out=ruled_out,
        )

    def _evidence(self, cited: list[Step]) -> tuple[str, ...]:
        """Return the evidence of steps, each once; that of an empty answer too: it shows that nothing was there."""
        found = (self.ended[step.id].evidence for step in cited)
        return tuple(dict.fromkeys(evidence for evidence in found if evidence is not None))

    def _cause(self, body: OutcomeBody, names: Mapping[str, Any], cited: list[Step]) -> tuple[Cause | None, str | None]:
        """Return the cause, or why it cannot be named: what was not measured names no entity.

        A step whose readings are all missing adds no channel, except where their absence is the finding.
        """
        if body.verdict != "cause":
            return None, None
        missing = sorted(name for name in names_in(body.entity) if names.get(name) is NO_DATA)
        if missing:
            return None, f"the cause cannot be named: no reading for {', '.join(missing)}"
        ends = [self.ended[step.id] for step in cited]
        try:
            absence = refines(body.mechanism or "", "telemetry.missing")
            tools = [end.tool for end in ends if end.tool and (end.seen or (absence and end.evidence))]
            cause = Cause(
                mechanism=body.mechanism or "",
                entity=Entity.parse(render_value(body.entity, names)),
                confidence=capped(body.confidence, tools),
                evidence=self._evidence(cited),
            )
        except (ContractError, ValidationError, TemplateError) as error:
            return None, f"the cause cannot be named: {error}"
        return cause, None

    def _plan(self, step: Step, cause: Cause | None, evidence: tuple[str, ...]) -> dict[str, Any] | None:
        """Return the draft of the change that led here, if one did."""
        for other in self.guide.steps:
            end = self.ended[other.id]
            if end.draft is not None and step.id in end.way.targets:
                cited = other.body.evidence if isinstance(other.body, ChangeBody) else ()
                more = self._evidence([found for found in self.guide.steps if found.id in cited])
                return with_cause(end.draft, cause, tuple(dict.fromkeys([*evidence, *more])))
        return None
