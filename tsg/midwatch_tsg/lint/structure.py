"""Control flow: cycles, edges that lead nowhere or twice to one step, missing `else`, steps that are never reached."""

import difflib

from midwatch_tsg.graph import Graph
from midwatch_tsg.lint.report import Report
from midwatch_tsg.model import CheckBody, Guide, OutcomeBody, Step


def check_structure(guide: Guide, graph: Graph, report: Report) -> None:
    """Check the shape of the graph."""
    _cycle(guide, graph, report)
    for source, target in graph.dangling:
        near = difflib.get_close_matches(target, graph.order, n=1)
        mend = f"did you mean `{near[0]}`?" if near else f"add a section `## {target}: …`, or go elsewhere"
        report.error("flow.dangling", guide.step(source), f"`{target}` is no step of this guide", mend, at="next")
    reachable = graph.reachable()
    for step in guide.steps:
        if step.id not in reachable:
            mend = f"lead to it from a step, or remove it (the start is `{graph.start}`, the first section)"
            report.error("flow.unreachable", step, f"the step `{step.id}` is never reached", mend)
        _routes(step, report)
        _join(step, graph, report)
    if not any(isinstance(step.body, OutcomeBody) for step in guide.steps):
        mend = "end each branch in a step with `outcome: cause`, `healthy` or `escalate`"
        report.error("flow.no_outcome", guide, "the guide has no outcome", mend)


def _cycle(guide: Guide, graph: Graph, report: Report) -> None:
    cycle = graph.cycle()
    if cycle:
        back = guide.step(cycle[-2])
        way = " → ".join(cycle)
        mend = f"remove the way from `{cycle[-2]}` back to `{cycle[-1]}`; to wait for something use `until`"
        report.error("flow.cycle", back, f"the steps form a cycle: {way}", mend, at="next")


def _routes(step: Step, report: Report) -> None:
    if isinstance(step.body, OutcomeBody):
        return
    if not step.targets:
        report.error("flow.dead_end", step, f"`{step.id}` leads nowhere", "add `next:`, at last to an outcome")
        return
    others = [route for route in step.routes if route.when is None]
    if step.conditional and not others and not isinstance(step.body, CheckBody):
        mend = "add `- {else: STEP}` as the last entry"
        report.error("flow.missing_else", step, "`next` has conditions and no `else`", mend, at="next")
    if len(others) > 1:
        report.error("flow.two_else", others[1].line, f"`{step.id}` has two `else`", "keep one of them")
    if step.conditional and others and step.routes[-1].when is not None:
        report.warning(
            "flow.else_last", others[0].line, "`else` stands before a condition", "put it last: it is tried last"
        )
    seen: set[str] = set()
    for route in step.routes:
        if route.when is not None and route.when in seen:
            report.error(
                "flow.duplicate_when", route.line, f"`when: {route.when}` stands twice", "remove the second one"
            )
        seen.add(route.when or "")
        _twice(step, route.go, route.line, report)
    _twice(step, step.no_data, step.line_of("no_data"), report)


def _twice(step: Step, targets: tuple[str, ...], line: int, report: Report) -> None:
    for target in sorted({target for target in targets if targets.count(target) > 1}):
        report.error("flow.duplicate_edge", line, f"`{step.id}` leads to `{target}` twice at once", "name it once")


def _join(step: Step, graph: Graph, report: Report) -> None:
    inbound = len(graph.predecessors[step.id])
    if isinstance(step.join, int) and step.join > inbound:
        mend = f"write a number up to {inbound}, or `all`"
        report.error(
            "flow.join", step, f"the join of `{step.id}` needs {step.join} of {inbound} ways in", mend, at="join"
        )
    elif step.join != "any" and inbound < 2 and "join" in step.lines:  # noqa: PLR2004 (a join joins two)
        report.warning("flow.join", step, f"`{step.id}` joins {inbound} way in", "remove `join`", at="join")
