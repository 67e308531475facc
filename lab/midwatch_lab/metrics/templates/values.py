"""The values of templates, and how Go writes them.

Go's types stand as Python's: `float`, `int`, `str`, `bool`, None for nil; maps and slices as below. A value with fields
has `field(name)`; one with a type and methods of its own, such as a time, has `go_type` and `method(name, arguments)`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from midwatch_lab.metrics.errors import TemplateError
from midwatch_lab.metrics.numbers import shortest_text

Value = object


class Nothing:
    """What a key names that a map of anything does not have."""


NOTHING: Final = Nothing()


class Texts(dict[str, str]):
    """A map of text to text, such as labels: a key that is missing is an empty text."""


class Anything(dict[str, Value]):
    """A map of text to anything: a key that is missing is `<no value>`."""


@dataclass(frozen=True)
class Sample:
    """One sample of a query's answer."""

    labels: Texts
    value: float

    def field(self, name: str) -> Value:
        """Return `Labels` or `Value`."""
        return {"Labels": self.labels, "Value": self.value}.get(name, NOTHING)


class Samples(list[Sample]):
    """A query's answer."""


_TYPES: Final[tuple[tuple[type, str], ...]] = (
    *((bool, "bool"), (int, "int"), (float, "float64"), (str, "string"), (type(None), "<nil>")),
    *((Texts, "map[string]string"), (Anything, "map[string]interface {}")),
    *((Samples, "template.queryResult"), (Sample, "*template.sample")),
)


def type_name(value: Value) -> str:
    """Return the name of a value's type, as Go's `%T`."""
    own = getattr(value, "go_type", None)
    if isinstance(own, str):
        return own
    return next((name for kind, name in _TYPES if isinstance(value, kind)), "struct")


def truth(value: Value) -> bool:
    """Say whether `if` takes a value: not zero, not empty, not nil."""
    match value:
        case None | Nothing():
            return False
        case bool() | int() | float():
            return value != 0
        case str() | Mapping() | list():
            return len(cast("Sequence[Value]", value)) > 0
        case _:
            return True


def text(value: Value) -> str:  # noqa: PLR0911 (one return a kind of value)
    """Return a value as Go's `%v`."""
    match value:
        case None:
            return "<nil>"
        case Nothing():
            return "<no value>"
        case bool():
            return "true" if value else "false"
        case float():
            return shortest_text(value)
        case Mapping():
            pairs = sorted(cast("Mapping[str, Value]", value).items())
            return "map[" + " ".join(f"{key}:{text(inner)}" for key, inner in pairs) + "]"
        case list():
            return "[" + " ".join(text(inner) for inner in cast("list[Value]", value)) + "]"
        case Sample():
            return f"{{{text(value.labels)} {text(value.value)}}}"
        case _:
            return str(value)


def number(value: Value) -> float:
    """Return a number that is given as a number, a text or a duration.

    Raises:
        TemplateError: when it is none.
    """
    seconds = getattr(value, "seconds", None)
    if isinstance(seconds, float):
        return seconds
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        try:
            return _go_float(value)
        except ValueError as error:
            raise TemplateError(f"{value!r} is no number") from error
    raise TemplateError(f"a {type_name(value)} cannot be made a number")


def _go_float(value: str) -> float:
    if value != value.strip() or not value or "_" in value:
        raise ValueError(value)
    if value.lstrip("+-").lower().startswith("0x"):
        return float.fromhex(value)
    return float(value)
