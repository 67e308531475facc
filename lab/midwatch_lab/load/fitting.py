"""A trace as a specification: its rate, the burstiness of its arrivals, and the quantiles of its lengths.

`measured.json` holds what this says of the published traces; `midwatch lab load fit` says it of anyone's own.
"""

from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midwatch_lab.load.errors import TraceError
from midwatch_serving.errors import WorkloadError
from midwatch_serving.traces import requests_of

SHARES = (0.0, *(round(n / 20, 2) for n in range(1, 20)), 0.99, 0.999, 1.0)
WINDOW_S = 60.0
"""Burstiness is the median over windows of so many seconds, lest a trace's slow tides count as bursts."""
_LEAST = 21
"""More arrivals than these make a window count."""

Numbers = NDArray[np.float64]


def fit(path: Path) -> dict[str, Any]:
    """Return a specification, without a target, that draws what a trace looks like; reads the file once.

    Raises:
        TraceError: a row cannot be read, or there are fewer than two; names file and line.
    """
    columns = array("d"), array("d"), array("d")
    try:
        for request in requests_of(path):
            for column, value in zip(
                columns, (request.arrival_s, request.prompt_tokens, request.output_tokens), strict=True
            ):
                column.append(value)
    except (WorkloadError, OSError) as error:
        raise TraceError(str(error)) from error
    times, prompts, outputs = (np.frombuffer(column, dtype=np.float64) for column in columns)
    if len(times) < 2 or times[-1] <= times[0]:  # noqa: PLR2004 (a gap needs two)
        raise TraceError(f"{path} holds no two requests at different times: nothing to fit")
    return {
        "shape": "gamma",
        "rate": round((len(times) - 1) / float(times[-1] - times[0]), 4),
        "cv": round(min(max(burstiness(times), 0.01), 20.0), 2),
        "prompt_tokens": {"kind": "quantiles", **quantiles(prompts)},
        "output_tokens": {"kind": "quantiles", **quantiles(outputs)},
    }


def burstiness(times: Numbers) -> float:
    """Return the median, over windows of a minute, of the gaps' coefficient of variation; of all gaps if too few."""
    ordered = np.sort(times)
    windows = np.floor((ordered - ordered[0]) / WINDOW_S)
    parts = [np.diff(part) for part in np.split(ordered, np.flatnonzero(np.diff(windows)) + 1) if len(part) > _LEAST]
    return float(np.median([_cv(part) for part in parts])) if parts else _cv(np.diff(ordered))


def quantiles(values: Numbers) -> dict[str, Any]:
    """Return `shares`, `values` and `means` of lengths: the quantiles, and the mean between each two."""
    ordered = np.sort(values)
    count = len(ordered)
    found = [ordered[0] - 1, *(ordered[min(_index(share, count), count - 1)] for share in SHARES[1:])]
    before = np.concatenate([[0.0], np.cumsum(ordered)])
    sums = np.interp(np.array(SHARES) * count, np.arange(count + 1), before)
    means = np.diff(sums) / np.diff(np.array(SHARES) * count)
    return {"shares": list(SHARES), "values": _floats(found), "means": [round(mean, 3) for mean in means.tolist()]}


def _index(share: float, count: int) -> int:
    """Return the place of the smallest value that so large a share does not exceed."""
    return int(np.ceil(share * count - 1e-9)) - 1


def _floats(values: Iterable[Any]) -> list[float]:
    return [float(value) for value in values]


def _cv(gaps: Numbers) -> float:
    return float(gaps.std() / gaps.mean()) if gaps.mean() > 0 else 0.0
