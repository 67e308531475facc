"""The figures of `make bench-serving`: which two workers each compares, by what measure, and what it should reach."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from midwatch_contracts.figure import Figure
from midwatch_serving.peers.worker import Measured

ENGINE, ENGINE_1, HTTP, OPENVINO, XLLAMACPP = "engine", "engine-1-thread", "http", "openvino", "xllamacpp"
"""Workers. `ENGINE` has two kernel threads as its peers have; `ENGINE_1` one, as the server that `HTTP` asks."""
PEERS = (OPENVINO, XLLAMACPP)

CONTEXT = 256
DECODED = {1: 128, 4: 128, 16: 64}
"""Tokens that each sequence generates, by batch: about half a second of the engine."""
HTTP_DECODED = 128
HTTP_PROMPT = 128
"""Tokens whose time to the first token is compared over HTTP."""


@dataclass(frozen=True)
class Comparison:
    """One figure: `ours` against `theirs`, both asked the same."""

    name: str
    ours: str
    theirs: str
    command: Mapping[str, Any]
    """What the workers are sent, but for the seed."""
    unit: str = "tokens/s"
    goal: float | None = None
    """Least ratio."""
    rounds: int = 1
    """Pairs measured where `--pairs` asks for one."""

    @property
    def their_command(self) -> Mapping[str, Any]:
        """What `theirs` is sent."""
        return self.command

    def values(self, ours: Sequence[Measured], theirs: Sequence[Measured]) -> tuple[float, float]:
        """Return value and baseline: medians."""
        return _median_rate(ours), _median_rate(theirs)

    def figure(self, ours: Sequence[Measured], theirs: Sequence[Measured]) -> Figure:
        """Return the figure of the pairs that were measured."""
        value, baseline = self.values(ours, theirs)
        command = f"make bench-serving ARGS='--only {self.name}'"
        found = Figure.beside(self.name, value, self.unit, baseline=baseline)
        return found.model_copy(update={"command": command})

    def verdict(self, figure: Figure) -> str:
        """Return what a person wants to know of the figure beside its numbers."""
        return "" if self.goal is None else f"{_reached(figure.ratio >= self.goal)} the goal of {self.goal}"


@dataclass(frozen=True)
class Overhead(Comparison):
    """Milliseconds that `ours` takes longer than `theirs`; the ratio is to the time that theirs takes."""

    unit: str = "ms"
    most_ms: float = 5.0
    rounds: int = 5

    def values(self, ours: Sequence[Measured], theirs: Sequence[Measured]) -> tuple[float, float]:
        """Return the median of the pairs' differences, and of the time of theirs."""
        differences = [mine.seconds - yours.seconds for mine, yours in zip(ours, theirs, strict=True)]
        return 1e3 * statistics.median(differences), 1e3 * statistics.median(one.seconds for one in theirs)

    def verdict(self, figure: Figure) -> str:
        """Return whether it is short enough."""
        return f"{_reached(figure.value <= self.most_ms)} the goal of {self.most_ms:g} ms at most"


@dataclass(frozen=True)
class Bandwidth(Comparison):
    """Weights read a second while decoding one sequence, beside what memory gives as many threads.

    A token at batch 1 goes through every matrix once, so that memory bounds its time: the ratio is the share reached.
    """

    unit: str = "GB/s"
    weight_bytes: int = field(default=0, kw_only=True)
    """As the worker that measures it says."""

    @property
    def their_command(self) -> Mapping[str, Any]:
        """Read memory instead of decoding."""
        return {"measure": "read"}

    def values(self, ours: Sequence[Measured], theirs: Sequence[Measured]) -> tuple[float, float]:
        """Return medians in GB/s."""
        return _median_rate(ours) * self.weight_bytes / 1e9, _median_rate(theirs) / 1e9

    def verdict(self, figure: Figure) -> str:
        """Return the bound in tokens."""
        each = self.weight_bytes / 1e9
        return (
            f"{each * 1e3:.0f} MB a token bound decode at {figure.baseline / each:.0f} tokens/s; "
            f"{figure.value / each:.0f} are reached, {figure.ratio:.0%}"
        )


def _median_rate(measured: Sequence[Measured]) -> float:
    return statistics.median(one.rate for one in measured)


def _reached(is_reached: bool) -> str:  # noqa: FBT001 (a word for it)
    return "reaches" if is_reached else "MISSES"


def _decode(batch: int, tokens: int) -> dict[str, Any]:
    return {"measure": "decode", "batch": batch, "context": CONTEXT, "tokens": tokens}


GOALS = {
    OPENVINO: {1: 1.4, 4: 1.1, 16: 1.0},
    XLLAMACPP: {1: 1.5, 4: 2.5, 16: 3.5},
}
"""Least ratios of decode, by batch."""
COMPARISONS: tuple[Comparison, ...] = (
    *(
        Comparison(f"decode_b{batch}_{peer}", ENGINE, peer, _decode(batch, tokens), goal=GOALS[peer][batch])
        for batch, tokens in DECODED.items()
        for peer in PEERS
    ),
    *(
        Comparison(f"prefill512_{peer}", ENGINE, peer, {"measure": "prefill", "tokens": 512}, goal=goal)
        for peer, goal in ((OPENVINO, 0.9), (XLLAMACPP, None))
    ),
    Bandwidth("decode_b1_bandwidth", ENGINE, ENGINE, _decode(1, DECODED[1])),
    Comparison("http_c16_engine", HTTP, ENGINE_1, _decode(16, HTTP_DECODED), goal=0.85),
    Overhead("http_ttft_overhead_ms", HTTP, ENGINE_1, {"measure": "prefill", "tokens": HTTP_PROMPT}),
)
NAMES = tuple(comparison.name for comparison in COMPARISONS)
