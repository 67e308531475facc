"""Outcomes: known mechanisms, entities, and evidence from steps that came before."""

from collections.abc import Mapping

from midwatch_contracts.causes import CHANNELS
from midwatch_contracts.errors import VocabularyError
from midwatch_contracts.mechanisms import mechanism
from midwatch_tsg.graph import Graph
from midwatch_tsg.lint.changes import entity_problem
from midwatch_tsg.lint.report import Report
from midwatch_tsg.model import ChangeBody, Guide, OutcomeBody, Step, ToolBody
from midwatch_tsg.scope import Scopes
from midwatch_tsg.templates import names_in


def check_outcomes(guide: Guide, graph: Graph, found: Scopes, report: Report) -> None:
    """Check every `outcome` step, and the evidence of changes."""
    steps = {step.id: step for step in guide.steps}
    for step in guide.steps:
        if isinstance(step.body, OutcomeBody | ChangeBody):
            _evidence(step, step.body.evidence, steps, graph, report)
        if isinstance(step.body, OutcomeBody):
            _outcome(step, step.body, steps, found, report)


def _outcome(step: Step, body: OutcomeBody, steps: Mapping[str, Step], found: Scopes, report: Report) -> None:
    for name, at in [
        (body.mechanism, "cause.mechanism"),
        *((ruled, f"rules_out.{ruled}") for ruled, _ in body.rules_out),
    ]:
        if name is not None:
            try:
                mechanism(name)
            except VocabularyError as error:
                report.error("outcome.mechanism", step, str(error).split(":")[0], str(error).partition(": ")[2], at=at)
    if body.verdict != "cause":
        return
    names = found.visible[step.id]
    if body.entity is not None and names_in(body.entity) <= set(names):
        problem = entity_problem(body.entity, names)
        if problem is not None:
            report.error("outcome.entity", step, problem, "write Kind/namespace/name", at="cause.entity")
    if not body.evidence:
        mend = "add `evidence: [steps]` with the steps whose results show it"
        report.error("outcome.evidence", step, f"the cause `{step.id}` cites no evidence", mend)
    tools = [other.tool for name in body.evidence if name in steps and isinstance(other := steps[name].body, ToolBody)]
    channels = {CHANNELS[tool] for tool in tools if tool in CHANNELS}
    if body.confidence == "certain" and len(channels) < 2:  # noqa: PLR2004 (two is the contract)
        what = f"`certain` with evidence of {len(channels)} channel ({', '.join(sorted(channels)) or 'none'})"
        mend = "cite steps of two channels (series, objects, logs, probe), or say `likely`: it will count as that"
        report.warning("outcome.confidence", step, what, mend, at="cause.confidence")


def _evidence(step: Step, evidence: tuple[str, ...], steps: Mapping[str, Step], graph: Graph, report: Report) -> None:
    for name in evidence:
        if name not in steps:
            what, mend = f"the evidence `{name}` is no step", "name steps that call a tool"
        elif not isinstance(steps[name].body, ToolBody):
            what, mend = f"the evidence `{name}` calls no tool", "name the steps that measured it"
        elif name not in graph.before(step.id):
            what, mend = f"the evidence `{name}` does not come before `{step.id}`", "name steps that lead here"
        else:
            continue
        report.error("outcome.evidence", step, what, mend, at="evidence")
