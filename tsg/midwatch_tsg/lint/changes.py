"""Changes: each has an operation that the envelope knows, an expectation, an undo, and leads to a cause."""

from collections.abc import Mapping

from midwatch_contracts.cel import ANY, Type, number
from midwatch_contracts.entity import Entity
from midwatch_contracts.errors import ContractError
from midwatch_tsg.errors import TemplateError
from midwatch_tsg.lint.expressions import condition_problem
from midwatch_tsg.lint.report import Report
from midwatch_tsg.lint.tools import check_duration, check_query
from midwatch_tsg.model import ChangeBody, ExpectDraft, Guide, OutcomeBody, Step
from midwatch_tsg.query_units import query_unit
from midwatch_tsg.scope import Scopes, sample
from midwatch_tsg.templates import names_in, render_cel, render_value

REVERSIBLE = frozenset({"set_args", "scale", "patch", "rollout_undo", "serving.config"})
"""Operations that the envelope can undo by itself."""
IRREVERSIBLE = frozenset({"delete", "evict", "drain", "exec", "cancel", "cache_reset"})


def check_changes(guide: Guide, found: Scopes, report: Report) -> None:
    """Check every `change` step."""
    steps = {step.id: step for step in guide.steps}
    for step in guide.steps:
        if isinstance(step.body, ChangeBody):
            _check(step, step.body, steps, found.visible[step.id], report)


def _check(step: Step, body: ChangeBody, steps: Mapping[str, Step], names: Mapping[str, Type], report: Report) -> None:
    if not body.expect:
        mend = "add `expect` with a query and what must hold, so that it can be verified and undone"
        report.error("change.no_expectation", step, f"the change `{step.id}` expects nothing", mend, at="change")
    for index, expected in enumerate(body.expect):
        _check_expectation(step, index, expected, names, report)
    _check_undo(step, body, report)
    for target in (target for target in step.targets if target in steps):
        other = steps[target].body
        if target not in step.no_data and (not isinstance(other, OutcomeBody) or other.verdict != "cause"):
            mend = "lead to a step with `outcome: cause`, to which the plan is attached"
            report.error("change.leads", step, f"the change `{step.id}` leads to `{target}`, no cause", mend, at="next")


def _check_undo(step: Step, body: ChangeBody, report: Report) -> None:
    for index, operation in enumerate(body.operations):
        at = f"operations.{index}.op"
        if operation.op in IRREVERSIBLE:
            if body.undo != "none":
                mend = "write `undo: none`, and expect a person to approve it as dangerous"
                report.error("change.undo", step, f"`{operation.op}` cannot be undone", mend, at=at)
        elif operation.op not in REVERSIBLE:
            mend = f"use one of {', '.join(sorted(REVERSIBLE))}"
            report.error("change.operation", step, f"`{operation.op}` is no operation", mend, at=at)
        elif body.undo == "none":
            mend = "write `undo: automatic`: it goes back to the values before"
            report.error("change.undo", step, f"`{operation.op}` can be undone", mend, at="undo")
    if body.undo is None:
        mend = "add `undo: automatic`, or `undo: none` for what cannot be undone"
        report.error("change.no_undo", step, f"the change `{step.id}` does not say how it is undone", mend, at="change")


def _check_expectation(
    step: Step, index: int, expected: ExpectDraft, names: Mapping[str, Type], report: Report
) -> None:
    fields, at = expected.fields, f"expect.{index}"
    check_duration(step, f"{at}.within", fields.get("within"), names, report)
    check_duration(step, f"{at}.hold", fields.get("hold"), names, report)
    if "promql" in fields:
        query = check_query(str(fields["promql"]), names, step.line_of(f"{at}.promql"), report)
        value = number(None if query is None else query_unit(query))
        _check_condition(step, f"{at}.holds", str(fields.get("holds", "")), {**names, "value": value}, report)
    if "cel" in fields:
        _check_condition(step, f"{at}.cel", str(fields["cel"]), {**names, "object": ANY}, report)
    if "object" in fields and names_in(fields["object"]) <= set(names):
        problem = entity_problem(str(fields["object"]), names)
        if problem is not None:
            report.error("change.object", step, problem, "write Kind/namespace/name", at=f"{at}.object")


def entity_problem(template: str, names: Mapping[str, Type]) -> str | None:
    """Return why a template is no entity, or None."""
    used = names_in(template)
    if template.startswith("${") and len(used) == 1 and template == f"${{{next(iter(used))}}}":
        kind = names[next(iter(used))]
        return None if kind.kind in {"string", "any"} else f"`{template}` is a {kind}, no entity"
    try:
        Entity.parse(str(render_value(template, {name: sample(names[name]) for name in used})))
    except (ContractError, TemplateError) as error:
        return str(error)
    return None


def _check_condition(step: Step, at: str, template: str, scope: Mapping[str, Type], report: Report) -> None:
    """Check CEL in which `${name}` stands for a literal: as if each were a name of that type."""
    used = names_in(template)
    if not used <= set(scope):
        return  # reported as undefined
    try:
        render_cel(template, {name: sample(scope[name]) for name in used})
    except TemplateError as error:
        report.error("change.placeholder", step, str(error), "use names of numbers, strings and booleans", at=at)
        return
    own = {name: scope[name] for name in ("value", "object") if name in scope}
    typed = template
    for name in used:
        typed = typed.replace(f"${{{name}}}", f"of_{name}")
        own[f"of_{name}"] = scope[name]
    problem = condition_problem(typed, own)
    if problem is not None:
        report.error("change.condition", step, f"`{template}`: {problem}", "mend the expression", at=at)
