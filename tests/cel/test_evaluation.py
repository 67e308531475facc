import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midwatch_contracts.cel import NO_DATA, compile_expression
from midwatch_contracts.errors import CelError


def value(text: str, **names: Any) -> Any:
    return compile_expression(text).evaluate(names)


@pytest.mark.parametrize(
    ("text", "names", "expected"),
    [
        ("queue > 0.5 * objective", {"queue": 3, "objective": 2}, True),
        ("1 + 2 * 3 - 4 / 8", {}, 6.5),
        ("a -1", {"a": 3}, 2.0),
        ("7 % 4", {}, 3.0),
        ("-a + 1", {"a": 3}, -2.0),
        ("a == 1", {"a": 1.0}, True),
        ("size(a) > 1.5", {"a": [1, 2]}, True),
        ("a.size() * 0.5", {"a": [1, 2]}, 1.0),
        ("a[size(a) - 1]", {"a": [1, 7]}, 7.0),
        ('a["b-c"].d', {"a": {"b-c": {"d": "x"}}}, "x"),
        ("a ? 'yes' : 'no'", {"a": False}, "no"),
        ("a.filter(x, x.n > 1).map(x, x.n)", {"a": [{"n": 1}, {"n": 2}, {"n": 3}]}, [2.0, 3.0]),
        ("a.exists(x, x == 'k') && a.all(x, size(x) == 1) && a.exists_one(x, x == 'k')", {"a": ["k", "l"]}, True),
        ("max(1, a, 3) + min(a, 2) + ceil(1.2) + floor(1.8) + abs(-1)", {"a": 7}, 7.0 + 2 + 2 + 1 + 1),
        ("a.sum() + a.max() - a.min()", {"a": [1, 2, 3]}, 8.0),
        ("a.map(x, string(x)).join(', ')", {"a": [1, 2.5]}, "1, 2.5"),
        ("double('14') * 2", {}, 28.0),
        ("a.split('/')[2]", {"a": "Deployment/llm/chat"}, "chat"),
        ("duration('1m30s')", {}, 90.0),
        ("'llm' in a && 'b' in {'b': 1}", {"a": ["llm"]}, True),
        (r"'a\n\x41\u00e9' + r'\n'", {}, "a\nAé\\n"),
        ("name.startsWith('ch') && name.endsWith('at') && name.contains('ha')", {"name": "chat"}, True),
        ("{'a': 1}.a == 1 && [1, 'b'] == [1, 'b'] && {'a': [1]} == {'a': [1]}", {}, True),
        ("true == 1 || '1' == 1 || null == false || [true] == [1]", {}, False),
        ("a == null", {"a": None}, True),
        ("0x10 == 16", {}, True),
        ("1 / 0 > 1e300", {}, True),
    ],
)
def test_an_expression_has_the_value_that_cel_gives_it_on_doubles(
    text: str, names: dict[str, Any], expected: Any
) -> None:
    got = value(text, **names)
    assert got == expected
    assert type(got) is type(expected)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a > 1", {"a": NO_DATA}),
        ("a > 1 || true", {"a": NO_DATA}),
        ("false && a > 1", {"a": NO_DATA}),
        ("b.exists(x, x > a) ? 1 : 2", {"a": NO_DATA, "b": []}),
        ("has(a.b)", {"a": NO_DATA}),
        ("a > 1", {"a": math.nan}),
        ("a", {"a": "NaN"}),
        ("a.b > 1", {"a": {}}),
        ("a.b > 1", {"a": {"b": None}}),
        ("a.b.c", {"a": {"b": None}}),
        ("a.b > 1 || true", {"a": {}}),
        ("a[0].value > 1", {"a": []}),
        ("a[0]", {"a": [math.nan]}),
        ("a['k']", {"a": {}}),
        ("0 / 0", {}),
        ("1e308 * 10 - 1e308 * 10", {}),
        ("a.min()", {"a": []}),
        ("a.map(x, x.v).sum()", {"a": [{"v": 1}, {}]}),
        ("size(a)", {"a": None}),
        ("a.b", {"a": {"b": NO_DATA}}),
    ],
)
def test_reading_what_is_not_there_is_no_data(text: str, names: dict[str, Any]) -> None:
    assert value(text, **names) is NO_DATA


def test_what_is_not_read_is_not_missed() -> None:
    assert value("has(r.x) && r.x > 1", r={}) is False
    assert value("size(r) == 0 || r[0] > 1", r=[]) is True
    assert value("size(r) > 0 ? r[0] : 5.0", r=[]) == 5.0


def test_infinities_written_as_text_are_numbers() -> None:
    assert value("a > 1e300 && b < 0", a="+Inf", b="-Inf") is True


def test_no_data_is_neither_true_nor_false() -> None:
    with pytest.raises(TypeError, match="neither true nor false"):
        bool(NO_DATA)


@pytest.mark.parametrize(
    ("text", "names", "message", "position"),
    [
        ("a + 'x'", {"a": 1}, "cannot calculate with a string", 0),
        ("1 + b", {"a": 1}, "undefined name `b`: known are", 4),
        ("'x' > 1", {}, "cannot order a string and a number", 0),
        ("1 && true", {}, "a condition must be true or false, not a number", 0),
        ("a[0.5]", {"a": [1]}, "a list index must be whole", 0),
        ("a.b", {"a": "text"}, "a string has no field `b`", 0),
        ("double('12 apples')", {}, "'12 apples' is no number", 0),
        ("double('nan')", {}, "'nan' is no number", 0),
        ("1.5 % 2", {}, "% needs whole numbers", 0),
        ("a.all(x, x > 1)", {"a": 3}, "a list is needed here, not a number", 0),
        ("a.all(x, x > 1)", {"a": [0.0] * 10_001}, "too long to walk over", 0),
    ],
)
def test_what_does_not_fit_is_an_error_with_its_place(
    text: str, names: dict[str, Any], message: str, position: int
) -> None:
    with pytest.raises(CelError, match=message) as caught:
        compile_expression(text).evaluate({name: bound for name, bound in names.items() if name in text})
    assert caught.value.position == position


def test_nested_walks_over_long_lists_end_in_an_error_and_not_in_a_long_wait() -> None:
    with pytest.raises(CelError, match="more than 200000 steps"):
        value("a.all(x, a.all(y, a.all(z, x + y + z >= 0)))", a=list(range(1000)))


def test_the_variable_of_a_macro_ends_with_it() -> None:
    with pytest.raises(CelError, match="undefined name `x`"):
        value("a.all(x, x > 0) && x > 0", a=[1])


@settings(deadline=None)  # the first expression imports cel-python
@given(
    st.recursive(
        # The text NaN is how a result carries that number (CONTRACTS §2), which is no data.
        st.one_of(
            st.none(),
            st.booleans(),
            st.integers(-(2**52), 2**52),
            st.text().filter(lambda text: text != "NaN"),
            st.floats(allow_nan=False),
        ),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_any_json_equals_itself(data: Any) -> None:
    assert value("a == a && a in [a]", a=data) is True
