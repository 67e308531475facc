"""The load generator: at most one load a Service, replaced as a whole, running in the lab's event loop."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from midwatch_contracts.clock import Clock
from midwatch_contracts.entity import Entity
from midwatch_lab.load.chat import ask, first_model
from midwatch_lab.load.running import Ask, FindModel, Load, Resolve, World
from midwatch_lab.load.spec import read_spec


class LoadService:
    """The loads of a lab, by target.

    Args:
        clock: tells when requests leave; timeouts are on the wall clock.
        resolve: a Service to its base URL, or None while it has none (the request then fails).
        ask: makes one request; for tests and for simulated targets.
        model: finds the model's name; for tests.
        stopwatch: times the first token, in seconds; the clock's `now` where targets live in virtual time.
    """

    def __init__(
        self,
        clock: Clock,
        resolve: Resolve,
        *,
        ask: Ask = ask,
        model: FindModel = first_model,
        stopwatch: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._world = World(clock, resolve, ask, model, stopwatch)
        self._loads: dict[Entity, Load] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def replace(self, raw: Mapping[str, Any]) -> Load:
        """Start a load in place of the one of the same target; needs a running event loop.

        What the old load has in flight is cancelled. Counts start anew.

        Raises:
            SpecError: names the field at fault; the old load then goes on.
        """
        spec = read_spec(raw)
        before = self._loads.pop(spec.target, None)
        if before is not None:
            closing = asyncio.create_task(before.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        load = Load(self._world, spec)
        self._loads[spec.target] = load
        if not spec.idle:
            load.start()
        return load

    def stats(self) -> list[dict[str, Any]]:
        """Return `{target, shape, state, sent, completed, failed, …, traffic}` of each; see docs/load.md."""
        return [load.describe() for load in self._loads.values()]

    async def close(self) -> None:
        """Stop all loads and wait until they have."""
        loads, self._loads = list(self._loads.values()), {}
        await asyncio.gather(*(load.close() for load in loads), *self._closing)
