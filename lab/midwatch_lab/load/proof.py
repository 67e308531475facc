"""Whether the presets draw what was published: each figure beside what a number of draws gives, and how far apart.

A figure's distance is counted in standard errors of the draws, so that no tolerance is chosen: of a mean and a
coefficient of variation by their influence functions, of a quantile by the binomial law of how many draws lie below
it, of a conversation's figures by the spread over conversations.
"""

import argparse
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from midwatch_contracts.command import Settings
from midwatch_contracts.exit_codes import Exit
from midwatch_lab.load.distributions import tables
from midwatch_lab.load.presets import AZURE, BURSTGPT, COPILOT, MOONCAKE, SERVEGEN, SERVEGEN_CLIENTS
from midwatch_lab.load.spec import DAY_CURVE, AnyLoad, SessionsLoad, read_spec
from midwatch_lab.load.traffic import Call, first, sessions

DRAWS = 100_000
MOST_ERRORS = 5.0
"""Beyond so many standard errors a figure does not fit: by chance one of a hundred does in one of 20,000 seeds."""
THEORY = "the process itself"
_TARGET = "Service/llm/chat"
_DAYS = 8
_RATE = 10.0

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Figure:
    """One published figure and what was drawn; `errors` is their distance in standard errors."""

    shape: str
    name: str
    published: float
    drawn: float
    errors: float
    source: str


def prove(draws: int = DRAWS, seed: int = 1) -> list[Figure]:
    """Return every figure of every shape, from `draws` draws each (conversations: calls)."""
    parts: tuple[Callable[[int, int], Iterator[Figure]], ...] = (
        _processes,
        _burstgpt,
        _measured,
        _day,
        _mixed,
        _agent,
    )
    return [figure for part in parts for figure in part(draws, seed)]


@dataclass(frozen=True)
class _Drawn:
    gaps: Numbers
    prompts: Numbers
    outputs: Numbers
    clients: NDArray[np.str_]
    times: Numbers


def _draw(count: int, seed: int, **fields: object) -> _Drawn:
    spec: AnyLoad = read_spec({"target": _TARGET, "seed": seed, **fields})
    found = first(spec, count)
    works = [arrival.work for arrival in found if isinstance(arrival.work, Call)]
    times = np.array([arrival.at_s for arrival in found])
    return _Drawn(
        np.diff(times, prepend=0.0),
        np.array([work.prompt_tokens for work in works], dtype=np.float64),
        np.array([work.output_tokens for work in works], dtype=np.float64),
        np.array([work.client for work in works]),
        times,
    )


def _processes(draws: int, seed: int) -> Iterator[Figure]:
    """Yield the figures of arrivals that follow from the process alone."""
    poisson, constant, batch = (_Shape(name, THEORY) for name in ("poisson", "constant", "batch"))
    gaps = _draw(draws, seed, shape="poisson", rate=5).gaps
    yield poisson.mean("gap s", 0.2, gaps)
    yield poisson.cv("gap", 1.0, gaps)
    for share in (0.5, 0.99):
        yield poisson.quantile("gap s", share, -math.log(1 - share) / 5, gaps)
    gaps = _draw(draws, seed, shape="constant", rate=4).gaps
    yield constant.mean("gap s", 0.25, gaps)
    yield constant.cv("gap", 0.0, gaps)
    gaps = _draw(draws, seed, preset="batch", rate=64).gaps[1:]
    yield batch.mean("gap s", 1 / 64, gaps)
    yield batch.cv("gap", math.sqrt(63), gaps)


def _burstgpt(draws: int, seed: int) -> Iterator[Figure]:
    """Yield BurstGPT's model: gamma gaps of shape 0.5 and scale 2 s (a chi-square of 1), Zipf lengths below 1024."""
    shape, drawn = _Shape("burstgpt", BURSTGPT), _draw(draws, seed, preset="burstgpt", rate=1)
    yield shape.mean("gap s", 0.5 * 2.0, drawn.gaps)
    yield shape.cv("gap", 0.5**-0.5, drawn.gaps)
    for share, value in ((0.5, 0.454936), (0.9, 2.705543), (0.99, 6.634897)):
        yield shape.quantile("gap s", share, value, drawn.gaps)
    lengths = np.arange(1, 1024, dtype=np.float64)
    shares = lengths**-1.1 / (lengths**-1.1).sum()
    mean = float((lengths * shares).sum())
    spread = math.sqrt(float(((lengths - mean) ** 2 * shares).sum()))
    for side, values in (("prompt", drawn.prompts), ("output", drawn.outputs)):
        yield shape.mean(f"{side} tokens", mean, values)
        yield shape.cv(f"{side} tokens", spread / mean, values)
        for share in (0.5, 0.9):
            yield shape.quantile(
                f"{side} tokens", share, float(lengths[np.searchsorted(shares.cumsum(), share)]), values
            )


def _measured(draws: int, seed: int) -> Iterator[Figure]:
    """Yield the presets whose lengths were measured on a trace."""
    for preset, cv, table, source in (
        ("chat", 1.02, "azure-conv", AZURE),
        ("code", 3.18, "azure-code", AZURE),
        ("long-context", None, "mooncake-conversation", MOONCAKE),
    ):
        shape, drawn = _Shape(preset, source), _draw(draws, seed, preset=preset, rate=_RATE)
        if cv is not None:
            yield shape.cv("gap", cv, drawn.gaps)
        for side, values in (("prompt", drawn.prompts), ("output", drawn.outputs)):
            found = tables()[f"{table}.{side}"]
            yield shape.mean(f"{side} tokens", found.mean, values)
            yield shape.cv(f"{side} tokens", found.cv, values)
            for share in (0.5, 0.9, 0.99):
                value = found.quantiles.values[found.quantiles.shares.index(share)]
                yield shape.quantile(f"{side} tokens", share, value, values)


def _day(draws: int, seed: int) -> Iterator[Figure]:
    """Yield the rate in some hours of the day, relative to the day's mean, over whole days."""
    per_day = draws / _DAYS
    day_s = per_day / _RATE
    drawn = _draw(draws, seed, preset="day", rate=_RATE, day_s=day_s)
    days = int(drawn.times[-1] // day_s)
    times = drawn.times[drawn.times < days * day_s]
    hours = np.floor(times % day_s / (day_s / 24)).astype(int)
    for hour in (2, 9, 16, 23):
        published = DAY_CURVE[hour] * 24 / sum(DAY_CURVE)
        mean = days * per_day / 24
        count = float((hours == hour).sum())
        errors = abs(count - published * mean) / math.sqrt(published * mean)
        yield Figure("day", f"rate at {hour}:00, relative to the mean", published, count / mean, errors, SERVEGEN)


def _mixed(draws: int, seed: int) -> Iterator[Figure]:
    shape, drawn = _Shape("mixed", SERVEGEN), _draw(draws, seed, preset="mixed", rate=_RATE)
    total, seconds = sum(rate for _, rate, _ in SERVEGEN_CLIENTS), float(drawn.times[-1])
    for number, rate, cv in SERVEGEN_CLIENTS:
        name = f"m-large-{number}"
        mine = drawn.clients == name
        # Arrivals in a time t of a renewal process have the variance cv**2 * rate * t, in the limit.
        expected, count = _RATE * rate / total * seconds, float(mine.sum())
        errors = abs(count - expected) / (cv * math.sqrt(expected))
        yield Figure("mixed", f"{name}: requests/s", expected / seconds, count / seconds, errors, SERVEGEN)
        yield shape.cv(f"{name}: gap", cv, np.diff(drawn.times[mine], prepend=0.0))
        for side, values in (("prompt", drawn.prompts[mine]), ("output", drawn.outputs[mine])):
            yield shape.mean(f"{name}: {side} tokens", tables()[f"servegen-{name}.{side}"].mean, values)


def _agent(draws: int, seed: int) -> Iterator[Figure]:
    """Yield what the Copilot traces say of conversations: the card's averages, and its sums over its calls."""
    shape = _Shape("agent", COPILOT)
    spec = read_spec({"target": _TARGET, "preset": "agent", "rate": 1, "seed": seed})
    assert isinstance(spec, SessionsLoad)  # noqa: S101 (the preset's shape)
    found = list(islice(sessions(spec), draws))
    turns = np.array([float(one.person.sum()) for one in found])
    calls = np.array([float(len(one.person)) for one in found])
    prompts = np.array([float(one.prompt_tokens().sum()) for one in found])
    outputs = np.array([float(one.output_tokens.sum()) for one in found])
    yield shape.mean("turns of a conversation", 3.95, turns)
    yield shape.ratio("calls of a turn", 7.83, calls, turns)
    yield shape.ratio("prompt tokens of a call", 631.4e9 / 9_310_255, prompts, calls)
    yield shape.ratio("output tokens of a call", 4.91e9 / 9_310_255, outputs, calls)


@dataclass(frozen=True)
class _Shape:
    """Judges the figures of one shape."""

    name: str
    source: str

    def mean(self, of: str, published: float, values: Numbers) -> Figure:
        """Judge a mean."""
        return self._figure(f"mean {of}", published, float(values.mean()), values)

    def cv(self, of: str, published: float, values: Numbers) -> Figure:
        """Judge a coefficient of variation."""
        mean, spread = float(values.mean()), float(values.std())
        off = values - mean
        influence = (off**2 - spread**2) / (2 * spread * mean) - spread * off / mean**2 if spread > 0 else off
        return self._figure(f"CV of {of}", published, spread / mean, influence)

    def ratio(self, of: str, published: float, above: Numbers, below: Numbers) -> Figure:
        """Judge the mean of one over the mean of the other."""
        ratio = float(above.sum() / below.sum())
        return self._figure(f"mean {of}", published, ratio, (above - ratio * below) / float(below.mean()))

    def quantile(self, of: str, share: float, published: float, values: Numbers) -> Figure:
        """Judge a quantile by the draws below it: at most `share` of them, and with those that equal it at least."""
        error = math.sqrt(share * (1 - share) / len(values))
        below, upto = float((values < published).mean()), float((values <= published).mean())
        errors = max(below - share, share - upto, 0.0) / error
        drawn = float(np.quantile(values, share, method="inverted_cdf"))
        return Figure(self.name, f"p{share * 100:g} of {of}", published, drawn, errors, self.source)

    def _figure(self, name: str, published: float, drawn: float, influence: Numbers) -> Figure:
        return Figure(self.name, name, published, drawn, _apart(drawn, published, influence), self.source)


def _apart(found: float, published: float, influence: Numbers) -> float:
    """Return the distance in standard errors of the mean of `influence`."""
    error = float(influence.std()) / math.sqrt(len(influence))
    if error < 1e-9 * max(abs(published), 1.0):
        return 0.0 if math.isclose(found, published, rel_tol=1e-6, abs_tol=1e-6) else math.inf
    return abs(found - published) / error


def table(figures: list[Figure]) -> list[str]:
    """Return the rows of a Markdown table, without its head."""
    return [
        f"| `{f.shape}` | {f.name} | {f.published:.4g} | {f.drawn:.4g} | {f.errors:.1f} | {f.source} |" for f in figures
    ]


COLUMNS = ("shape", "figure", "published", "drawn", "standard errors apart", "source")


def main(arguments: argparse.Namespace, _settings: Settings) -> int:
    """`midwatch bench load-shapes`: print the table; exit 1 when a figure is too far from what was published."""
    figures = prove(arguments.draws, arguments.seed)
    far = [figure for figure in figures if figure.errors > MOST_ERRORS]
    if arguments.json:
        answer = {"draws": arguments.draws, "figures": [vars(figure) for figure in figures], "far": len(far)}
        print(json.dumps(answer))  # noqa: T201 (the answer)
    else:
        rows = [f"| {' | '.join(COLUMNS)} |", "|" + "---|" * len(COLUMNS), *table(figures)]
        summary = f"load shapes: {len(figures)} figures of {arguments.draws} draws each, {len(far)} beyond "
        print("\n".join([*rows, "", f"{summary}{MOST_ERRORS:g} standard errors"]))  # noqa: T201 (the answer)
    return Exit.INTERNAL if far else Exit.OK
