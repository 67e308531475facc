"""The linter finds each defect before the first call, with its line, the step, and how to mend it."""

from pathlib import Path

import pytest

from midwatch_contracts.surface import ToolSpec, surface
from midwatch_tsg.guide import library_folder
from midwatch_tsg.lint import lint_file, lint_text
from midwatch_tsg.problem import Problem

HEAD = """---
id: g
title: G
applies_to: {alerts: [A]}
inputs:
  service: {type: string, default: chat}
  limit: {type: duration, default: 2s}
  window: {type: duration, default: 5m}
---
Use it.

"""
"""Eleven lines and a blank one: the first section stands on line 12, its block's first line is 15."""


def section(step_id: str, block: str) -> str:
    """Return a section of four lines and the lines of its block."""
    return f"## {step_id}: Title of {step_id}\nProse.\n```step\n{block}```\n"


QUERY = "tool: metrics_query\nwith: {query: 'max(x_seconds{service=\"${service}\"})'}\n"
GOOD_FIRST = section(
    "first",
    f"{QUERY}save: {{reading: 'result.series[0].value'}}\nno_data: lost\nnext:\n"
    "  - {when: 'reading > limit', go: bad}\n  - {else: fine}\n",
)
WINDOW = section(
    "course",
    "tool: metrics_range\nwith: {query: 'max(x_seconds{service=\"${service}\"})', duration: '${window}s'}\n"
    "save: {top: 'result.series[0].max'}\nno_data: first\n"
    "next:\n  - {when: 'top > limit', go: first}\n  - {else: fine}\n",
)
ENDS = (
    section(
        "bad",
        "outcome: cause\ncause: {mechanism: serving.capacity, entity: 'Service/llm/${service}', confidence: likely}\n"
        "evidence: first\nsays: ${reading}\n",
    )
    + section("fine", "outcome: healthy\nsays: fine\n")
    + section("lost", "outcome: escalate\nsays: lost\n")
)
GOOD = HEAD + WINDOW + GOOD_FIRST + ENDS


def tool(name: str, result: dict[str, object], *, read_only: bool = True) -> ToolSpec:
    number_or_text = {"anyOf": [{"type": "number"}, {"type": "string"}]}
    labels = {"type": "object", "additionalProperties": {"type": "string"}}
    sample = {"type": "object", "properties": {"labels": labels, "value": number_or_text, "max": {"type": "number"}}}
    given = {
        "query": {"type": "string"},
        "duration": {"type": "string"},
        "time": {"anyOf": [{"type": "number"}, {"type": "null"}]},
        "kind": {"enum": ["Deployment", "Pod"], "type": "string"},
    }
    return ToolSpec(
        name=name,
        server="metrics",
        title=name,
        description=name,
        input_schema={"type": "object", "properties": given, "required": ["query"]},
        output_schema={
            "type": "object",
            "$defs": {"Sample": sample},
            "properties": {"summary": {"type": "string"}, "data": {"type": "object", "properties": result}},
        },
        read_only=read_only,
        destructive=False,
        idempotent=True,
        open_world=False,
        cost="low",
    )


SERIES: dict[str, object] = {"series": {"type": "array", "items": {"$ref": "#/$defs/Sample"}}}
SURFACE = {
    spec.name: spec
    for spec in (
        tool("metrics_query", SERIES),
        tool("metrics_range", SERIES),
        tool(
            "kube_rollout",
            {"ready": {"type": "integer"}, "age_s": {"type": "number"}, "size_bytes": {"type": "number"}},
        ),
        tool("change_apply", {}, read_only=False),
    )
}


def lint(text: str) -> list[Problem]:
    return lint_text(text, "g.md", SURFACE)[1]


def errors(text: str) -> list[Problem]:
    return [problem for problem in lint(text) if problem.severity == "error"]


def test_a_sound_guide_passes() -> None:
    assert lint(GOOD) == []


def changed(old: str, new: str) -> str:
    assert GOOD.count(old) >= 1
    return GOOD.replace(old, new, 1)


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


@pytest.mark.parametrize(
    ("text", "rule", "at", "what", "mend"),
    [
        (
            GOOD.replace("  - {else: fine}\n```\n## bad", "  - {else: course}\n```\n## bad"),
            "flow.cycle",
            "next:\n  - {when: 'reading",
            "course → first → course",
            "remove the way from `first` back",
        ),
        (
            changed("- {else: fine}", "- {else: fnie}"),
            "flow.dangling",
            "next:",
            "`fnie` is no step",
            "did you mean `fine`",
        ),
        (changed("  - {else: fine}\n", ""), "flow.missing_else", "next:", "has conditions and no `else`", "else: STEP"),
        (
            changed("  - {else: fine}\n", "  - {else: fine}\n  - {else: first}\n"),
            "flow.two_else",
            "  - {else: first}",
            "two `else`",
            "keep one",
        ),
        (
            changed("  - {else: fine}\n", "  - {when: 'top > limit', go: fine}\n  - {else: fine}\n"),
            "flow.duplicate_when",
            "  - {when: 'top > limit', go: fine}",
            "stands twice",
            "remove the second",
        ),
        (
            changed("go: first", "go: [first, first]"),
            "flow.duplicate_edge",
            "  - {when",
            "to `first` twice",
            "name it once",
        ),
        (
            GOOD + section("extra", "wait: 1s\nnext: fine\n"),
            "flow.unreachable",
            "wait: 1s",
            "`extra` is never reached",
            "the start is `course`",
        ),
        (
            GOOD + section("extra", "wait: 1s\n"),
            "flow.dead_end",
            "wait: 1s",
            "`extra` leads nowhere",
            "an outcome",
        ),
        (
            HEAD + section("a", "wait: ${window}\nnext: b\n") + section("b", "wait: ${limit}\nnext: a\n"),
            "flow.no_outcome",
            "---",
            "has no outcome",
            "outcome: cause",
        ),
        (
            changed("outcome: healthy\nsays: fine\n", "join: 4\noutcome: healthy\nsays: fine\n"),
            "flow.join",
            "join: 4",
            "needs 4 of 2 ways in",
            "up to 2",
        ),
        (
            changed("metrics_query", "metrics_qurey"),
            "tool.unknown",
            "tool: metrics_qurey",
            "no tool",
            "mean metrics_query",
        ),
        (
            changed("metrics_query", "change_apply"),
            "tool.changes",
            "tool: change_apply",
            "changes things",
            "`change` step",
        ),
        (
            changed("duration: '${window}s'", "duraton: '${window}s'"),
            "tool.argument",
            "with:",
            "no argument `duraton`",
            "did you mean `duration`",
        ),
        (
            changed("{query: 'max(x_seconds{service=\"${service}\"})', duration", "{duration"),
            "tool.argument",
            "with:",
            "needs the argument `query`",
            "add `query: …`",
        ),
        (
            changed("duration: '${window}s'", "duration: '${window}'"),
            "tool.argument",
            "with:",
            "must be a string, not `${window}`",
            "of that type",
        ),
        (
            changed("duration: '${window}s'", "duration: '${window}s', kind: Service"),
            "tool.argument",
            "with:",
            'must be one of "Deployment", "Pod"',
            "of that type",
        ),
        (
            changed("no_data: first\n", ""),
            "tool.no_data",
            "tool: metrics_range",
            "where no data leads",
            "no_data: STEP",
        ),
        (
            changed("result.series[0].max", "result.serie[0].max"),
            "data.expression",
            "save:",
            "no field `serie`",
            "mend",
        ),
        (changed("'top > limit'", "'top >'"), "data.expression", "  - {when: 'top >'", "no CEL at '>'", "mend"),
        (changed("'top > limit'", "'top'"), "data.expression", "  - {when: 'top'", "neither true nor false", "mend"),
        (
            changed("'top > limit'", "'reading > limit'"),
            "data.expression",
            "  - {when: 'reading > limit', go: first}",
            "undefined name `reading`",
            "is saved by `first`, which does not come before `course`",
        ),
        (changed("'top > limit'", "'topp > limit'"), "data.expression", "  - {when: 'topp", "known are top", "mend"),
        (
            changed("says: ${reading}", "says: ${top} ${nothing}"),
            "data.undefined",
            "says: ${top}",
            "`${nothing}`",
            "inputs",
        ),
        (
            changed("says: ${reading}", "says: ${Reading}"),
            "data.placeholder",
            "says: ${Reading}",
            "no placeholder",
            "plain",
        ),
        (
            changed("save: {reading:", "save: {top:").replace("'reading > limit'", "'top > limit'"),
            "data.duplicate",
            "save: {top: 'result.series[0].value'}",
            "by `course` and by `first`",
            "its own name",
        ),
        (
            changed("save: {top:", "save: {limit:"),
            "data.duplicate",
            "save: {limit:",
            "is an input and is saved",
            "another",
        ),
        (
            changed("save: {top:", "save: {value:"),
            "data.reserved",
            "save: {value:",
            "has a meaning of its own",
            "another name",
        ),
        (
            changed("  window: {type", "  spare: {type: number, default: 1}\n  window: {type"),
            "data.unused_input",
            "  spare:",
            "`spare` is not used",
            "remove it",
        ),
        (
            changed("default: 5m", "default: '${later}'"),
            "data.undefined",
            "  window:",
            "the default of `window` reads `later`",
            "only inputs above it",
        ),
        (
            changed("max(x_seconds", "max(x_bytes"),
            "data.expression",
            "  - {when: 'top",
            "mixes bytes and seconds",
            "mend",
        ),
        (changed("max(x_seconds{", "maxx(x_seconds{"), "query.promql", "with:", "no PromQL", "mend the query"),
        (
            changed('max(x_seconds{service="${service}"})', "max(x_seconds{service=${service}})"),
            "query.placeholder",
            "with:",
            "is a string",
            "put strings in quotes",
        ),
        (
            changed('max(x_seconds{service="${service}"})', 'sum(x_total{service="${service}"})'),
            "query.lifetime_total",
            "with:",
            "the counter `x_total` is read as a lifetime total",
            "increase(x_total[5m])",
        ),
        (
            changed("mechanism: serving.capacity", "mechanism: serving.kv_cache_too_smal"),
            "outcome.mechanism",
            "cause:",
            "unknown mechanism",
            "serving.kv_cache_too_small",
        ),
        (changed("Service/llm/${service}", "${service} in llm"), "outcome.entity", "cause:", "is no entity", "Kind/"),
        (
            changed("evidence: first", "evidence: frist"),
            "outcome.evidence",
            "evidence: frist",
            "`frist` is no step",
            "name",
        ),
        (
            changed("evidence: first", "evidence: fine"),
            "outcome.evidence",
            "evidence: fine",
            "calls no tool",
            "measured",
        ),
        (
            changed("evidence: first\n", ""),
            "outcome.evidence",
            "outcome: cause",
            "cites no evidence",
            "evidence: [steps]",
        ),
        (
            changed("says: fine\n", "says: fine\nevidence: [first, late]\n").replace(
                "- {else: fine}\n```\n## bad", "- {else: fine}\n  - {when: 'reading < 0', go: late}\n```\n## bad"
            )
            + section("late", "tool: kube_rollout\nwith: {query: x}\nnext: lost\n"),
            "outcome.evidence",
            "evidence: [first, late]",
            "`late` does not come before `fine`",
            "lead here",
        ),
    ],
)
def test_each_defect_is_an_error_with_its_line_and_mend(text: str, rule: str, at: str, what: str, mend: str) -> None:
    found = [problem for problem in errors(text) if problem.rule == rule]
    assert found, lint(text)
    assert any(
        what in problem.what and mend in problem.mend and problem.line == line_of(text, at) for problem in found
    ), [(str(problem), line_of(text, at)) for problem in found]


EXPECT = (
    "expect:\n  - promql: 'max(x_seconds{service=\"${service}\"})'\n    holds: 'value < ${limit}'\n"
    "    within: '${window}'\n    hold: 30s\n"
)
OPERATIONS = (
    "operations:\n"
    "  - {op: scale, target: {kind: Deployment, namespace: llm, name: '${service}'}, args: {replicas: 3}}\n"
)
NO_ENTITY = "  - {object: 'llm', cel: 'true', within: 1m, hold: 0s}\n"


def with_change(block: str) -> str:
    return changed("go: bad}", "go: fix}").replace("## bad", section("fix", block) + "## bad")


def test_a_change_with_expectation_and_undo_passes() -> None:
    assert lint(with_change(f"change: More\n{OPERATIONS}{EXPECT}evidence: first\nundo: automatic\nnext: bad\n")) == []


@pytest.mark.parametrize(
    ("block", "rule", "at", "what"),
    [
        (
            f"change: More\n{OPERATIONS}undo: automatic\nnext: bad\n",
            "change.no_expectation",
            "change:",
            "expects nothing",
        ),
        (
            f"change: More\n{OPERATIONS}{EXPECT}next: bad\n",
            "change.no_undo",
            "change:",
            "does not say how it is undone",
        ),
        (f"change: M\n{OPERATIONS}{EXPECT}undo: none\nnext: bad\n", "change.undo", "undo:", "`scale` can be undone"),
        (
            f"change: M\n{OPERATIONS.replace('scale', 'delete')}{EXPECT}undo: automatic\nnext: bad\n",
            "change.undo",
            "  - {op: delete",
            "`delete` cannot be undone",
        ),
        (
            f"change: M\n{OPERATIONS.replace('scale', 'fix_it')}{EXPECT}undo: automatic\nnext: bad\n",
            "change.operation",
            "  - {op: fix_it",
            "`fix_it` is no operation",
        ),
        (f"change: M\n{OPERATIONS}{EXPECT}undo: automatic\nnext: fine\n", "change.leads", "next: fine", "no cause"),
        (
            f"change: M\n{OPERATIONS}{EXPECT.replace('x_seconds', 'x_bytes')}undo: automatic\nnext: bad\n",
            "change.condition",
            "    holds:",
            "mixes bytes and seconds",
        ),
        (
            f"change: M\n{OPERATIONS}{EXPECT.replace('value <', 'valu <')}undo: automatic\nnext: bad\n",
            "change.condition",
            "    holds:",
            "undefined name `valu`",
        ),
        (
            f"change: M\n{OPERATIONS}{EXPECT.replace('hold: 30s', 'hold: 30')}undo: automatic\nnext: bad\n",
            "data.duration",
            "    hold: 30",
            "no duration",
        ),
        (
            f"change: M\n{OPERATIONS}{EXPECT}{NO_ENTITY}undo: automatic\nnext: bad\n",
            "change.object",
            "  - {object",
            "'llm' is no entity",
        ),
    ],
)
def test_each_defect_of_a_change_is_an_error(block: str, rule: str, at: str, what: str) -> None:
    text = with_change(block)
    found = [problem for problem in errors(text) if problem.rule == rule]
    expected = text[: text.index(at, text.index("## fix"))].count("\n") + 1
    assert any(what in problem.what and problem.line == expected for problem in found), lint(text)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (changed("Prose.\n", ""), "clarity.no_prose"),
        (changed("Title of first", "Title of course"), "clarity.same_title"),
        (changed("Title of first", "Restart it if necessary"), "clarity.vague"),
        (changed("Title of first", "T" * 81), "clarity.long_title"),
        (changed("applies_to: {alerts: [A]}\n", ""), "presentation.applies_to"),
        (changed("Use it.\n", ""), "presentation.prose"),
        (changed("confidence: likely", "confidence: certain"), "outcome.confidence"),
        (
            changed('max(x_seconds{service="${service}"})', 'max_over_time(x_seconds{a="${service}"}[5m])'),
            "query.fixed_window",
        ),
        (changed('max(x_seconds{service="${service}"})', "max(x_seconds)"), "query.no_matcher"),
        (changed('max(x_seconds{service="${service}"})', 'rate(x{a="${service}"}[${window}])'), "query.shape"),
        (
            changed("says: ${reading}", "says: high").replace(
                "save: {top", "save: {spare: 'result.series[0].max', top"
            ),
            "data.unused_name",
        ),
    ],
)
def test_a_mentor_warns_and_lets_pass(text: str, rule: str) -> None:
    found = [problem for problem in lint(text) if problem.rule == rule]
    assert found
    assert {problem.severity for problem in found} == {"warning"}
    assert errors(text) == []


@pytest.mark.parametrize("path", sorted(library_folder().glob("*.md")), ids=lambda path: path.stem)
def test_the_library_passes_against_the_reviewed_surface_without_a_warning(path: Path) -> None:
    assert [str(problem) for problem in lint_file(path, surface())[1]] == []
