"""The traffic of a specification: pure, endless (but for traces), and the same for the same seed."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from midwatch_lab.load.arrivals import BLOCK, Times, bursts, daily, even, gamma, stream
from midwatch_lab.load.distributions import Distribution, whole
from midwatch_lab.load.errors import TraceError
from midwatch_lab.load.spec import (
    MOST_CALLS,
    AnyLoad,
    BatchLoad,
    Client,
    ClientsLoad,
    ClosedLoad,
    ConstantLoad,
    DiurnalLoad,
    GammaLoad,
    PoissonLoad,
    SessionsLoad,
    SystemPrompts,
    TraceLoad,
)
from midwatch_serving.errors import WorkloadError
from midwatch_serving.traces import requests_of

_SESSIONS = 32
"""Conversations drawn at once."""
_SKIPPED = 500
"""Rows of a trace that are passed over at once, which takes some milliseconds."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request that stands for itself.

    `system`: the shared system prompt that it begins with, as (id, tokens); part of `prompt_tokens`. `pieces`: what a
    trace says of its beginning, as (id, tokens): prompts share what their first ids share.
    """

    number: int
    client: str
    prompt_tokens: int
    output_tokens: int
    system: tuple[int, int] | None = None
    pieces: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Session:
    """One conversation: for each call the new tokens, those of the answer, and the pause before it in seconds.

    `person` says which calls begin a turn; the others bring what a tool said.
    """

    number: int
    client: str
    system: tuple[int, int] | None
    person: NDArray[np.bool_]
    new_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]
    pauses_s: NDArray[np.float64]

    def prompt_tokens(self) -> NDArray[np.int64]:
        """Return how long each call's prompt is: what was said before, answers included, and what is new."""
        before = np.concatenate([[0], np.cumsum(self.output_tokens)[:-1]])
        return (self.system[1] if self.system else 0) + np.cumsum(self.new_tokens) + before


@dataclass(frozen=True, slots=True)
class Arrival:
    """Something to begin `at_s` seconds after the load did."""

    at_s: float
    work: Call | Session


def arrivals(spec: AnyLoad) -> Iterator[Arrival | None]:
    """Yield what an open loop sends, by time; times never fall. None: nothing yet, let others run.

    Raises:
        TraceError: while a trace is read; names the line.
    """
    match spec:
        case TraceLoad():
            return _trace(spec)
        case SessionsLoad():
            return _at(times(spec), sessions(spec))
        case ClientsLoad():
            return _mixed(spec)
        case _:
            return _at(times(spec), calls(spec))


def times(spec: AnyLoad) -> Iterator[Times]:
    """Yield the arrival times of a load whose arrivals are one process, in blocks."""
    rng = stream(spec.seed, "arrivals")
    match spec:
        case PoissonLoad():
            return gamma(spec.rate, 1.0, rng)
        case GammaLoad() | SessionsLoad():
            return gamma(spec.rate, spec.cv, rng)
        case ConstantLoad():
            return even(spec.rate)
        case BatchLoad():
            return bursts(spec.rate, spec.size)
        case DiurnalLoad():
            return daily(spec.rate, spec.curve, spec.day_s, spec.start, rng)
        case ClosedLoad() | ClientsLoad() | TraceLoad():
            raise TypeError(f"a {spec.shape} load has no single arrival process")


def calls(spec: AnyLoad) -> Iterator[Call]:
    """Yield requests that stand for themselves, without their times."""
    return _calls(spec, "", spec.prompt_tokens, spec.output_tokens, spec.system)


def _at(when: Iterator[Times], works: Iterator[Call] | Iterator[Session]) -> Iterator[Arrival]:
    return (Arrival(at, work) for at, work in zip(_flat(when), works, strict=False))


def _flat(blocks: Iterator[Times]) -> Iterator[float]:
    for block in blocks:
        yield from block.tolist()


def _calls(
    spec: AnyLoad, client: str, prompt: Distribution, output: Distribution, system: SystemPrompts | None
) -> Iterator[Call]:
    prompt_rng, output_rng = stream(spec.seed, "prompts", client), stream(spec.seed, "outputs", client)
    shared = _shared(spec, client, system)
    number = 0
    while True:
        prompts = whole(prompt, BLOCK, prompt_rng, scale=spec.token_scale).tolist()
        outputs = whole(output, BLOCK, output_rng, scale=spec.token_scale).tolist()
        for prompt_tokens, output_tokens in zip(prompts, outputs, strict=True):
            number += 1
            piece = next(shared)
            longer = prompt_tokens if piece is None else max(prompt_tokens, piece[1] + 1)
            yield Call(number, client, longer, output_tokens, piece)


def _shared(spec: AnyLoad, client: str, system: SystemPrompts | None) -> Iterator[tuple[int, int] | None]:
    """Yield which system prompt each prompt begins with: (id, tokens)."""
    while system is None:
        yield None
    lengths = whole(system.tokens, system.count, stream(spec.seed, "system", client), scale=spec.token_scale)
    rng = stream(spec.seed, "which system", client)
    while True:
        for which in rng.integers(0, system.count, BLOCK).tolist():
            yield which, int(lengths[which])


def _mixed(spec: ClientsLoad) -> Iterator[Arrival]:
    total = sum(client.share for client in spec.clients)

    def one(client: Client) -> Iterator[tuple[float, str, Call]]:
        rng = stream(spec.seed, "arrivals", client.name)
        works = _calls(spec, client.name, client.prompt_tokens, client.output_tokens, client.system)
        for at in _flat(gamma(spec.rate * client.share / total, client.cv, rng)):
            yield at, client.name, next(works)

    streams = [one(client) for client in spec.clients]
    return (Arrival(at, call) for at, _, call in heapq.merge(*streams, key=lambda entry: entry[:2]))


def sessions(spec: SessionsLoad) -> Iterator[Session]:
    """Yield conversations, without their times."""
    rngs = {
        name: stream(spec.seed, name) for name in ("turns", "calls", "prompts", "tools", "outputs", "think", "tool")
    }
    shared = _shared(spec, "", spec.system)
    number = 0
    while True:
        turns = np.minimum(whole(spec.turns, _SESSIONS, rngs["turns"]), MOST_CALLS)
        of_turn = np.minimum(whole(spec.calls, int(turns.sum()), rngs["calls"]), MOST_CALLS)
        total = int(of_turn.sum())
        person = np.zeros(total, dtype=np.bool_)
        person[np.cumsum(of_turn) - of_turn] = True
        new = whole(spec.tool_tokens, total, rngs["tools"], scale=spec.token_scale)
        new[person] = whole(spec.prompt_tokens, len(of_turn), rngs["prompts"], scale=spec.token_scale)
        output = whole(spec.output_tokens, total, rngs["outputs"], scale=spec.token_scale)
        pauses = spec.tool_s.draw(total, rngs["tool"])
        pauses[person] = spec.think_s.draw(len(of_turn), rngs["think"])
        ends = np.cumsum(np.add.reduceat(of_turn, np.cumsum(turns) - turns))
        for start, end in pairwise([0, *ends.tolist()]):
            number += 1
            pauses[start] = 0.0
            part = slice(start, end)
            yield Session(number, "", next(shared), person[part], new[part], output[part], pauses[part])


def _trace(spec: TraceLoad) -> Iterator[Arrival | None]:
    """Yield a trace's requests; one that is earlier than the one before it comes at the same time."""
    try:
        begin: float | None = None
        last = 0.0
        for number, request in enumerate(requests_of(Path(spec.path)), 1):
            begin = request.arrival_s if begin is None else begin
            own = request.arrival_s - begin - spec.start_s
            if own < 0:
                if not number % _SKIPPED:
                    yield None
                continue
            if spec.seconds is not None and own > spec.seconds:
                return
            last = max(last, own / spec.speed)
            lengths = [max(1, round(n * spec.token_scale)) for n in (request.prompt_tokens, request.output_tokens)]
            pieces = tuple((i, max(1, round(n * spec.token_scale))) for i, n in request.prefix)
            yield Arrival(last, Call(number, "", lengths[0], lengths[1], None, pieces))
    except (WorkloadError, OSError, UnicodeError) as error:
        raise TraceError(str(error)) from error


def first(spec: AnyLoad, count: int) -> list[Arrival]:
    """Return the first arrivals of an open loop."""
    return list(islice((arrival for arrival in arrivals(spec) if arrival is not None), count))
