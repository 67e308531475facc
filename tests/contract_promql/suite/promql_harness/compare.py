"""How two answers are compared: by the meaning of what they say, not by its spelling.

- Values are equal within 1e-12 of their size, or 1e-9 after cancellation; NaN equals NaN. Timestamps are exact.
- Series are matched by label set; their order counts where it is defined (range queries, sorted instant ones).
- Warnings and infos are sets; where an answer names only ten of them, only how many there are counts. In range queries
  the number and times of samples that were fixed for monotonicity are left out: the original doubles the number at
  every step, and evaluates once, at the first step, what is the same at all.
- Errors are equal in status code, type and text. Of a query that does not parse the text is ours, since it says what to
  do; the place that it names first (`line:column`) is not compared either, but both sides must call it a parse error.
"""

import math
import re
from typing import Any, cast

from contract_harness.normalise import differences
from promql_harness.cases import Request
from promql_harness.sides import Answer

_OMITTED = "annotations omitted"
_FIXED = re.compile(r"over \d+ samples from \S+ to \S+")


def answers_differ(request: Request, lab: Answer, original: Answer) -> list[str]:
    """Say where two answers part, place by place."""
    found = differences([lab.code, lab.type], [original.code, original.type], "http")
    one, two = _body(request, lab.body), _body(request, original.body)
    if one and two:
        if request.path in ("query", "query_range") and one["status"] == two["status"] == "success":
            return found + _results(request, one, two)
        return found + differences(one, two)
    return found + differences(lab.body, original.body)


def _body(request: Request, body: Any) -> dict[str, Any]:
    """Return a body in Prometheus's envelope as it is compared; nothing for another body."""
    if not isinstance(body, dict):
        return {}
    made = dict(cast("dict[str, Any]", body))
    if "parse error" in made.get("error", "") or (
        "duration" in made.get("error", "") and made["errorType"] == "bad_data"
    ):
        made["error"] = "parse error"
    for notes in ("warnings", "infos"):
        texts = made.get(notes, [])
        more = [text for text in texts if text.endswith(_OMITTED)]
        if request.path == "query_range":
            texts = [_FIXED.sub("over some samples", text) for text in texts]
        made[notes] = more or sorted(texts)
    return made


def _results(request: Request, one: dict[str, Any], two: dict[str, Any]) -> list[str]:
    first, second = one.pop("data"), two.pop("data")
    found = differences(one, two)
    kind = second["resultType"]
    if first["resultType"] != kind:
        return [*found, f"resultType: {first['resultType']} in the lab, {kind} in the original"]
    if kind in ("scalar", "string"):
        return found + _points([first["result"]], [second["result"]], "result")
    ones, twos = first["result"], second["result"]
    if request.ordered:
        shown = differences([_key(series) for series in ones], [_key(series) for series in twos], "series")
    else:
        shown = differences(sorted(map(_key, ones)), sorted(map(_key, twos)), "series")
    if shown:
        return found + shown
    lab = {_key(series): series for series in ones}
    for series in twos:
        mine = lab[_key(series)]
        found += _points(_samples(mine), _samples(series), str(series["metric"]))
    return found


def _key(series: dict[str, Any]) -> list[tuple[str, str]] | str:
    return repr(sorted(series["metric"].items()))


def _samples(series: dict[str, Any]) -> list[Any]:
    return series["values"] if "values" in series else [series["value"]]


def _points(ones: list[Any], twos: list[Any], where: str) -> list[str]:
    if [at for at, _ in ones] != [at for at, _ in twos]:
        return [f"{where}: times {[at for at, _ in ones]}, in the original {[at for at, _ in twos]}"]
    return [
        f"{where} at {at}: {value} in the lab, {wanted} in the original"
        for (at, value), (_, wanted) in zip(ones, twos, strict=True)
        if not _same(value, wanted)
    ]


def _same(one: str, two: str) -> bool:
    if one == two:
        return True
    try:
        a, b = float(one), float(two)
    except ValueError:
        return False
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    return a == b or abs(a - b) <= 1e-12 * max(abs(a), abs(b)) or abs(a - b) <= 1e-9 * min(1.0, abs(b))
