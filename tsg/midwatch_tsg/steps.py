"""From the YAML of one `step` block to a typed step."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from midwatch_tsg.fields import NAME, Fields, Problems
from midwatch_tsg.model import (
    AskBody,
    Body,
    ChangeBody,
    CheckBody,
    DecideBody,
    ExpectDraft,
    Join,
    Kind,
    OnError,
    OperationDraft,
    OutcomeBody,
    Retries,
    Route,
    Save,
    Step,
    ToolBody,
    Verdict,
    WaitBody,
)
from midwatch_tsg.strict_yaml import Document

if TYPE_CHECKING:
    from midwatch_contracts.causes import Confidence

_KINDS: tuple[str, ...] = ("tool", "check", "decide", "ask", "change", "wait", "outcome")
_MAX_RETRIES = 10


def build(step_id: str, title: str, prose: str, document: Document, problems: Problems) -> Step | None:
    """Return the step of one block, or None when it is beyond reading; problems are collected."""
    problems.step = step_id
    fields = Fields(document, (), problems)
    kind = _kind(fields)
    if kind is None:
        return None
    body = _BODIES[kind](fields)
    if isinstance(body, ToolBody) and body.until is not None:
        kind = "until"
    retries = fields.raw("retries")
    step = Step(
        id=step_id,
        title=title,
        kind=cast("Kind", kind),
        line=fields.line(),
        body=body,
        routes=_routes(fields, kind),
        no_data=() if kind == "outcome" else fields.names("no_data"),
        save=_saves(fields),
        join=_join(fields),
        timeout_s=fields.seconds("timeout"),
        retries=Retries() if retries is None else _retries(fields, retries),
        on_error=cast("OnError", fields.choice("on_error", ("fail", "continue", "escalate"), "fail")),
        prose=prose,
        lines=fields.lines(),
    )
    fields.done()
    problems.step = None
    return step


def _kind(fields: Fields) -> str | None:
    if "guide" in fields:
        fields.problem(
            "step.sub_guide", "sub-guides cannot be run yet", "put the steps of the other guide into this one", "guide"
        )
        return None
    found = [kind for kind in _KINDS if kind in fields]
    if len(found) == 1:
        return found[0]
    what = f"a step is one of {', '.join(_KINDS)}" + (f"; this has {' and '.join(found)}" if found else "")
    fields.problem("step.kind", what, "keep one of them" if found else "say what it does, as in `tool: metrics_query`")
    return None


def _tool(fields: Fields) -> ToolBody:
    arguments = fields.raw("with")
    if arguments is not None and not isinstance(arguments, dict):
        fields.problem(
            "step.field_type", "`with` must hold the tool's arguments", "write `with: {name: value}`", "with"
        )
        arguments = None
    until = fields.text("until")
    every, within = fields.raw("every"), fields.raw("within")
    if until is not None and (every is None or within is None):
        fields.problem("step.until", "`until` needs `every` and `within`", "add `every: 2s` and `within: 60s`", "until")
    return ToolBody(fields.text("tool") or "", cast("dict[str, Any]", arguments or {}), until, every, within)


def _check(fields: Fields) -> CheckBody:
    return CheckBody(fields.text("check") or "false")


def _decide(fields: Fields) -> DecideBody:
    if fields.choice("by", ("code", "model"), "code") == "model":
        fields.problem("step.by_model", "deciding by a model is not available yet", "write `when` conditions", "by")
    return DecideBody(fields.text("decide") or "")


def _ask(fields: Fields) -> AskBody:
    options = fields.strings("options")
    if len(options) < 2 or len(set(options)) != len(options):  # noqa: PLR2004 (a choice needs two)
        fields.problem("step.options", "`ask` needs two options or more, each once", "add `options: [yes, no]`", "ask")
    return AskBody(fields.text("ask") or "", options)


def _wait(fields: Fields) -> WaitBody:
    return WaitBody(fields.raw("wait"))


def _change(fields: Fields) -> ChangeBody:
    raw = fields.raw("operations")
    count = len(cast("list[Any]", raw)) if isinstance(raw, list) else 0
    if not count:
        fields.problem("change.no_operation", "a change needs `operations`", "list what it would do", "operations")
    operations: list[OperationDraft] = []
    for index in range(count):
        operation = fields.inner("operations", index)
        name = operation.text("op", required=True) or ""
        target, args = operation.raw("target"), operation.raw("args")
        if not isinstance(target, dict):
            operation.problem(
                "change.target", "an operation needs a `target`", "write `target: {kind, namespace, name}`"
            )
        operations.append(
            OperationDraft(
                name,
                cast("dict[str, Any]", target) if isinstance(target, dict) else {},
                cast("dict[str, Any]", args) if isinstance(args, dict) else {},
                operation.line(),
            )
        )
        operation.done()
    undo = fields.choice("undo", ("automatic", "none"))
    return ChangeBody(
        fields.text("change") or "", tuple(operations), _expectations(fields), fields.names("evidence"), undo
    )


def _expectations(fields: Fields) -> tuple[ExpectDraft, ...]:
    raw = fields.raw("expect")
    drafts: list[ExpectDraft] = []
    for index in range(len(cast("list[Any]", raw)) if isinstance(raw, list) else 0):
        inner = fields.inner("expect", index)
        wanted = {key: inner.raw(key) for key in ("promql", "holds", "object", "cel", "within", "hold", "no_data")}
        given = {key: value for key, value in wanted.items() if value is not None}
        pair = {key for key in given if key in {"promql", "holds", "object", "cel"}}
        if pair not in ({"promql", "holds"}, {"object", "cel"}):
            inner.problem(
                "change.expect", "an expectation is `promql` with `holds`, or `object` with `cel`", "write one pair"
            )
        for key in ("within", "hold"):
            if key not in given:
                inner.problem("change.expect", f"an expectation needs `{key}`", f"add `{key}: 30s`")
        inner.choice("no_data", ("fail", "wait"))
        inner.done()
        drafts.append(ExpectDraft(given, inner.line()))
    return tuple(drafts)


def _outcome(fields: Fields) -> OutcomeBody:
    verdict = cast("Verdict", fields.choice("outcome", ("cause", "healthy", "escalate"), "escalate"))
    says = fields.text("says", required=True) or ""
    evidence = fields.names("evidence")
    rules_out: list[tuple[str, str]] = []
    if "rules_out" in fields:
        inner = fields.inner("rules_out")
        rules_out = [(key, inner.text(key) or "") for key in inner.keys()]  # noqa: SIM118 (not a dict)
    if verdict != "cause":
        if "cause" in fields:
            fields.problem(
                "outcome.cause", f"`{verdict}` names no cause", "write `outcome: cause`, or drop it", "cause"
            )
            fields.raw("cause")
        return OutcomeBody(verdict, says, evidence=evidence, rules_out=tuple(rules_out))
    if "cause" not in fields:
        fields.problem(
            "outcome.cause", "the cause is missing", "add `cause: {mechanism, entity, confidence}`", "outcome"
        )
        return OutcomeBody(verdict, says, evidence=evidence, rules_out=tuple(rules_out))
    cause = fields.inner("cause")
    confidence = cause.choice("confidence", ("certain", "likely", "possible"), "possible")
    mechanism, entity = cause.text("mechanism", required=True), cause.text("entity", required=True)
    cause.done()
    return OutcomeBody(verdict, says, mechanism, entity, cast("Confidence", confidence), evidence, tuple(rules_out))


_BODIES: dict[str, Callable[[Fields], Body]] = {
    "tool": _tool,
    "check": _check,
    "decide": _decide,
    "ask": _ask,
    "wait": _wait,
    "change": _change,
    "outcome": _outcome,
}


def _routes(fields: Fields, kind: str) -> tuple[Route, ...]:
    if kind == "check":
        return _check_routes(fields)
    raw = fields.raw("next")
    if raw is None:
        return ()
    if kind == "outcome":
        fields.problem("outcome.next", "an outcome is an end and leads nowhere", "remove `next`", "next")
        return ()
    items = cast("list[Any]", raw) if isinstance(raw, list) else [raw]
    if not any(isinstance(item, dict) for item in items):
        return (Route(None, fields.step_ids(raw, "next"), fields.line("next")),)
    return tuple(route for index in range(len(items)) if (route := _route(fields, index)) is not None)


def _check_routes(fields: Fields) -> tuple[Route, ...]:
    for key in ("then", "else"):
        if key not in fields:
            fields.problem("flow.missing_else", f"`check` has no `{key}`", f"add `{key}: STEP`", "check")
    condition = fields.text("check") or "false"
    yes, no = fields.names("then"), fields.names("else")
    return (Route(condition, yes, fields.line("then"), "yes"), Route(None, no, fields.line("else"), "no"))


def _route(fields: Fields, index: int) -> Route | None:
    inner = fields.inner("next", index)
    when, other, option = inner.text("when"), inner.raw("else"), inner.text("option")
    if (when is None) == (other is None):
        inner.problem(
            "flow.route", "an entry of `next` is `{when, go}` or `{else: STEP}`", "give it one of the two, not both"
        )
        return None
    if when is None:
        inner.done()
        return Route(None, inner.step_ids(other, "else"), inner.line(), option)
    go = inner.names("go")
    if not go:
        inner.problem("flow.route", "`when` leads nowhere", "add `go: STEP`, or a list of steps to run at once")
    inner.done()
    return Route(when, go, inner.line(), option)


def _saves(fields: Fields) -> tuple[Save, ...]:
    raw = fields.raw("save")
    if raw is None:
        return ()
    inner = fields.inner("save")
    saves: list[Save] = []
    for name in inner.keys():  # noqa: SIM118 (not a dict)
        expression = inner.text(name)
        if not NAME.fullmatch(name) or name == "result":
            inner.problem("data.name", f"`{name}` is no name to save under", "use lower-case letters, digits, _", name)
        elif expression is not None:
            saves.append(Save(name, expression, inner.line(name)))
    return tuple(saves)


def _join(fields: Fields) -> Join:
    value = fields.raw("join")
    if value is None:
        return "any"
    if value in ("any", "all") or (isinstance(value, int) and not isinstance(value, bool) and value > 0):
        return value
    fields.problem("flow.join", f"`join` is {value!r}", "write any, all or a number of one and more", "join")
    return "any"


def _retries(fields: Fields, raw: Any) -> Retries:
    if isinstance(raw, int) and not isinstance(raw, bool):
        more, backoff = raw, 1.0
    elif isinstance(raw, dict):
        inner = fields.inner("retries")
        more, backoff = inner.raw("more"), inner.seconds("backoff") or 1.0
        inner.done()
    else:
        more, backoff = None, 1.0
    if not isinstance(more, int) or isinstance(more, bool) or not 0 <= more <= _MAX_RETRIES:
        fields.problem(
            "step.retries",
            f"`retries` is {raw!r}",
            f"write 0 to {_MAX_RETRIES}, or {{more: 2, backoff: 1s}}",
            "retries",
        )
        return Retries()
    return Retries(more, backoff)
