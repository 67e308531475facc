"""Fits a cost model to an executor: runs a designed set of batches and solves for the seconds of each term.

Seconds are of CPU time, which on one thread and a machine of one's own is the time on the wall.
Batches are run in a new random order in each round, so that a busy moment of the machine falls on all alike; rounds are
brought to one speed, and each batch counts by the median of its rounds. Steps that were watched in service count too,
by their duration: a queue feels the sum of all steps. Errors are relative to what is predicted, not to what was
measured, for else a noisy step would count for less the longer it took, and all would come out too short.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from midwatch_serving.cost_model import StepSeconds, segments
from midwatch_serving.nnls import Matrix, Vector, nnls
from midwatch_serving.sampling import SamplingParams
from midwatch_serving.step_shape import StepShape, shape_of_work
from midwatch_serving.watched import Step
from midwatch_serving.work import Executor, Work

ROUNDS = 9
SERVED = 10.0
"""How much all steps in service weigh, as a multiple of all designed batches, which tell what service leaves out."""
_TURNS = 4
"""Of the fit, each with weights by the prediction of the one before."""
KNOTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
"""Where the seconds of a row may change: small batches read weights, large ones compute, and tiles are padded."""
_LINEAR = (
    "decode",
    "decode_context",
    "decode_padded",
    "prefill",
    "prefill_token",
    "prefill_pair",
    "sample",
)

Chunks = tuple[tuple[int, int], ...]
"""A batch as (start, tokens) of each chunk; the last token of each is sampled."""


@dataclass(frozen=True)
class Bounds:
    """What the executor and its cache can take, and which token ids are in use."""

    num_blocks: int
    block_size: int
    max_model_len: int
    max_num_seqs: int
    max_num_batched_tokens: int
    tokens: range = range(32, 127)


@dataclass(frozen=True)
class Fit:
    """Terms and knots, and how far off they are on the batches that they were fitted to."""

    seconds: StepSeconds
    knots: tuple[int, ...]
    batches: int
    served: int
    """Steps in service that it was fitted to as well."""
    median_error: float
    """Of the batches, as a share of the measured time; so is `worst_error`."""
    p95_error: float
    worst_error: float
    worst: str

    def line(self) -> str:
        """Return one line for a person."""
        return (
            f"{self.served} steps in service and {self.batches} batches, relative residuals of the batches: median "
            f"{self.median_error:.1%}, p95 {self.p95_error:.1%}, worst {self.worst_error:.1%} ({self.worst})"
        )


def design(bounds: Bounds) -> list[Chunks]:
    """Return batches that part the terms: decodes by number and context, prefills by size and start, and mixtures."""
    room = bounds.num_blocks * bounds.block_size
    longest = min(bounds.max_model_len, room) - 1
    contexts = [c for c in (8, 64, 200, 512, 1000, 2000, 4000) if c < longest]
    sizes = [n for n in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64) if n <= bounds.max_num_seqs]
    budget = min(bounds.max_num_batched_tokens, longest)
    prompts = [p for p in (2, 5, 16, 33, 64, 100, 128, 200, 256, 400, 512, 1024, 2048) if p <= budget]
    decodes: list[Chunks] = [((c, 1),) * n for n in sizes for c in contexts if n * c <= room]
    uneven: list[Chunks] = [
        ((max(contexts), 1), *[(8, 1)] * (n - 1)) for n in sizes if n > 1 and max(contexts) + 8 * n <= room
    ]
    prefills: list[Chunks] = [((s, p),) for p in prompts for s in (0, 256, 1000) if s + p <= longest]
    several: list[Chunks] = [((0, p),) * n for p in (16, 64) for n in (2, 4) if n * p <= budget]
    mixed: list[Chunks] = [
        (*[(100, 1)] * n, (0, p))
        for n in sizes[1::2]
        for p in prompts[2::2]
        if n + p <= bounds.max_num_batched_tokens and 100 * n + p <= room
    ]
    return [*decodes, *uneven, *prefills, *several, *mixed]


def work_for(chunks: Chunks, bounds: Bounds, blocks: Sequence[int] | None = None) -> list[Work]:
    """Return a batch as work, over `blocks` in this order (by default all), each sequence's its own while they last."""
    pool = range(bounds.num_blocks) if blocks is None else blocks
    params, used = SamplingParams(max_tokens=1), 0
    work: list[Work] = []
    for start, count in chunks:
        need = -(-(start + count) // bounds.block_size)
        table = [pool[(used + i) % len(pool)] for i in range(need)]
        used += need
        tokens = [bounds.tokens[(start + i) % len(bounds.tokens)] for i in range(count)]
        work.append(Work(tokens, start, table, params, output_index=0))
    return work


def measure(executor: Executor, batches: Sequence[Chunks], bounds: Bounds, *, rounds: int, seed: int = 0) -> Vector:
    """Return the median seconds of each batch, of CPU time: a neighbour on the machine takes turns, not this.

    Steps run in a thread, as the engine's do: there numpy's large temporaries cost more than in the main thread.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="step") as thread:
        return thread.submit(_measure, executor, batches, bounds, rounds, seed).result()


def _measure(executor: Executor, batches: Sequence[Chunks], bounds: Bounds, rounds: int, seed: int) -> Vector:
    """Run each batch over blocks scattered as in a cache in use; decodes once more before, as they follow decodes."""
    rng = np.random.default_rng(seed)
    seconds = np.zeros((rounds, len(batches)))
    executor.execute(work_for(batches[0], bounds))
    for number in range(rounds):
        for index in map(int, rng.permutation(len(batches))):
            work = work_for(batches[index], bounds, rng.permutation(bounds.num_blocks).tolist())
            if all(count == 1 for _, count in batches[index]):
                executor.execute(work)
            seconds[number, index] = executor.execute(work).cpu_s
    pace = np.median(seconds / np.median(seconds, axis=0), axis=1)
    pace /= np.median(pace)
    return np.median(seconds / pace[:, None], axis=0)


def fit(batches: Sequence[Chunks], seconds: Vector, bounds: Bounds, served: Sequence[Step] = ()) -> Fit:
    """Solve for the terms, from designed batches and from steps that were watched in service."""
    shapes = [shape_of_work(work_for(chunks, bounds)) for chunks in batches]
    knots = tuple(knot for knot in KNOTS if knot < max(shape.rows for shape in shapes))
    terms = _matrix([*shapes, *(step.shape for step in served)], knots)
    measured = np.concatenate([seconds, [step.cpu_s for step in served]])
    designed = len(seconds)
    solved, predicted = np.zeros(terms.shape[1]), measured
    for _ in range(_TURNS if served else 1):
        weights = np.ones(len(measured))
        if served:
            weights[designed:] = np.sqrt(SERVED * designed * predicted[designed:] / predicted[designed:].sum())
        solved = nnls(terms * (weights / predicted)[:, None], measured * weights / predicted)
        predicted = np.maximum(terms @ solved, measured.min())
    errors = np.abs(terms[:designed] @ solved / seconds - 1)
    worst = int(errors.argmax())
    slopes = len(knots) + 1
    fitted = StepSeconds(
        fixed=float(solved[0]),
        rows=tuple(float(v) for v in solved[1 : 1 + slopes]),
        **{name: float(v) for name, v in zip(_LINEAR, solved[1 + slopes :], strict=True)},
    )
    return Fit(
        seconds=fitted,
        knots=knots,
        batches=len(batches),
        served=len(served),
        median_error=float(np.median(errors)),
        p95_error=float(np.percentile(errors, 95)),
        worst_error=float(errors[worst]),
        worst=_words(batches[worst]),
    )


def _matrix(shapes: Iterable[StepShape], knots: tuple[int, ...]) -> Matrix:
    return np.array(
        [
            [
                1.0,
                *segments(s.rows, knots),
                s.decodes,
                s.decode_context,
                s.decodes * s.longest_context,
                s.prefills,
                s.prefill_tokens,
                s.prefill_pairs,
                s.samples,
            ]
            for s in shapes
        ],
        dtype=np.float64,
    )


def _words(chunks: Chunks) -> str:
    kinds = dict.fromkeys(chunks)
    return " + ".join(f"{chunks.count(c)} x {'decode' if c[1] == 1 else f'prefill of {c[1]}'} at {c[0]}" for c in kinds)
