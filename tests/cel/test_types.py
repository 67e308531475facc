import pytest

from midwatch_contracts.cel import (
    ANY,
    BOOL,
    NUMBER,
    STRING,
    Type,
    compile_expression,
    list_of,
    map_of,
    number,
    object_of,
)
from midwatch_contracts.errors import CelError

NAMES = {
    "queue": number("seconds"),
    "objective": number("seconds"),
    "used": number("bytes"),
    "full": number("ratio"),
    "waiting": number("count"),
    "rate": number("per_second"),
    "reading": NUMBER,
    "name": STRING,
    "ok": BOOL,
    "labels": map_of(STRING),
    "result": object_of({"series": list_of(object_of({"value": number("seconds"), "labels": map_of(STRING)}))}),
    "loose": ANY,
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("queue > 0.5 * objective", BOOL),
        ("0.5 * objective", number("seconds")),
        ("queue / objective", number("ratio")),
        ("waiting / objective", number("per_second")),
        ("waiting / rate", number("seconds")),
        ("rate * objective", number("count")),
        ("full * used", number("bytes")),
        ("max(queue, 2)", number("seconds")),
        ("reading * queue", NUMBER),
        ("ok ? queue : 1.0", number("seconds")),
        ("size(result.series)", number("count")),
        ("result.series[0].value", number("seconds")),
        ("result.series.map(s, s.value).max()", number("seconds")),
        ("result.series.filter(s, s.value > objective)", NAMES["result"].fields["series"]),
        ("labels.pod + name", STRING),
        ("labels['pod']", STRING),
        ("name.split('/')", list_of(STRING)),
        ("loose.anything.at[0].all", ANY),
        ("duration('2s') > queue", BOOL),
        ("double(name)", NUMBER),
        ("name == null", BOOL),
        ("{'a': queue}.a", number("seconds")),
    ],
)
def test_an_expression_has_a_type_and_a_unit(text: str, expected: Type) -> None:
    assert compile_expression(text).expression_type(NAMES) == expected


@pytest.mark.parametrize(
    ("text", "message", "position"),
    [
        ("ok && queue > used", "mixes seconds and bytes", 6),
        ("queue + used", "mixes seconds and bytes", 0),
        ("full > waiting", "mixes ratio and count", 0),
        ("max(queue, used)", "mixes seconds and bytes", 0),
        ("ok ? queue : used", "mixes seconds and bytes", 0),
        ("quueue > 1", "undefined name `quueue`: known are queue", 0),
        ("1 > result.serie[0].value", "there is no field `serie`: the fields are series", 4),
        ("name > 1", "does not fit a string and a number", 0),
        ("name == 1", "does not fit a string and a number", 0),
        ("queue && ok", "`&&` needs a bool, not a number of seconds", 0),
        ("queue ? 1 : 2", "a condition needs a bool", 0),
        ("name + 1", "does not fit", 0),
        ("queue.size()", "has no size", 0),
        ("name[0]", "cannot be indexed", 0),
        ("result.series['a']", "a list index needs a number", 14),
        ("queue.all(x, true)", "walks over a list", 0),
        ("result.series.all(name, true)", "hides a name", 0),
        ("result.series.filter(s, s.value)", "the condition of `filter` needs a bool", 24),
        ("ok > ok", "orders numbers or strings, not a bool", 0),
        ("!queue", "`!` needs a bool", 1),
        ("string(labels)", "has no text", 0),
        ("name in name", "needs a list or an object on its right", 8),
    ],
)
def test_what_does_not_fit_is_found_before_anything_is_measured(text: str, message: str, position: int) -> None:
    with pytest.raises(CelError, match=message) as caught:
        compile_expression(text).expression_type(NAMES)
    assert caught.value.position == position
