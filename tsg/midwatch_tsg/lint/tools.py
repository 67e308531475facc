"""Tool calls: known tools, their arguments, the queries among them, and where a missing reading leads."""

import difflib
import json
from collections.abc import Mapping
from typing import Any, cast

from midwatch_contracts.cel import Type
from midwatch_contracts.errors import ContractError, PromqlError
from midwatch_contracts.promql import Call, Expr, children, parse
from midwatch_contracts.surface import ToolSpec
from midwatch_contracts.times import parse_duration
from midwatch_tsg.errors import TemplateError
from midwatch_tsg.execute import is_promql
from midwatch_tsg.lint.report import Report
from midwatch_tsg.model import Guide, Step, ToolBody, WaitBody
from midwatch_tsg.scope import Scopes, sample, sample_query
from midwatch_tsg.templates import names_in, placeholders, render_value

READINGS = frozenset({"metrics_query", "metrics_range", "metrics_compare", "metrics_burn", "metrics_outliers"})
"""Tools that read metrics, whose answer may be no data."""
_OVER_TIME = frozenset({"rate", "increase", "irate", "delta", "idelta", "changes", "resets", "absent_over_time"})
_KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


def check_tools(guide: Guide, surface: Mapping[str, ToolSpec], found: Scopes, report: Report) -> None:
    """Check every step that calls a tool, and every duration."""
    for step in guide.steps:
        names = found.visible[step.id]
        if isinstance(step.body, ToolBody):
            _check_tool(step, step.body, surface, names, report)
            check_duration(step, "every", step.body.every, names, report)
            check_duration(step, "within", step.body.within, names, report)
        elif isinstance(step.body, WaitBody):
            check_duration(step, "wait", step.body.duration, names, report)
    if guide.detect is not None:
        line = guide.lines.get("detect.promql", guide.lines.get("detect", 1))
        check_query(guide.detect, found.inputs, line, report)


def _check_tool(
    step: Step, body: ToolBody, surface: Mapping[str, ToolSpec], names: Mapping[str, Type], report: Report
) -> None:
    tool = surface.get(body.tool)
    if tool is None:
        near = difflib.get_close_matches(body.tool, surface, n=3)
        mend = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(sorted(surface)) or 'no tools'}"
        report.error("tool.unknown", step, f"there is no tool `{body.tool}`", mend, at="tool")
        return
    if not tool.read_only:
        mend = "draft it in a `change` step: a run of a guide applies nothing"
        report.error("tool.changes", step, f"`{body.tool}` changes things", mend, at="tool")
    _check_arguments(step, body, tool, names, report)
    for name, value in body.arguments.items():
        if is_promql(body.tool, name) and isinstance(value, str):
            check_query(value, names, step.line_of(f"with.{name}"), report)
    if body.tool in READINGS and not step.no_data:
        mend = "add `no_data: STEP`; to go on without the reading, name the next step there"
        report.error("tool.no_data", step, f"`{step.id}` reads a metric and does not say where no data leads", mend)


def _check_arguments(step: Step, body: ToolBody, tool: ToolSpec, names: Mapping[str, Type], report: Report) -> None:
    properties = cast("dict[str, dict[str, Any]]", tool.input_schema.get("properties") or {})
    for name in body.arguments:
        if name not in properties:
            near = difflib.get_close_matches(name, properties, n=1)
            mend = f"did you mean `{near[0]}`?" if near else f"it takes {', '.join(properties) or 'none'}"
            report.error("tool.argument", step, f"`{tool.name}` has no argument `{name}`", mend, at=f"with.{name}")
    for name in cast("list[str]", tool.input_schema.get("required") or []):
        if name not in body.arguments:
            what = f"`{tool.name}` needs the argument `{name}`"
            report.error("tool.argument", step, what, f"add `{name}: …` under `with`", at="with")
    definitions = cast("dict[str, Any]", tool.input_schema.get("$defs") or {})
    for name, value in body.arguments.items():
        if name in properties and names_in(value) <= set(names):
            wanted = _misfit(_sampled(value, names), properties[name], definitions)
            if wanted is not None:
                what = f"`{name}` of `{tool.name}` must be {wanted}, not `{value}`"
                report.error("tool.argument", step, what, "write a value of that type", at=f"with.{name}")


def _sampled(value: Any, names: Mapping[str, Type]) -> Any:
    """Return an argument with a sample of each name put in; None where the type of a name is not known."""
    used = names_in(value)
    if any(names[name].kind == "any" for name in used):
        return None
    try:
        return render_value(value, {name: sample(names[name]) for name in used})
    except TemplateError:
        return None


def _misfit(value: Any, schema: dict[str, Any], definitions: dict[str, Any]) -> str | None:
    """Return what a value should be, when it plainly does not fit a schema: its type, or its closed set."""
    if value is None:
        return None
    options = schema.get("anyOf")
    if isinstance(options, list):
        misfits = [_misfit(value, option, definitions) for option in cast("list[dict[str, Any]]", options)]
        return None if None in misfits else " or ".join(dict.fromkeys(text for text in misfits if text))
    reference = schema.get("$ref")
    if isinstance(reference, str):
        return _misfit(value, definitions.get(reference.rsplit("/", 1)[-1], {}), definitions)
    choices = schema.get("enum") or ([schema["const"]] if "const" in schema else None)
    if choices is not None and value != "sample":
        return None if value in choices else "one of " + ", ".join(json.dumps(choice) for choice in choices)
    kind = schema.get("type")
    if not isinstance(kind, str) or kind not in _KINDS:
        return None
    fits = isinstance(value, _KINDS[kind]) and (kind == "boolean" or not isinstance(value, bool))
    return None if fits else f"a {kind}" if kind != "null" else "null"


def check_query(template: str, names: Mapping[str, Type], line: int, report: Report) -> Expr | None:
    """Check a PromQL template with samples of its names put in; return the query, or None when it does not parse."""
    for found in placeholders(template):
        kind = names.get(found.name)
        if kind is not None and found.place == "range" and kind.kind == "number" and kind.unit not in {None, "seconds"}:
            mend = "put a duration there"
            report.error("query.unit", line, f"`[${{{found.name}}}]` is a {kind}, not a duration", mend)
    if not {found.name for found in placeholders(template)} <= set(names):
        return None  # reported as undefined
    try:
        query = parse(sample_query(template, names))
    except TemplateError as error:
        report.error(
            "query.placeholder", line, str(error), "put strings in quotes, durations in [ ] and numbers outside"
        )
        return None
    except PromqlError as error:
        where = "" if error.position is None else f" (near character {error.position + 1})"
        report.error("query.promql", line, f"no PromQL: {error}{where}", "mend the query: try it in the metrics server")
        return None
    for metric in lifetime_counters(query):
        mend = f"read it over a window, as in increase({metric}[5m]): a lifetime total says nothing about now"
        report.error("query.lifetime_total", line, f"the counter `{metric}` is read as a lifetime total", mend)
    return query


def lifetime_counters(query: Expr, *, windowed: bool = False) -> list[str]:
    """Return the counters that a query reads outside of a window."""
    name = getattr(query, "name", None)
    if isinstance(name, str):
        counted = name.endswith(("_total", "_bucket", "_sum")) and not windowed
        return [name] if counted else []
    inside = windowed or (isinstance(query, Call) and query.function in _OVER_TIME)
    return [metric for child in children(query) for metric in lifetime_counters(child, windowed=inside)]


def check_duration(step: Step, at: str, raw: Any, names: Mapping[str, Type], report: Report) -> None:
    """Check a duration that is written out, or an input that stands for one."""
    if raw is None:
        return
    used = names_in(raw)
    if used:
        kind = names.get(next(iter(used)))
        if kind is not None and (kind.kind not in {"number", "any"} or kind.unit not in {None, "seconds"}):
            report.error("data.unit", step, f"`{at}: {raw}` is a {kind}, not a duration", "use a duration", at=at)
        return
    try:
        parse_duration(str(raw))
    except ContractError as error:
        report.error("data.duration", step, f"`{at}`: {error}", "write a duration with its unit", at=at)
