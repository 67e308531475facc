"""What one step computes, as the scheduler chose it."""

from dataclasses import dataclass, field

from midwatch_serving.sequence import Sequence


@dataclass(slots=True, eq=False)
class Chunk:
    """`count` tokens of a sequence from position `start` on, computed in one step.

    Not frozen, for a frozen dataclass takes three times as long to make, and each step makes one a sequence.
    """

    sequence: Sequence
    start: int
    count: int
    samples: bool
    """Whether these are the last tokens there are, so that the next one can be chosen."""


@dataclass
class Batch:
    """What one step computes, in the order of service, and who lost its blocks to make room."""

    chunks: list[Chunk] = field(default_factory=list[Chunk])
    preempted: list[Sequence] = field(default_factory=list[Sequence])
    admitted: list[Sequence] = field(default_factory=list[Sequence])
    """Those scheduled for the first time."""

    @property
    def num_tokens(self) -> int:
        """Tokens computed in this step."""
        return sum(chunk.count for chunk in self.chunks)
