"""An input can never break out of the place where a guide puts it."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midwatch_contracts.cel import NO_DATA, compile_expression
from midwatch_contracts.promql import VectorSelector, parse
from midwatch_tsg.errors import TemplateError
from midwatch_tsg.templates import (
    malformed_in,
    names_in,
    placeholders,
    render_cel,
    render_promql,
    render_text,
    render_value,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(TEXT, st.sampled_from("\"'"))
def test_a_string_in_a_query_stays_one_string(value: str, quote: str) -> None:
    query = parse(render_promql(f"up{{a={quote}${{x}}{quote},b={quote}-${{x}}-{quote}}}", {"x": value}))
    assert isinstance(query, VectorSelector)
    assert [matcher.value for matcher in query.matchers] == [value, f"-{value}-"]


@given(TEXT)
def test_a_string_in_a_pattern_matches_itself_alone(value: str) -> None:
    query = parse(render_promql('up{a=~"${x}-.*"}', {"x": value}))
    assert isinstance(query, VectorSelector)
    escaped = "".join("\\" + c if c in "\\.+*?()|[]{}^$" else c for c in value)
    assert query.matchers[0].value == escaped + "-.*"


@settings(deadline=None)  # the first expression imports cel-python
@given(st.text() | st.floats(allow_nan=False, allow_infinity=False) | st.booleans())
def test_a_value_in_an_expression_is_a_literal_of_its_type(value: str | float | bool) -> None:  # noqa: FBT001 (a value)
    if isinstance(value, str) and any(0xD800 <= ord(c) <= 0xDFFF for c in value):
        return
    assert compile_expression(render_cel("a == ${x}", {"x": value})).evaluate({"a": value}) is True


@pytest.mark.parametrize(
    ("template", "value", "expected"),
    [
        ("rate(x[${w}])", 20.0, "rate(x[20s])"),
        ("rate(x[${w}])", 90.5, "rate(x[1m30s500ms])"),
        ("x > ${w}", 2.0, "x > 2"),
        ("x > ${w}", -2.5, "x > (-2.5)"),
        ("x{a='[${w}]'}", "]", "x{a='[]]'}"),
        ("x offset ${w}", 5.0, "x offset 5"),
        ("x > $${w}", 1.0, "x > ${w}"),
        ("x # ${w}\n> ${w}", 1.0, "x # ${w}\n> 1"),
    ],
)
def test_a_query_is_written_by_the_place_of_its_values(template: str, value: Any, expected: str) -> None:
    assert render_promql(template, {"w": value}) == expected


@pytest.mark.parametrize(
    ("template", "value", "message"),
    [
        ("rate(x[${w}])", 0.0, "a range must be longer than nothing"),
        ("rate(x[${w}])", "5m", "is a string and stands where PromQL needs a number"),
        ("x > ${w}", "1 or up", "put a string in"),
        ("x > ${w}", True, "needs a number"),
        ("x > ${w}", float("inf"), "needs a number"),
        ('x{a="${w}"}', 1.0, "is no string and stands in quotes"),
        ("x{a=`${w}`}", "a", "stands in backticks"),
        ("${w}", NO_DATA, "is no data"),
        ("${v}", 1.0, "has no value: known are w"),
        ('x{a="${w}"}', "\ud800", "lone surrogate"),
    ],
)
def test_a_value_that_does_not_fit_its_place_in_a_query_is_refused(template: str, value: Any, message: str) -> None:
    with pytest.raises(TemplateError, match=message):
        render_promql(template, {"w": value})


def test_a_value_in_quotes_of_an_expression_is_refused() -> None:
    with pytest.raises(TemplateError, match="stands in quotes"):
        render_cel("a == '${x}'", {"x": "b"})
    with pytest.raises(TemplateError, match="has no literal"):
        render_cel("a == ${x}", {"x": [1.0]})


def test_arguments_keep_the_type_of_a_lone_value_and_join_text_otherwise() -> None:
    values = {"n": 3.0, "s": "chat", "f": 1.5, "gone": None, "l": ["a"], "flag": "--x"}
    template = {
        "a": "${n}",
        "b": "Pod/llm/${s}",
        "c": ["${f}", "${n}s"],
        "d": "${gone}",
        "e": "${l}",
        "${flag}": 1,
    }
    assert render_value(template, values) == {
        "a": 3, "b": "Pod/llm/chat", "c": [1.5, "3s"], "d": None, "e": ["a"], "--x": 1,
    }  # fmt: skip
    with pytest.raises(TemplateError, match="cannot stand within a text"):
        render_value("x ${l}", values)


def test_sentences_show_figures_short_and_outside_text_harmless() -> None:
    values = {"a": 1.23456, "b": 1234.5, "c": NO_DATA, "d": "\x1b[31mred\x1b[0m\u202e" + "x" * 300, "e": True, "f": 4.0}
    assert render_text("${a} ${b} ${c} ${e} ${f} ${g}", values) == "1.23 1234 not measured yes 4 not measured"
    shown = render_text("${d}", values)
    assert shown.startswith("redxxx")
    assert len(shown) == 200


def test_names_and_what_is_no_name_are_found_everywhere() -> None:
    template = {"${a}": ["${b}", {"c": "x ${d} $${e}"}], "f": "${G} ${h.i} ${"}
    assert names_in(template) == {"a", "b", "d"}
    assert malformed_in(template) == ["${G}", "${h.i}", "${"]
    assert [(found.name, found.place) for found in placeholders("x{a=\"${b}\",c=~'${d}'}[${e}] > ${f}")] == [
        ("b", "string"), ("d", "pattern"), ("e", "range"), ("f", "bare"),
    ]  # fmt: skip
