"""A line of a script that describes a series: its labels, and its values in Prometheus's sequence notation.

`metric{a="b"} 1 2+3x2 _ _x3 stale NaN -Inf 5x4`: `2+3x2` is 2 5 8, `5x4` is 5 five times, `_` leaves a sample out.
"""

import math
import re
from collections.abc import Iterator

from midwatch_contracts.promql import PromqlError, matchers_of
from midwatch_lab.metrics.labels import NAME, Labels, from_dict
from midwatch_lab.metrics.store import STALE

_NUMBER = r"(?:[0-9][0-9_]*(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|\.[0-9]+(?:[eE][+-]?[0-9]+)?|[iI][nN][fF]|[nN][aA][nN])"
_ITEM = re.compile(
    rf"(?P<blank>_)(?:x(?P<blanks>[0-9]+))?|"
    rf"(?P<first>stale|[+-]?{_NUMBER})(?:(?P<step>[+-]{_NUMBER}))?(?:x(?P<times>[0-9]+))?"
)
_MAX_VALUES = 1_000_000

Sequence = list[float | None]
"""Values one interval apart; None where none is."""


def described_series(line: str) -> tuple[Labels, Sequence]:
    """Read a series and its values.

    Raises:
        PromqlError: names what is wrong.
    """
    end = _end_of_metric(line)
    return metric_labels(line[:end]), sequence(line[end:])


def metric_labels(text: str) -> Labels:
    """Read `metric{a="b"}`; every matcher must be an equality."""
    matchers, name = matchers_of(text)
    found = {} if name is None else {NAME: name}
    for matcher in matchers:
        if matcher.op != "=":
            raise PromqlError(f"a series has labels such as {matcher.name}=…, not {matcher.op}")
        found[matcher.name] = matcher.value
    return from_dict(found)


_METRIC_PART = re.compile(r"""[^\s{"'`]*(?:\s*\{(?!\{)(?:[^}"'`]|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)*\})?""")


def _end_of_metric(line: str) -> int:
    """Return where the labels end: behind their closing brace, or behind the name where there are none."""
    found = _METRIC_PART.match(line)
    return 0 if found is None else found.end()


def sequence(text: str) -> Sequence:
    """Read values.

    Raises:
        PromqlError: names the first that is none, and histograms, which are not offered.
    """
    found: Sequence = []
    if "{{" in text:
        raise PromqlError("native histograms are not offered")
    for item in text.split():
        match = _ITEM.fullmatch(item)
        if match is None:
            raise PromqlError(f"{item!r} is no value such as 1, 1+2x3, 5x4, _, _x3, stale, NaN or Inf")
        found.extend(_expanded(match))
        if len(found) > _MAX_VALUES:
            raise PromqlError(f"a series has more than {_MAX_VALUES} values")
    return found


def _expanded(match: "re.Match[str]") -> Iterator[float | None]:
    if match["blank"]:
        yield from [None] * _count(match["blanks"], 1)
        return
    value = STALE if match["first"] == "stale" else float(match["first"])
    if match["step"] and not match["times"]:
        raise PromqlError(f"{match[0]!r} does not say how many times: write {match[0]}x3")
    step = float(match["step"]) if match["step"] else 0.0
    for _ in range(_count(match["times"], 0) + 1):
        yield value
        # Adding nothing would turn the staleness marker into another NaN.
        value = value if match["step"] is None else value + step


def _count(text: str | None, default: int) -> int:
    count = default if text is None else int(text)
    if count > _MAX_VALUES:
        raise PromqlError(f"a value is repeated {count} times; at most {_MAX_VALUES} are read")
    return count


def almost_equal(one: float, two: float, tolerance: float = 1e-6) -> bool:
    """Say whether two values are equal within a share of their size; NaN equals NaN."""
    if math.isnan(one) or math.isnan(two):
        return math.isnan(one) and math.isnan(two)
    if one == two:
        return True
    if math.isinf(one) or math.isinf(two):
        return False
    total, difference = abs(one) + abs(two), abs(one - two)
    if one == 0 or two == 0 or total < _SMALLEST_NORMAL:
        return difference < tolerance * _SMALLEST_NORMAL
    return difference / min(total, _LARGEST) < tolerance


_SMALLEST_NORMAL = 2.2250738585072014e-308
_LARGEST = 1.7976931348623157e308
