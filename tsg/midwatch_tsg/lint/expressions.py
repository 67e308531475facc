"""Data flow: every name is defined where it is read, fits its type and unit, and is used."""

from collections.abc import Iterator

from midwatch_contracts.cel import Type, compile_expression
from midwatch_contracts.errors import CelError
from midwatch_tsg.lint.report import Report
from midwatch_tsg.model import AskBody, ChangeBody, DecideBody, Guide, OutcomeBody, Step, ToolBody, WaitBody
from midwatch_tsg.scope import Scopes
from midwatch_tsg.templates import malformed_in, names_in

RESERVED = frozenset({"result", "value", "object"})


def check_expressions(guide: Guide, found: Scopes, report: Report) -> None:
    """Check names, types and units of all expressions and templates of steps."""
    for step, save, error in found.errors:
        report.error("data.expression", save.line, *_said(save.expression, error, step, found))
    _unique(guide, found, report)
    for step in guide.steps:
        names = found.within(step)
        for at, text in _conditions(step):
            problem = condition_problem(text, names)
            if problem is not None:
                report.error("data.expression", step, *_said(text, problem, step, found), at=at)
        for at, template in templates(step):
            _check_names(step, at, template, found, report)
    _inputs(guide, found, report)
    _unused(guide, found, report)


def condition_problem(text: str, names: dict[str, Type]) -> CelError | None:
    """Return why a text is no condition over `names`, or None."""
    try:
        kind = compile_expression(text).expression_type(names)
    except CelError as error:
        return error
    if kind.kind not in {"bool", "any"}:
        return CelError(f"this is a {kind}, neither true nor false: compare it with something", 0)
    return None


def _said(text: str, error: CelError, step: Step, found: Scopes) -> tuple[str, str]:
    """Return what is wrong with an expression and how to mend it; names that exist elsewhere are told apart."""
    where = "" if error.position is None else f" (column {error.position + 1})"
    message = str(error).removesuffix(f" of: {text}")
    what = f"`{text}`: {message}{where if 'column' not in message else ''}"
    for name, saver in found.saved_by.items():
        if f"undefined name `{name}`" in message:
            return what, _not_before(name, saver, step)
    return what, "mend the expression; names come from `inputs` and from `save` of the steps before"


def _not_before(name: str, saver: str, step: Step) -> str:
    if saver == step.id:
        return f"`{name}` is saved by this very step: read it in `next`, or save it in a step before"
    return f"`{name}` is saved by `{saver}`, which does not come before `{step.id}`: lead from one to the other"


def _unique(guide: Guide, found: Scopes, report: Report) -> None:
    seen: dict[str, str] = {}
    for step in guide.steps:
        for save in step.save:
            if save.name in found.inputs:
                what = f"`{save.name}` is an input and is saved by `{step.id}`"
                report.error("data.duplicate", save.line, what, "save it under another name")
            elif save.name in RESERVED:
                report.error(
                    "data.reserved", save.line, f"`{save.name}` has a meaning of its own", "choose another name"
                )
            elif save.name in seen:
                what = f"`{save.name}` is saved by `{seen[save.name]}` and by `{step.id}`"
                mend = "give each its own name: what counts would depend on which step finished last"
                report.error("data.duplicate", save.line, what, mend)
            seen.setdefault(save.name, step.id)


def _conditions(step: Step) -> Iterator[tuple[str, str]]:
    if "check" in step.lines:
        yield from (("check", route.when) for route in step.routes if route.when is not None)
    else:
        yield from ((f"next.{n}.when", route.when) for n, route in enumerate(step.routes) if route.when is not None)
    if isinstance(step.body, ToolBody) and step.body.until is not None:
        yield "until", step.body.until


def templates(step: Step) -> Iterator[tuple[str, object]]:
    """Yield the templates of a step, each with the path of its part."""
    body = step.body
    match body:
        case ToolBody():
            yield from ((f"with.{name}", value) for name, value in body.arguments.items())
            yield from (("every", body.every), ("within", body.within))
        case AskBody() | DecideBody():
            yield ("ask" if isinstance(body, AskBody) else "decide"), body.question
        case WaitBody():
            yield "wait", body.duration
        case ChangeBody():
            yield "change", body.title
            for index, operation in enumerate(body.operations):
                yield f"operations.{index}.target", operation.target
                yield f"operations.{index}.args", operation.args
            for index, expected in enumerate(body.expect):
                yield from ((f"expect.{index}.{key}", value) for key, value in expected.fields.items())
        case OutcomeBody():
            yield from (("says", body.says), ("cause.entity", body.entity))
            yield from ((f"rules_out.{mechanism}", text) for mechanism, text in body.rules_out)
        case _:
            return


def _check_names(step: Step, at: str, template: object, found: Scopes, report: Report) -> None:
    for text in malformed_in(template):
        mend = "write ${name} with a plain name; save what you need from a field under a name first"
        report.error("data.placeholder", step, f"`{text}` is no placeholder", mend, at=at)
    for name in sorted(names_in(template) - set(found.visible[step.id])):
        if name in found.saved_by:
            mend = _not_before(name, found.saved_by[name], step)
        else:
            mend = (
                f"add it to `inputs`, or `save` it before; known here are {', '.join(sorted(found.visible[step.id]))}"
            )
        report.error("data.undefined", step, f"`${{{name}}}` is not defined here", mend, at=at)


def _inputs(guide: Guide, found: Scopes, report: Report) -> None:
    before: set[str] = set()
    for declared in guide.inputs:
        for name in sorted(names_in(declared.default) - before):
            mend = "only inputs above it can be its default"
            report.error("data.undefined", declared.line, f"the default of `{declared.name}` reads `{name}`", mend)
        before.add(declared.name)
    for name in sorted(names_in(guide.detect) - set(found.inputs)):
        report.error("data.undefined", guide, f"`detect` reads `{name}`", "it can read inputs only", at="detect")


def _unused(guide: Guide, found: Scopes, report: Report) -> None:
    used = names_in(guide.detect) | {name for declared in guide.inputs for name in names_in(declared.default)}
    for step in guide.steps:
        used |= {name for _, template in templates(step) for name in names_in(template)}
        for text in [*(text for _, text in _conditions(step)), *(save.expression for save in step.save)]:
            used |= _names(text)
    for declared in guide.inputs:
        if declared.name not in used:
            what = f"the input `{declared.name}` is not used"
            report.error("data.unused_input", declared.line, what, "remove it, or use it")
    for step in guide.steps:
        for save in step.save:
            if save.name not in used and save.name not in found.inputs:
                report.warning("data.unused_name", save.line, f"`{save.name}` is saved and never read", "remove it")


def _names(text: str) -> frozenset[str]:
    try:
        return compile_expression(text).names
    except CelError:
        return frozenset()
