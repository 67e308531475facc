"""ServeGen's client profiles (Xiang et al. 2025) as requests.

`NAME-trace.csv` has no header; a row is a window: start in seconds, requests a second, coefficient of variation of the
gaps, their distribution (Gamma or Weibull) and its shape and scale. `NAME-dataset.json` maps the start of a longer
window to `input_tokens` and `output_tokens`, each a text such as `{224: 0.0003, …}`: length and probability.
"""

import csv
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from midwatch_serving.errors import WorkloadError
from midwatch_serving.workload import Request

COLUMNS = 6
DEFAULT_WINDOW_S = 600.0
_ENTRY = re.compile(r"(\d+)\s*:\s*([0-9.eE+-]+)")


@dataclass(frozen=True)
class _Window:
    start: float
    seconds: float
    rate: float
    kind: str
    shape: float
    scale: float


@dataclass(frozen=True)
class _Lengths:
    values: NDArray[np.int64]
    weights: NDArray[np.float64]

    def draw(self, rng: Generator) -> int:
        return int(rng.choice(self.values, p=self.weights))


def read_servegen(traces: Iterable[Path], *, limit: int, seed: int) -> list[Request]:
    """Return the first `limit` requests that the clients send together, drawn from their profiles.

    Raises:
        WorkloadError: names file and line.
    """
    requests: list[Request] = []
    for number, path in enumerate(traces):
        windows, lengths = list(_windows(path)), _datasets(path)
        sent: list[Request] = []
        for request in _client(windows, lengths, np.random.default_rng((seed, number))):
            sent.append(request)
            if len(sent) == limit:
                break
        requests += sent
    requests.sort(key=lambda r: r.arrival_s)
    if not requests:
        raise WorkloadError("these ServeGen profiles send no request")
    start = requests[0].arrival_s
    return [Request(r.arrival_s - start, r.prompt_tokens, r.output_tokens) for r in requests[:limit]]


def _client(
    windows: list[_Window], lengths: list[tuple[float, tuple[_Lengths, _Lengths] | None]], rng: Generator
) -> Iterator[Request]:
    for window in windows:
        known = [pair for start, pair in lengths if start <= window.start and pair is not None]
        if window.rate <= 0 or not known:
            continue
        prompt, output = known[-1]
        at = window.start
        while (at := at + _gap(window, rng)) < window.start + window.seconds:
            yield Request(at, max(1, prompt.draw(rng)), max(1, output.draw(rng)))


def _gap(window: _Window, rng: Generator) -> float:
    if window.kind == "gamma":
        return float(rng.gamma(window.shape, window.scale))
    return float(window.scale * rng.weibull(window.shape))


def _windows(path: Path) -> Iterator[_Window]:
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        reader = csv.reader(file)
        rows = [(reader.line_num, row) for row in reader if row]
    starts = [_number(path, line, row[0]) for line, row in rows]
    ends = [b - a for a, b in pairwise(starts)] + [DEFAULT_WINDOW_S]
    for (line, row), start, seconds in zip(rows, starts, ends, strict=True):
        if len(row) != COLUMNS:
            raise WorkloadError(f"{path}: line {line}: {len(row)} fields where a ServeGen window has {COLUMNS}")
        rate, shape, scale = _number(path, line, row[1]), _number(path, line, row[4]), _number(path, line, row[5])
        kind = row[3].strip().lower()
        if rate > 0 and (kind not in {"gamma", "weibull"} or shape <= 0 or scale <= 0):
            raise WorkloadError(
                f"{path}: line {line}: {row[3]!r} with shape {shape} and scale {scale}: Gamma or Weibull with numbers "
                "above 0 is expected"
            )
        yield _Window(start, seconds, rate, kind, shape, scale)


def _datasets(trace: Path) -> list[tuple[float, tuple[_Lengths, _Lengths] | None]]:
    path = trace.with_name(trace.name.replace("-trace.csv", "-dataset.json"))
    if not path.is_file():
        raise WorkloadError(f"{trace} has no {path.name} beside it, which says how long its requests are")
    try:
        data = cast("dict[str, dict[str, Any]]", json.loads(path.read_text("utf-8")))
        found = [
            (float(start), (_lengths(part["input_tokens"]), _lengths(part["output_tokens"])))
            for start, part in data.items()
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WorkloadError(f"{path} is no ServeGen dataset: {type(error).__name__}: {error}") from error
    pairs = [(start, None if p is None or o is None else (p, o)) for start, (p, o) in found]
    return sorted(pairs, key=lambda pair: pair[0])


def _lengths(text: str) -> _Lengths | None:
    entries = [(int(length), float(share)) for length, share in _ENTRY.findall(text)]
    if not entries:
        return None
    weights = np.array([share for _, share in entries])
    return _Lengths(np.array([length for length, _ in entries], dtype=np.int64), weights / weights.sum())


def _number(path: Path, line: int, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise WorkloadError(f"{path}: line {line}: {text!r} is no number") from error
