"""What the parser reads, what it refuses, and that it neither crashes nor hangs."""

import contextlib
import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midwatch_contracts.promql import (
    EVERY_FEATURE,
    FEATURE_NAMES,
    Aggregate,
    Binary,
    Expr,
    Features,
    Matching,
    MatrixSelector,
    NumberLiteral,
    PromqlError,
    Subquery,
    Unary,
    ValueType,
    VectorSelector,
    children,
    expr_type,
    format_expr,
    metric_names,
    parse,
    quote_pattern,
    quote_value,
    resolved,
    selectors,
)

QUERIES = [
    'histogram_quantile(0.95, sum by (le) (rate(vllm:request_queue_time_seconds_bucket{service="chat"}[20s])))',
    'sum(rate(http_requests_total{code=~"5..",job!~"a|b"}[5m])) by (job) / on (job) group_left (team) owner > 0.5',
    "up == 0",
    "-1 ^ 2 + 2 ^ -x ^ 3 * 4 - -1",
    "max_over_time(deriv(x[1m])[30m:15s] @ end() offset -5m)",
    "a unless on () b or c and ignoring (x,) d",
    'topk by (a) (3, {"utf.8 name", "sum"=~"x.+"})',
    "sum without (le, on, by) (x offset (1h - 5m))",
    "x[1m30s] @ 1.5",
    'label_replace(up, "a", "$1", "b", `(.*)\\d`) + atan2:x',
    "time() > bool 0x1F + 1_000 + 010 + .5e3 + Inf",
    "x[5m * 2 + 1] anchored offset 2",
    "x @ 3 smoothed offset -step() + deriv(y[(1h)-max_of(step() * 2, range()):-(-5m)] @ end() offset (range()))",
    'count_values("v", SUM(offset offset 5m))',
]


@pytest.mark.parametrize("text", QUERIES)
def test_printing_and_parsing_again_gives_the_same_tree(text: str) -> None:
    tree = parse(text)
    printed = format_expr(tree)
    assert parse(printed) == tree
    assert format_expr(parse(printed)) == printed


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 8.0),
        ("08", 8.0),
        ("0x_1F", 31.0),
        ("1_000.5", 1000.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("5m", 300.0),
        ("1m30s", 90.0),
        ("1h500ms", 3600.5),
        ("- -1", 1.0),
        ("+Inf", math.inf),
        ("-inf", -math.inf),
        ("9223372036854775808", 2.0**63),
    ],
)
def test_number_forms_have_the_values_that_prometheus_gives_them(text: str, value: float) -> None:
    tree = parse(text)
    assert isinstance(tree, NumberLiteral)
    assert tree.value == value


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("1m30s", 90_000),
        ("300", 300_000),
        ("5m * 2", 600_000),
        ("1.001", 1001),
        ("1.001*1", 1000),
        ("7 % 4", 3000),
        ("min_of(5m, 1m) + 1", 61_000),
        ("2 ^ 2 ^ 3 - 200", 56_000),
        ("-2 * -3", 6000),
        ("0x10", 16_000),
    ],
)
def test_durations_are_computed_and_truncated_as_prometheus_does(text: str, milliseconds: int) -> None:
    tree = parse(f"x[{text}]")
    assert isinstance(tree, MatrixSelector)
    assert tree.range_ms == milliseconds


def test_a_duration_that_depends_on_the_query_is_computed_once_the_query_is_known() -> None:
    tree = parse("rate(x[step() * 4]) + max_over_time(y[range() + 1m:step()] offset -min_of(step(), 10s))")
    known = resolved(tree, 30_000, 600_000)
    assert isinstance(known, Binary)
    spans = [(m.range_ms, getattr(m, "step_ms", 0), getattr(m, "offset_ms", 0)) for m in _matrices(known)]
    assert spans == [(120_000, 0, 0), (660_000, 30_000, -10_000)]
    with pytest.raises(PromqlError, match=r"^7:17: duration must be greater than 0$"):
        resolved(tree, 0, 0)


def _matrices(tree: Expr) -> list[MatrixSelector | Subquery]:
    here = [tree] if isinstance(tree, MatrixSelector | Subquery) else []
    return here + [found for child in children(tree) for found in _matrices(child)]


EXPERIMENTAL = [
    'sort_by_label(limitk(3, x), "a", "b") + fill (-0.5) limit_ratio(0.3, y)',
    "info(x, {a=~'.*'}) * on (a) group_left (b) fill_right (1) y + ignoring () group_right () fill_left (2) z",
    "double_exponential_smoothing(x[5m], 0.1, 0.5) + fill_left (1) fill_right (2) start() * vector(step())",
    'histogram_quantiles(x, "q", 0.1, 0.2, 0.3)',
]


@pytest.mark.parametrize("text", EXPERIMENTAL)
def test_experimental_parts_are_read_where_they_are_on_and_refused_by_name_elsewhere(text: str) -> None:
    tree = parse(text, EVERY_FEATURE)
    assert parse(format_expr(tree), EVERY_FEATURE) == tree
    with pytest.raises(PromqlError, match="experimental: enable it with promql-"):
        parse(text)


@pytest.mark.parametrize(
    "text", ["info(x, y)", "info(x, sum(y))", "x + fill (1) 2", "x and fill (1) y", "x + fill (y) z"]
)
def test_experimental_parts_are_checked_too(text: str) -> None:
    with pytest.raises(PromqlError):
        parse(text, EVERY_FEATURE)


def test_features_are_named_as_the_flag_of_prometheus_names_them() -> None:
    assert Features.of([]) == Features()
    assert Features.of([*FEATURE_NAMES, "promql-duration-expr"]) == EVERY_FEATURE
    with pytest.raises(PromqlError, match="native-histograms is not offered"):
        Features.of(["native-histograms"])


def test_an_offset_takes_a_literal_but_a_parenthesis_starts_a_duration_expression() -> None:
    product = parse("x offset 5m * 2")
    assert isinstance(product, Binary)
    assert isinstance(product.left, VectorSelector)
    assert product.left.offset_ms == 300_000
    selector = parse("x offset (5m) * 2")
    assert isinstance(selector, VectorSelector)
    assert selector.offset_ms == 600_000


def test_a_sign_binds_looser_than_a_power_and_tighter_than_a_product() -> None:
    power = parse("-x ^ 2")
    assert isinstance(power, Unary)
    product = parse("-x * 2")
    assert isinstance(product, Binary)
    assert isinstance(product.left, Unary)


def test_powers_are_right_associative_and_sums_left_associative() -> None:
    assert format_expr(parse("2 ^ 3 ^ 2")) == format_expr(parse("2 ^ 3 ^ 2"))
    power = parse("a ^ b ^ c")
    assert isinstance(power, Binary)
    assert isinstance(power.right, Binary)
    total = parse("a - b - c")
    assert isinstance(total, Binary)
    assert isinstance(total.left, Binary)


def test_modifiers_and_matching_are_kept() -> None:
    subquery = parse("x[5m:30s] offset 1m @ start()")
    assert isinstance(subquery, Subquery)
    assert (subquery.range_ms, subquery.step_ms, subquery.offset_ms, subquery.at) == (300_000, 30_000, 60_000, "start")
    joined = parse("a * on (x) group_left (y, z) b")
    assert isinstance(joined, Binary)
    assert joined.matching == Matching(on=True, labels=("x",), group="left", include=("y", "z"))
    total = parse("sum(x) without (a)")
    assert isinstance(total, Aggregate)
    assert (total.without, total.grouping) == (True, ("a",))


def test_selectors_and_metric_names_are_listed_in_order() -> None:
    tree = parse('rate(a[5m]) / on () b{c="d"} + {__name__="e"} > {"f"}')
    assert [s.name for s in selectors(tree)] == ["a", "b", None, None]
    assert metric_names(tree) == ["a", "b", "e", "f"]


def test_types_are_known() -> None:
    assert expr_type(parse("1 + time()")) is ValueType.SCALAR
    assert expr_type(parse("1 + x")) is ValueType.VECTOR
    assert expr_type(parse("x[5m]")) is ValueType.MATRIX
    assert expr_type(parse("'a'")) is ValueType.STRING


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("", 0),
        ("x[5m", 4),
        ("rate(x)", 5),
        ("sum(x,)", 6),
        ('x{a="b" c="d"}', 8),
        ("x offset 5m[5m]", 11),
        ("(x)[5m]", 3),
        ("1 == 1", 2),
        ("1 and x", 2),
        ("x + on (a) 1", 2),
        ("x + on (a) group_left (a) y", 4),
        ("rte(x[5m])", 0),
        ("info(x)", 0),
        ("limitk(1, x)", 0),
        ("x + fill(0) y", 4),
        ("x[0]", 2),
        ("x[1 / 0]", 4),
        ("x @ inf", 4),
        ("é", 0),
        ('"\\q"', 1),
        ('{a=~".*"}', 0),
        ('x{a=~"(b"}', 5),
        ('x{a=~"a(?=b)"}', 5),
        ("1.5h", 0),
        ("1s1m", 0),
        ("0x8000000000000000", 0),
        ("x </ y", 2),
        ("histogram_quantile(x, 0.9)", 19),
        ("-'a'", 0),
        ("sum()", 0),
        ('foo{"bar"}', 0),
        ("x anchored smoothed", 11),
        ("1[5m:]", 1),
        ("(" * 5000, 101),
        ("a" + "+a" * 5000, 203),
    ],
)
def test_what_is_not_the_language_is_refused_with_a_position(text: str, position: int) -> None:
    with pytest.raises(PromqlError) as refused:
        parse(text)
    assert refused.value.position == position


_LABEL = st.sampled_from(["a", "le", "on", "by", "sum", "job"])
_NAME = st.sampled_from(["x", "up", "node:cpu:rate5m", "http_requests_total", "offset", "by"])
_TEXT = st.text(max_size=8).filter(lambda t: not any(0xD800 <= ord(c) < 0xE000 for c in t))


_MATCHER = st.tuples(_LABEL, st.sampled_from(["=", "!="]), _TEXT.map(quote_value)).map("".join)
_BRACES = st.lists(_MATCHER, max_size=2).map(lambda found: "{" + ",".join(found) + "}" if found else "")
_MODIFIER = st.sampled_from(["", " offset 5m", " offset -(1h - 5m)", " @ 1.5", " @ end() offset 3"])
_SELECTOR = st.tuples(_NAME, _BRACES, _MODIFIER).map("".join)
_LABELS = st.lists(_LABEL, max_size=2).map(lambda names: f"({', '.join(names)})")
_OPERATOR = st.sampled_from(["+", "-", "*", "/", "%", "^", "and", "or", "unless", "> bool", "==", "atan2"])
_AGGREGATION = st.sampled_from(["sum", "max", "count"])


def _grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, _OPERATOR, inner).map(lambda p: f"({p[0]}) {p[1]} ({p[2]})"),
        st.tuples(inner, _LABELS, inner).map(lambda p: f"({p[0]}) * on {p[1]} group_left () ({p[2]})"),
        st.tuples(_AGGREGATION, _LABELS, inner).map(lambda p: f"{p[0]} by {p[1]} ({p[2]})"),
        inner.map(lambda a: f"-({a})"),
        inner.map(lambda a: f"rate(({a})[5m:15s] offset 1m)"),
        st.tuples(inner, _TEXT.map(quote_value)).map(lambda p: f'label_replace({p[0]}, "d", {p[1]}, "s", "(.*)")'),
        inner.map(lambda a: f"clamp_max({a}, 1e3)"),
    )


EXPRESSIONS = st.recursive(_SELECTOR, _grow, max_leaves=6)


@settings(max_examples=150, deadline=None)
@given(EXPRESSIONS)
def test_any_generated_query_survives_printing(text: str) -> None:
    tree = parse(text)
    assert parse(format_expr(tree)) == tree


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_mutated_query_is_read_or_refused_and_never_crashes(data: st.DataObject) -> None:
    text = list(data.draw(st.sampled_from(QUERIES)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        piece = data.draw(
            st.sampled_from(["(", ")", "[", "]", "{", "}", '"', "by", "offset", "5m", "@", "-", "\\", "é"])
        )
        text[at : at + data.draw(st.integers(0, 3))] = [piece]
    with contextlib.suppress(PromqlError):
        tree = parse("".join(text))
        assert parse(format_expr(tree)) == tree


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(PromqlError):
        assert parse(format_expr(parse(text))) == parse(text)


@given(_TEXT, _TEXT)
def test_a_quoted_value_never_breaks_out_of_its_string(value: str, other: str) -> None:
    tree = parse(f"x{{a={quote_value(value)}, b={quote_value(other)}}}")
    assert isinstance(tree, VectorSelector)
    assert [(m.name, m.op, m.value) for m in tree.matchers] == [("a", "=", value), ("b", "=", other)]


@given(_TEXT)
def test_a_quoted_pattern_is_well_formed_and_reads_back(value: str) -> None:
    tree = parse(f"x{{a=~{quote_value(quote_pattern(value) + '|b')}}}")
    assert isinstance(tree, VectorSelector)
    assert tree.matchers[0].value == quote_pattern(value) + "|b"


def test_a_lone_surrogate_cannot_be_quoted() -> None:
    with pytest.raises(PromqlError, match="surrogate"):
        quote_value("\ud800")


def test_parsing_takes_time_in_proportion_to_the_text() -> None:
    text = "x{" + ",".join(f'l{i}="{i * 7919}"' for i in range(2500)) + "}"
    small, large = _seconds(text[: len(text) // 10].rsplit(",", 1)[0] + "}"), _seconds(text)
    assert large < 60 * small + 0.05


def _seconds(text: str) -> float:
    best = math.inf
    for _ in range(3):
        before = time.perf_counter()
        parse(text)
        best = min(best, time.perf_counter() - before)
    return best
