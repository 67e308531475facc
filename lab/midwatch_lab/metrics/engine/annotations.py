"""Warnings and infos beside an answer, each once, with the place in the query that it is about.

Texts and the rules by which equal ones become one are the original's, since people search for them.
"""

from dataclasses import dataclass, field
from typing import Final

from midwatch_contracts.times import rfc3339
from midwatch_lab.metrics.numbers import shortest_text

_SHOWN: Final = 10
"""Warnings, and infos, that an answer of the HTTP API names."""
_MONOTONICITY: Final = (
    "PromQL info: input to histogram_quantile needed to be fixed for monotonicity (see "
    "https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)"
)


@dataclass
class Forced:
    """What was changed to make the counts of histograms rise: times (ms), bounds of buckets, and the largest change."""

    first_ms: int
    last_ms: int
    low: float
    high: float
    change: float
    samples: int = 1

    def add(self, other: "Forced") -> None:
        """Take in what was changed in another histogram, or at another step."""
        self.first_ms, self.last_ms = min(self.first_ms, other.first_ms), max(self.last_ms, other.last_ms)
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.change = max(self.change, other.change)
        self.samples += other.samples

    def text(self) -> str:
        """Return the note."""
        start, end = (rfc3339(float(at // 1000)).replace(".000Z", "Z") for at in (self.first_ms, self.last_ms))
        return (
            f"{_MONOTONICITY}, from buckets {shortest_text(self.low)} to {shortest_text(self.high)}, with a max diff "
            f"of {self.change:.2g}, over {self.samples} samples from {start} to {end}"
        )


@dataclass
class Annotations:
    """The notes of one query; positions are character offsets."""

    notes: dict[str, int | None] = field(default_factory=dict[str, "int | None"])
    """Position by text; None for what is not about a place. Of equal texts the last counts."""
    forced: Forced | None = None
    forced_at: int = 0

    def __bool__(self) -> bool:
        return bool(self.notes) or self.forced is not None

    def warn(self, text: str, position: int | None) -> None:
        """Add a warning about an expression that starts at `position`."""
        self.notes[f"PromQL warning: {text}"] = position

    def inform(self, text: str, position: int) -> None:
        """Add an info about an expression that starts at `position`."""
        self.notes[f"PromQL info: {text}"] = position

    def force(self, forced: Forced, position: int) -> None:
        """Note that a histogram's counts did not rise."""
        if self.forced is None:
            self.forced, self.forced_at = forced, position
        else:
            self.forced.add(forced)

    def rendered(self, query: str) -> tuple[list[str], list[str]]:
        """Return all warnings and all infos, with lines and columns of the query."""
        found = [text if at is None else f"{text} ({line_column(query, at)})" for text, at in self.notes.items()]
        if self.forced is not None:
            found.append(f"{self.forced.text()} ({line_column(query, self.forced_at)})")
        infos = [text for text in found if text.startswith("PromQL info: ")]
        return [text for text in found if not text.startswith("PromQL info: ")], infos


def line_column(query: str, position: int) -> str:
    """Return `line:column` from 1; columns count bytes, as the original's do."""
    before = query[:position].encode("utf-8", "surrogatepass")
    return f"{before.count(10) + 1}:{len(before) - before.rfind(10)}"


def shortened(texts: list[str], kind: str) -> list[str]:
    """Return the texts that an answer names: ten, and how many more there are."""
    more = len(texts) - _SHOWN
    return texts if more <= 0 else [*texts[:_SHOWN], f"{more} more {kind} annotations omitted"]
