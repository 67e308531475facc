"""The model itself on the CPU, as an executor."""

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midwatch_serving.attention import ROWS, Group, attend, group
from midwatch_serving.linear import Floats, linear, padded
from midwatch_serving.model import Layer, Model
from midwatch_serving.sampler import Sampler
from midwatch_serving.sampling import Sample, SamplingParams, TokenLogprobs
from midwatch_serving.work import StepResult, Work


class CpuExecutor:
    """The model itself, over one paged cache. The same tokens come out whatever the batch (`linear`, `attention`)."""

    def __init__(self, model: Model, *, num_blocks: int, block_size: int, max_model_len: int) -> None:
        c = model.config
        self._model = model
        self._block_size = block_size
        self._sampler = Sampler(model.tokenizer.eos)
        self._cache = np.zeros((c.layers, num_blocks * block_size, 2, c.kv_heads, c.head_dim), dtype=np.float32)
        frequency = c.rope_base ** (-np.arange(0, c.head_dim, 2) / c.head_dim)
        self._rotation = np.exp(1j * np.outer(np.arange(max_model_len), frequency)).astype(np.complex64)
        self._tile = model.tile

    def warm_up(self) -> None:
        """Compute a token for nobody, so that no request pays for first touches; leaves only unused slots written."""
        nobody = SamplingParams(max_tokens=1)
        self.logits([Work([0], 0, [0], nobody, 0), Work([0, 0], 0, [0, 0], nobody, None)])

    def execute(self, work: list[Work]) -> StepResult:
        """Compute one step and choose the tokens that are due."""
        before = time.thread_time()
        logits = self.logits(work)
        samples: list[Sample | None] = [None] * len(work)
        scored: dict[int, tuple[TokenLogprobs, ...]] = {}
        row = 0
        for index, w in enumerate(work):
            if w.output_index is not None:
                samples[index] = self._sampler.choose(logits[row], w)
                row += 1
            elif count := len(w.scored[1]):
                scored[index] = self._sampler.score(logits[row : row + count], w)
                row += count
        return StepResult(
            samples,
            time.thread_time() - before,
            {index: tuple(found.logprob for found in logprobs) for index, logprobs in scored.items()},
            {index: logprobs for index, logprobs in scored.items() if work[index].params.logprobs is not None},
        )

    def logits(self, work: list[Work]) -> Floats:
        """Write keys and values of the work into the cache; return (due, vocab) logits of the rows that are due.

        Those are the last row of work whose next token is chosen, and the rows of scoring work that score a token.
        """
        plan = _plan(work, self._block_size)
        x = np.zeros((padded(len(plan.positions), self._tile), self._model.config.hidden), dtype=np.float32)
        x[: len(plan.tokens)] = self._model.embedding[plan.tokens]
        rotation = self._rotation[plan.positions][:, None, :]
        for layer, cache in zip(self._model.layers, self._cache, strict=True):
            self._layer(x, layer, cache, plan, rotation)
        last = np.zeros((padded(len(plan.due), self._tile), x.shape[1]), dtype=np.float32)
        last[: len(plan.due)] = x[plan.due]
        logits = linear(self._norm(last, self._model.final_norm), self._model.unembedding, self._tile)[: len(plan.due)]
        logits[:, self._model.forbidden] = -np.inf
        return logits

    def _layer(self, x: Floats, layer: Layer, cache: Floats, plan: "_Plan", rotation: NDArray[np.complex64]) -> None:
        c = self._model.config
        count = len(plan.positions)
        qkv = linear(self._norm(x, layer.attention_norm), layer.qkv, self._tile)[:count]
        heads = qkv.reshape(count, c.heads + 2 * c.kv_heads, c.head_dim)
        turned = heads[:, : c.heads + c.kv_heads].view(np.complex64)  # pairs (2i, 2i + 1)
        turned *= rotation
        cache[plan.slots] = heads[:, c.heads :].reshape(count, 2, c.kv_heads, c.head_dim)
        q = heads[:, : c.heads].reshape(count, c.kv_heads, c.heads // c.kv_heads, c.head_dim)
        q = q * np.float32(c.head_dim**-0.5)
        mixed = np.zeros((len(x), c.hidden), dtype=np.float32)
        for g in plan.groups:
            mixed[g.rows] = attend(q[g.rows], cache, g)
        x += linear(mixed, layer.out, self._tile)
        y = self._norm(x, layer.ffn_norm)
        gate = linear(y, layer.gate, self._tile)
        gate /= 1 + np.exp(-gate)
        gate *= linear(y, layer.up, self._tile)
        x += linear(gate, layer.down, self._tile)

    def _norm(self, x: Floats, weight: Floats) -> Floats:
        scale = np.sqrt(np.square(x).mean(axis=1, keepdims=True) + np.float32(self._model.config.eps))
        return x / scale * weight


@dataclass(frozen=True)
class _Plan:
    """A step's rows: decoding tokens first, then each prompt's."""

    tokens: NDArray[np.intp]
    positions: NDArray[np.intp]
    slots: NDArray[np.intp]
    groups: list[Group]
    due: list[int]
    """The rows whose logits are due, in the order of the work."""


def _plan(work: list[Work], block_size: int) -> _Plan:
    decoding = [w for w in work if len(w.tokens) == 1]
    prompts = [w for w in work if len(w.tokens) > 1]
    first_row: dict[int, int] = {}
    row = 0
    for w in [*decoding, *prompts]:
        first_row[id(w)] = row
        row += len(w.tokens)
    rows = [*decoding, *prompts]
    tokens = np.array([token for w in rows for token in w.tokens], dtype=np.intp)
    positions = np.concatenate([np.arange(w.start, w.start + len(w.tokens)) for w in rows])
    slots = np.concatenate([_slots(w, block_size) for w in rows])
    groups: list[Group] = []
    if decoding:
        here = slice(0, len(decoding))
        groups.append(group(here, positions[here], [w.block_table for w in decoding], block_size))
    for w in prompts:
        for offset in range(0, len(w.tokens), ROWS):
            start = first_row[id(w)] + offset
            here = slice(start, min(start + ROWS, first_row[id(w)] + len(w.tokens)))
            groups.append(group(here, positions[here], [w.block_table], block_size))
    due: list[int] = []
    for w in work:
        first, (offset, scored) = first_row[id(w)], w.scored
        due += [first + len(w.tokens) - 1] if w.output_index is not None else []
        due += range(first + offset, first + offset + len(scored))
    return _Plan(tokens, positions, slots, groups, due)


def _slots(w: Work, block_size: int) -> NDArray[np.intp]:
    positions = np.arange(w.start, w.start + len(w.tokens))
    return np.array(w.block_table, dtype=np.intp)[positions // block_size] * block_size + positions % block_size
