"""The functions that Go's templates have by themselves."""

import html
from collections.abc import Callable, Mapping, Sequence
from typing import Final, cast
from urllib.parse import quote_plus

from midwatch_lab.metrics.errors import TemplateError
from midwatch_lab.metrics.templates.printf import formatted, spaced
from midwatch_lab.metrics.templates.values import NOTHING, Anything, Texts, Value, text, truth, type_name

Called = Callable[..., Value]

_JS: Final = {
    "\\": "\\\\",
    "'": "\\'",
    '"': '\\"',
    "<": "\\u003C",
    ">": "\\u003E",
    "&": "\\u0026",
    "=": "\\u003D",
    **{chr(code): f"\\u{code:04X}" for code in range(32)},
}
_HTML: Final = {"&#x27;": "&#39;", "&quot;": "&#34;"}


def printf(*values: Value) -> str:
    """Return the values in a format, which comes first."""
    if not values or not isinstance(values[0], str):
        raise TemplateError("printf needs a format, a text, and what stands in it")
    return formatted(values[0], values[1:])


def printed(*values: Value) -> str:
    """Return `print`."""
    return spaced(values)


def printed_line(*values: Value) -> str:
    """Return `println`: a blank between all values, and a line's end."""
    return " ".join(map(text, values)) + "\n"


def negated(value: Value) -> bool:
    """Return `not`."""
    return not truth(value)


def length(value: Value) -> int:
    """Return how many bytes a text, or entries a map or list has."""
    if isinstance(value, str):
        return len(value.encode())
    if isinstance(value, Mapping | list):
        return len(cast("Sequence[Value]", value))
    raise TemplateError(f"a {type_name(value)} has no length")


def index(value: Value, *keys: Value) -> Value:
    """Return what stands under one key or place after another."""
    for key in keys:
        value = _at(value, key)
    return value


def _at(value: Value, key: Value) -> Value:
    if isinstance(value, Texts | Anything):
        if not isinstance(key, str):
            raise TemplateError(f"a map is asked for a text, not for a {type_name(key)}")
        return value.get(key, "" if isinstance(value, Texts) else NOTHING)
    if not isinstance(value, str | list):
        raise TemplateError(f"nothing can be taken out of a {type_name(value)}")
    places = value.encode() if isinstance(value, str) else cast("list[Value]", value)
    if not isinstance(key, int) or isinstance(key, bool):
        raise TemplateError(f"a list is asked for a number, not for a {type_name(key)}")
    if not 0 <= key < len(places):
        raise TemplateError(f"the place {key} is not among the {len(places)} that there are")
    return places[key]


def cut(value: Value, *bounds: Value) -> Value:
    """Return `slice`: a part of a text or a list."""
    if not isinstance(value, str | list):
        raise TemplateError(f"a {type_name(value)} cannot be cut")
    places = value.encode() if isinstance(value, str) else cast("list[Value]", value)
    numbers = [bound for bound in bounds if isinstance(bound, int) and not isinstance(bound, bool)]
    if len(numbers) != len(bounds) or len(bounds) > 2:  # noqa: PLR2004 (from and to)
        raise TemplateError("slice takes a text or a list, and at most two whole numbers")
    low, high = [*numbers, *(0, len(places))[len(numbers) :]][:2]
    if not 0 <= low <= high <= len(places):
        raise TemplateError(f"the places {low} to {high} are not among the {len(places)} that there are")
    part = places[low:high]
    return part.decode(errors="replace") if isinstance(part, bytes) else type(cast("list[Value]", value))(part)


def _kind(value: Value) -> str:
    match value:
        case bool():
            return "bool"
        case int():
            return "int"
        case float():
            return "float"
        case str():
            return "string"
        case _:
            return type_name(value)


def _comparable(one: Value, two: Value) -> None:
    kinds = {_kind(one), _kind(two)}
    if len(kinds) > 1 and kinds != {"int", "time.Month"}:
        raise TemplateError(
            f"a {type_name(one)} cannot be compared with a {type_name(two)}: a number with a decimal point is a "
            "float64, one without is an int"
        )
    if not isinstance(one, bool | int | float | str) and not hasattr(one, "go_type"):
        raise TemplateError(f"a {type_name(one)} cannot be compared")


def equal(first: Value, *others: Value) -> bool:
    """Return whether the first is equal to any of the others."""
    if not others:
        raise TemplateError("eq compares at least two values")
    for other in others:
        if first is not None and other is not None:
            _comparable(first, other)
        if first == other:
            return True
    return False


def unequal(one: Value, two: Value) -> bool:
    """Return `ne`."""
    return not equal(one, two)


def less(one: Value, two: Value) -> bool:
    """Return `lt`."""
    _comparable(one, two)
    if isinstance(one, str):
        return one < str(two)
    if isinstance(one, bool) or not isinstance(one, int | float):
        raise TemplateError(f"a {type_name(one)} has no order")
    return one < cast("float", two)


def less_or_equal(one: Value, two: Value) -> bool:
    """Return `le`."""
    return less(one, two) or equal(one, two)


def greater(one: Value, two: Value) -> bool:
    """Return `gt`."""
    return not less_or_equal(one, two)


def greater_or_equal(one: Value, two: Value) -> bool:
    """Return `ge`."""
    return not less(one, two)


def escaped_html(*values: Value) -> str:
    """Return a text in which HTML means nothing."""
    found = html.escape(spaced(values))
    for entity, other in _HTML.items():
        found = found.replace(entity, other)
    return found.replace("\0", "\ufffd")


def escaped_js(*values: Value) -> str:
    """Return a text in which JavaScript means nothing."""
    return "".join(_JS.get(character, character) for character in spaced(values))


def escaped_url(*values: Value) -> str:
    """Return a text for the query of a URL."""
    return quote_plus(spaced(values), safe="")


def called(*_values: Value) -> Value:
    """Refuse `call`: nothing here is a function."""
    raise TemplateError("call needs a function, and no value here is one")


LAZY: Final = frozenset({"and", "or"})
"""Evaluated argument by argument, until one decides."""

GO_FUNCTIONS: Final[dict[str, Called]] = {
    "call": called,
    "eq": equal,
    "ge": greater_or_equal,
    "gt": greater,
    "html": escaped_html,
    "index": index,
    "js": escaped_js,
    "le": less_or_equal,
    "len": length,
    "lt": less,
    "ne": unequal,
    "not": negated,
    "print": printed,
    "printf": printf,
    "println": printed_line,
    "slice": cut,
    "urlquery": escaped_url,
}
