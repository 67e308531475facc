"""What every worker shares: one JSON command a line on standard input, one JSON answer a line on standard output.

A worker loads its model once, says so, and then computes only while a command waits for its answer; whoever commands
several of them so lets them take turns. It ends with its standard input. Standard library alone: the peers' own
environment has nothing of ours.

    <- {"ready": {"about": "...", ...}}
    -> {"measure": "decode", "batch": 4, "context": 256, "tokens": 64, "seed": 1}
    <- {"tokens": 252, "seconds": 0.51}
    <- {"error": "..."}
"""

import json
import os
import random
import sys
import traceback
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, TextIO

TOKENS = range(1000, 40000)
"""Ids that prompts are drawn from: words of every kind, no marks of a chat."""


@dataclass(frozen=True)
class Measured:
    """What one measurement found: so many tokens (or bytes) in so many seconds."""

    tokens: int
    seconds: float

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return self.tokens / self.seconds


@dataclass(frozen=True)
class Ready:
    """A loaded worker: what it says of itself, and what it can measure, by the command's `measure`."""

    facts: Mapping[str, Any]
    measures: Mapping[str, Callable[..., Measured]]


def prompts(batch: int, length: int, seed: int, vocab: int = TOKENS.stop) -> list[list[int]]:
    """Return `batch` prompts of random tokens; every worker that is given the same seed computes the same ones."""
    rng = random.Random(seed)  # noqa: S311 (a load, not a secret)
    ids = TOKENS if vocab >= TOKENS.stop else range(vocab)
    return [[rng.choice(ids) for _ in range(length)] for _ in range(batch)]


def together(times: Sequence[Sequence[float]], tokens: int) -> Measured:
    """Return what several streams of `tokens` tokens yielded while all of them ran.

    `times` holds, a stream, when each of its pieces came. A piece may have the text of more than one token (a character
    that takes several), so each stream's pieces are scaled to its tokens. All ran from the last of the first pieces to
    the first of the last ones; the rate is the sum of the streams' rates in that time.

    Raises:
        ValueError: when they never ran all at once.
    """
    begin, end = max(pieces[0] for pieces in times), min(pieces[-1] for pieces in times)
    found, rate = 0.0, 0.0
    for pieces in times:
        inside = [at for at in pieces if begin <= at <= end]
        if len(inside) < 2 or inside[-1] == inside[0]:  # noqa: PLR2004 (a rate has two ends)
            raise ValueError("the streams hardly ran at the same time: give them more tokens")
        steps = tokens / len(pieces) * (len(inside) - 1)
        found += steps
        rate += steps / (inside[-1] - inside[0])
    return Measured(round(found), found / rate)


def run(load: Callable[[], Ready]) -> int:
    """Load, then answer commands until standard input ends; return the exit code."""
    with _own_stdout() as answers:

        def answer(body: Mapping[str, Any]) -> None:
            answers.write(json.dumps(body) + "\n")
            answers.flush()

        try:
            ready = load()
        except Exception as error:  # noqa: BLE001 (a process's boundary: whoever commands it is told)
            traceback.print_exc()
            answer({"error": f"{type(error).__name__}: {error}"})
            return 1
        answer({"ready": dict(ready.facts)})
        for line in sys.stdin:
            command: dict[str, Any] = json.loads(line)
            try:
                measure = ready.measures[command.pop("measure")]
                answer(asdict(measure(**command)))
            except Exception as error:  # noqa: BLE001 (as above)
                traceback.print_exc()
                answer({"error": f"{type(error).__name__}: {error}"})
    return 0


@contextmanager
def _own_stdout() -> Generator[TextIO]:
    """Yield standard output for answers alone: what libraries print there goes to standard error."""
    sys.stdout.flush()
    mine = os.dup(1)
    os.dup2(2, 1)
    with os.fdopen(mine, "w", encoding="utf-8") as answers:
        yield answers
