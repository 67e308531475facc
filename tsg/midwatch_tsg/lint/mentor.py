"""Advice: what makes a guide hard to follow or easy to misread. Warnings only."""

import re

from midwatch_contracts.errors import PromqlError
from midwatch_contracts.promql import Aggregate, Call, Expr, MatrixSelector, children, parse, selectors
from midwatch_tsg.execute import is_promql
from midwatch_tsg.lint.report import Report
from midwatch_tsg.model import Guide, OutcomeBody, Step, ToolBody

MAX_TITLE = 80
MANY_STEPS = 60
_VAGUE = re.compile(r"\b(etc|as needed|if necessary|appropriately|somehow|some time|a while|soon)\b", re.IGNORECASE)
_SAMPLE = re.compile(r"\$\{[a-z][a-z0-9_]*\}")


def advise(guide: Guide, report: Report) -> None:
    """Add warnings about clarity, flow, queries and presentation."""
    _presentation(guide, report)
    titles: dict[str, str] = {}
    for step in guide.steps:
        _clarity(step, report)
        if step.title in titles:
            what = f"`{step.id}` and `{titles[step.title]}` have the same title"
            report.warning("clarity.same_title", step, what, "say in each title what is asked there")
        titles.setdefault(step.title, step.id)
        if isinstance(step.body, ToolBody):
            _query(step, step.body, report)
        if not step.conditional or step.no_data or not isinstance(step.body, ToolBody):
            continue
        mend = "add `no_data: STEP` for the case that the reading is missing"
        report.warning("flow.no_data", step, f"`{step.id}` decides on a result that may be missing", mend, at="next")


def _presentation(guide: Guide, report: Report) -> None:
    if not guide.symptoms and not guide.alerts:
        mend = "add `applies_to: {alerts: […], symptoms: […]}`, by which triage finds it"
        report.warning("presentation.applies_to", guide, "the guide does not say what it is for", mend)
    if not guide.prose:
        report.warning(
            "presentation.prose", guide, "there is no introduction", "say above the first section when to use it"
        )
    if len(guide.steps) > MANY_STEPS:
        what = f"{len(guide.steps)} steps are many for one guide"
        report.warning("presentation.length", guide, what, f"split it: up to {MANY_STEPS} can be followed")
    verdicts = {step.body.verdict for step in guide.steps if isinstance(step.body, OutcomeBody)}
    if verdicts and "escalate" not in verdicts:
        mend = "add an outcome `escalate` for what the guide does not cover"
        report.warning("flow.no_escalation", guide, "the guide always knows the answer", mend)


def _clarity(step: Step, report: Report) -> None:
    if len(step.title) > MAX_TITLE:
        what = f"the title has {len(step.title)} characters"
        report.warning("clarity.long_title", step, what, f"keep it under {MAX_TITLE}; put the rest into prose")
    if not step.prose and not isinstance(step.body, OutcomeBody):
        report.warning(
            "clarity.no_prose", step, f"`{step.id}` is not explained", "say why it matters and what to look for"
        )
    found = _VAGUE.search(step.title)
    if found:
        mend = "say it as a figure or a condition"
        report.warning("clarity.vague", step, f"`{found[0]}` in the title of `{step.id}` is vague", mend)


def _query(step: Step, body: ToolBody, report: Report) -> None:
    for name, value in body.arguments.items():
        if not is_promql(body.tool, name) or not isinstance(value, str):
            continue
        at = f"with.{name}"
        if re.search(r"\[\d+[smhd]\]", value):
            report.warning("query.fixed_window", step, "the window is fixed", "make it an input: [${window}]", at=at)
        try:
            query = parse(_SAMPLE.sub("1", re.sub(r"\[\$\{[^}]*\}", "[1m", value)))
        except PromqlError:
            continue  # reported as an error
        if any(not selector.matchers for selector in selectors(query)):
            mend = "select on namespace and service, or it reads every service there is"
            report.warning("query.no_matcher", step, "a selector has no labels", mend, at=at)
        for what, mend in _shape(query):
            report.warning("query.shape", step, what, mend, at=at)


def _shape(query: Expr) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    if isinstance(query, Call) and query.function == "histogram_quantile":
        inner = query.args[-1]
        if isinstance(inner, Aggregate) and not inner.without and "le" not in inner.grouping:
            found.append(("histogram_quantile over an aggregation without `le`", "write `sum by (le) (…)`"))
    if isinstance(query, Call) and query.function in {"rate", "increase", "irate"}:
        argument = query.args[0]
        name = argument.selector.name if isinstance(argument, MatrixSelector) else None
        if name is not None and not name.endswith(("_total", "_count", "_sum", "_bucket")):
            found.append((f"{query.function} of `{name}`, which is named like a gauge", "use avg_over_time or delta"))
    return found + [item for child in children(query) for item in _shape(child)]
