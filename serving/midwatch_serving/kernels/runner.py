"""`Runner` over the compiled kernels: turns work into a step's arrays, and has the threads run it."""

import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np

from midwatch_serving.kernels.amx_linear import AMX_ROWS
from midwatch_serving.kernels.arrays import Buffers, Floats, Parameters, Shape, Step, aligned
from midwatch_serving.kernels.attention import MOST_ROWS, pages_for, scratch_floats
from midwatch_serving.kernels.emit import LANES
from midwatch_serving.kernels.forward import COUNTERS, forward, unembed
from midwatch_serving.kernels.linear import LINEAR_FLOATS, rows_for, tile_configuration
from midwatch_serving.kernels.micro import PANEL
from midwatch_serving.kernels.packing import KINDS, Packed, packed
from midwatch_serving.model import Model
from midwatch_serving.runner import LOGIT_ROWS, due_rows
from midwatch_serving.work import Work


class KernelRunner:
    """`Runner` on int8 weights. Blocks must be a multiple of 16 tokens."""

    def __init__(
        self,
        model: Model,
        kind: str,
        *,
        num_blocks: int,
        block_size: int,
        max_model_len: int,
        max_rows: int,
        threads: int = 1,
        cache: Path | None = None,
    ) -> None:
        """`max_rows` is the most tokens that a step starts with; more make the buffers grow.

        Raises:
            KernelError: when the model's sizes do not fit the kernels.
        """
        self.name = kind
        self._model: Packed = packed(model, kind, max_model_len=max_model_len, cache=cache)
        self._lanes = block_size // LANES
        self._pages = pages_for(KINDS[kind], self._model.shape, num_blocks * self._lanes)
        self._tokens_a_tile = max(1, MOST_ROWS // (self._model.shape.heads // self._model.shape.kv_heads))
        self._forbidden = np.flatnonzero(model.forbidden)
        self._vocab = model.config.vocab
        self._team = Team(threads)
        self._configuration = tile_configuration()
        self._buffers = self._room(max_rows)
        self._due: list[int] = []
        head = self._model.parameters.unembedding
        self._head_rows = rows_for(KINDS[kind], LOGIT_ROWS + AMX_ROWS, self._model.shape.hidden)
        self._logits: Floats = aligned((LOGIT_ROWS + AMX_ROWS, head.scales.shape[1] * PANEL), np.float32)

    def forward(self, work: list[Work]) -> int:
        """Compute the work; see `Runner`."""
        step, tokens, first_row = plan(work, self._lanes, self._tokens_a_tile)
        if len(tokens) + AMX_ROWS > len(self._buffers.x):
            self._buffers = self._room(len(tokens))
        b, m = self._buffers, self._model
        b.x[: len(tokens)] = m.embedding[tokens]
        b.counters[:] = 0
        p, pages, amx, threads = m.parameters, self._pages, self._configuration, self._team.threads
        self._team.run(lambda thread: forward(p, m.shape, pages, b, step, amx, thread, threads))
        self._due = due_rows(work, first_row)
        return len(self._due)

    def logits(self, first: int, count: int) -> Floats:
        """Return the logits of due rows; see `Runner`."""
        due = self._due[first : first + count]
        for here, there in zip(self._head_rows, self._buffers.narrow, strict=True):
            here[: len(due)] = there[due]
        b, out, rows = self._buffers, self._logits, self._head_rows
        head, amx, threads = self._model.parameters.unembedding, self._configuration, self._team.threads
        b.counters[:] = 0
        self._team.run(lambda thread: unembed(rows, head, out, count, b.counters, amx, b.scratch[thread], threads))
        logits = out[:count, : self._vocab]
        if len(self._forbidden):
            logits[:, self._forbidden] = -np.inf
        return logits

    def _room(self, max_rows: int) -> Buffers:
        return buffers(KINDS[self.name], self._model.shape, self._model.parameters, max_rows, self._team.threads)


def buffers(kind: type[Any], s: Shape, p: Parameters, max_rows: int, threads: int) -> Buffers:
    """Return room for steps of up to `max_rows` rows; tiles may compute up to 16 more."""
    rows = -(-(max_rows + AMX_ROWS) // AMX_ROWS) * AMX_ROWS
    width = s.heads * s.head_dim
    scratch = max(scratch_floats(s.head_dim), LINEAR_FLOATS)
    return Buffers(
        x=aligned((rows, s.hidden), np.float32),
        narrow=rows_for(kind, rows, s.hidden),
        wide=rows_for(kind, rows, s.ffn),
        mixed_rows=rows_for(kind, rows, width),
        qkv=aligned((rows, p.qkv.scales.shape[1] * PANEL), np.float32),
        mixed=aligned((rows, width), np.float32),
        y=aligned((rows, p.out.scales.shape[1] * PANEL), np.float32),
        scratch=aligned((threads, -(-scratch // LANES) * LANES), np.float32),
        counters=aligned((2 + COUNTERS * s.layers, 8), np.int64),
    )


def plan(work: list[Work], lanes: int, tokens_a_tile: int) -> tuple[Step, Any, list[int]]:
    """Return the step's arrays, its tokens, and the first row of each piece of work."""
    counts = [len(w.tokens) for w in work]
    first_row = np.concatenate([[0], np.cumsum(counts[:-1])]).astype(np.int64)
    starts = np.array([w.start for w in work], dtype=np.int64)
    ends = starts + counts
    sequence = np.repeat(np.arange(len(work)), counts)
    positions = np.arange(len(sequence), dtype=np.int64) + (starts - first_row)[sequence]
    pages = -(-ends // (lanes * LANES))
    span = 4 // lanes if lanes < 4 else 1
    tables = np.zeros((len(work), int(pages.max()) + span), dtype=np.int64)
    for row, (w, used) in enumerate(zip(work, pages.tolist(), strict=True)):
        tables[row, :used] = w.block_table[:used]
    if lanes > 1:
        tables = (tables[:, :, None] * lanes + np.arange(lanes)).reshape(len(work), -1)
    slots = tables[sequence, positions // LANES] * LANES + positions % LANES
    tiles: list[tuple[int, int, int]] = []
    for index, (first, count) in enumerate(zip(first_row.tolist(), counts, strict=True)):
        tiles += [(first + at, min(tokens_a_tile, count - at), index) for at in range(0, count, tokens_a_tile)]
    tokens = np.fromiter((token for w in work for token in w.tokens), dtype=np.int64, count=len(sequence))
    return Step(positions, slots, np.array(tiles, dtype=np.int64), tables), tokens, first_row.tolist()


Part = Callable[[int], None]


class Team:
    """The threads of a step: the caller, and helpers that wait between steps and end with the team."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._calls: list[SimpleQueue[Part | None]] = []
        self._done: SimpleQueue[BaseException | None] = SimpleQueue()
        for number in range(1, threads):
            calls: SimpleQueue[Part | None] = SimpleQueue()
            self._calls.append(calls)
            helper = threading.Thread(target=_help, args=(number, calls, self._done), name=f"kernel-{number}")
            helper.daemon = True
            helper.start()
            weakref.finalize(self, calls.put, None)

    def run(self, part: Part) -> None:
        """Run `part(thread)` on every thread and wait for all."""
        for calls in self._calls:
            calls.put(part)
        part(0)
        for _ in self._calls:
            error = self._done.get()
            if error is not None:
                raise error


def _help(number: int, calls: "SimpleQueue[Part | None]", done: "SimpleQueue[BaseException | None]") -> None:
    while (part := calls.get()) is not None:
        try:
            part(number)
        except BaseException as error:  # noqa: BLE001 (a thread's boundary: the caller raises it)
            done.put(error)
        else:
            done.put(None)
        del part  # it holds the weights, which may be let go between two steps
