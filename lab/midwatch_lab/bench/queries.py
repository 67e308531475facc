"""The same queries to the lab's Prometheus and to the original, over HTTP: answers that must be equal, then times."""

import math
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import httpx2

from midwatch_contracts.figure import Figure

_STEP_S: Final = 60
_TOLERANCE: Final = 1e-12
_TURNS: Final = {"range": 5, "instant": 15}
_TIMEOUT_S: Final = 120

QUERIES: Final = {
    "rate_sum": "sum by (job) (rate(requests_total[5m]))",
    "histogram_quantile": "histogram_quantile(0.95, sum by (job, le) (rate(latency_seconds_bucket[5m])))",
    "topk": "topk(10, rate(requests_total[5m]))",
}


@dataclass(frozen=True)
class Asked:
    """One request: a query over all the samples (`range`) or at their end (`instant`)."""

    name: str
    form: str
    path: str
    parameters: dict[str, str]


def asked(start_s: float, end_s: float) -> Iterator[Asked]:
    """Return every query in both forms."""
    for name, query in QUERIES.items():
        span = {"start": str(start_s), "end": str(end_s), "step": str(_STEP_S)}
        yield Asked(name, "range", "/api/v1/query_range", {"query": query, **span})
        yield Asked(name, "instant", "/api/v1/query", {"query": query, "time": str(end_s)})


def compare(request: Asked, ours: str, theirs: str) -> Iterator[Figure]:
    """Yield the median time of ours beside that of the original, and their ratio, asked in turns.

    Raises:
        RuntimeError: when the two answers differ.
    """
    with (
        httpx2.Client(base_url=ours, timeout=_TIMEOUT_S, trust_env=False) as lab,
        httpx2.Client(base_url=theirs, timeout=_TIMEOUT_S, trust_env=False) as original,
    ):
        sides = (lab, original)
        _check_equal(request, *(_get(side, request).json()["data"]["result"] for side in sides))
        seconds: tuple[list[float], list[float]] = ([], [])
        for _ in range(_TURNS[request.form]):
            for side, times in zip(sides, seconds, strict=True):
                began = time.perf_counter()
                _get(side, request)
                times.append(time.perf_counter() - began)
    value, baseline = map(statistics.median, seconds)
    suffix = "" if request.form == "range" else f"_{request.form}"
    name = f"promql_{request.name}{suffix}"
    yield Figure.beside(f"{name}_ms", value * 1000, "ms", baseline=baseline * 1000)
    yield Figure.beside(f"{name}_ratio", value / baseline, "of the original's time", baseline=1.0)


def _get(side: httpx2.Client, request: Asked) -> httpx2.Response:
    headers = {"accept-encoding": "identity"}
    return side.get(request.path, params=request.parameters, headers=headers).raise_for_status()


def _check_equal(request: Asked, ours: list[Any], theirs: list[Any]) -> None:
    """Refuse answers that name other series, in another order, or have other points."""
    where = f"{request.name} ({request.form})"
    if [one["metric"] for one in ours] != [one["metric"] for one in theirs] and request.name == "topk":
        raise RuntimeError(f"{where}: the lab answers other series, or in another order, than the original")
    found, wanted = ({repr(sorted(one["metric"].items())): _points(one) for one in rows} for rows in (ours, theirs))
    if not wanted or found.keys() != wanted.keys():
        raise RuntimeError(f"{where}: the lab answers {len(found)} series, not the original's {len(wanted)}")
    for labels, points in wanted.items():
        mine = found[labels]
        if [at for at, _ in mine] != [at for at, _ in points]:
            raise RuntimeError(f"{where}: {labels} has points at other times than in the original")
        for (at, value), (_, other) in zip(mine, points, strict=True):
            if value != other and not math.isclose(float(value), float(other), rel_tol=_TOLERANCE):
                raise RuntimeError(f"{where}: {labels} is {value} at {at}, and {other} in the original")


def _points(row: dict[str, Any]) -> list[tuple[float, str]]:
    return [(at, value) for at, value in row.get("values") or [row["value"]]]
