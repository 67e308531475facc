"""The engine as a worker: what `midwatch serve` builds, with its arguments, without HTTP.

A step is that of the server: scheduler, kernels, sampler, metrics, and the tokens as pieces of text in an inbox that
somebody empties. The token budget takes the prompts whole, as the peers take them.
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from midwatch_contracts.clock import WallClock
from midwatch_serving.commands import configure
from midwatch_serving.kernels.bandwidth import Reader, weight_bytes
from midwatch_serving.options import Options, parse_options
from midwatch_serving.peers import worker
from midwatch_serving.peers.worker import Measured, Ready
from midwatch_serving.sampling import SamplingParams
from midwatch_serving.server import GIL_SWITCH_S, build_service
from midwatch_serving.service import Service

READ_S = 0.3
"""Seconds for which memory is read, about."""


class EngineWorker:
    """Measures one engine; a context, for the engine's task."""

    def __init__(self, service: Service, runner: asyncio.Runner) -> None:
        self._engine = service.engine
        self._runner = runner
        self._requests = 0
        runner.run(self._start())

    @property
    def vocab(self) -> int:
        """Tokens that prompts may be made of."""
        return self._engine.tokenizer.vocab_size

    def decode(self, batch: int, context: int, tokens: int, seed: int) -> Measured:
        """Time the steps after the one that computes the prompts."""
        return self._run(self._decode(worker.prompts(batch, context, seed, self.vocab), tokens))

    def prefill(self, tokens: int, seed: int) -> Measured:
        """Time a prompt and its first token, from its submission to the token's text."""
        return self._run(self._prefill(worker.prompts(1, tokens, seed, self.vocab)[0]))

    def close(self) -> None:
        """End the engine."""
        self._runner.run(self._stop())

    async def _start(self) -> None:
        self._task = asyncio.create_task(self._engine.run())

    async def _stop(self) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})

    def _run(self, measuring: Coroutine[Any, Any, Measured]) -> Measured:
        return self._runner.run(measuring)

    async def _decode(self, prompts: list[list[int]], tokens: int) -> Measured:
        return worker.together(await asyncio.gather(*[self._times(prompt, tokens) for prompt in prompts]), tokens)

    async def _prefill(self, prompt: list[int]) -> Measured:
        began = time.perf_counter()
        [first] = await self._times(prompt, 1)
        return Measured(len(prompt), first - began)

    async def _times(self, prompt: list[int], tokens: int) -> list[float]:
        """Generate; return when each token came."""
        self._requests += 1
        params = SamplingParams(max_tokens=tokens, ignore_eos=True)
        stream = self._engine.submit(str(self._requests), tuple(prompt), params)
        times = [time.perf_counter() async for piece in stream if piece.token_ids]
        if len(times) != tokens:
            raise RuntimeError(f"asked for {tokens} tokens, got {len(times)}")
        return times


def memory_reader(options: Options) -> tuple[int, Callable[[], Measured]]:
    """Return the bytes of weights that a decode step reads, and what measures reading as many with as many threads."""
    size = weight_bytes(options.choice.load(), options.arithmetic.kernel, options.arithmetic.cache or Path())
    reader = Reader(size, options.arithmetic.threads)

    def read() -> Measured:
        began, passes = time.perf_counter(), 0
        while time.perf_counter() - began < READ_S:
            reader.read()
            passes += 1
        return Measured(passes * size, time.perf_counter() - began)

    return size, read


def parse(arguments: list[str]) -> Options:
    """Return the options of `midwatch serve` with these arguments."""
    parser = argparse.ArgumentParser()
    configure(parser)
    return parse_options(parser.parse_args(arguments), os.environ)


def main(arguments: list[str]) -> int:
    """Serve commands until standard input ends."""
    sys.setswitchinterval(GIL_SWITCH_S)
    with asyncio.Runner() as runner:
        workers: list[EngineWorker] = []

        def load() -> Ready:
            options = parse([argument for argument in arguments if argument != "--memory"])
            one = EngineWorker(build_service(options, options.choice.load(), WallClock()), runner)
            workers.append(one)
            facts: dict[str, Any] = {"about": "midwatch", "vocab": one.vocab}
            measures: dict[str, Callable[..., Measured]] = {"decode": one.decode, "prefill": one.prefill}
            if "--memory" in arguments:
                facts["weight_bytes"], measures["read"] = memory_reader(options)
            return Ready(facts, measures)

        try:
            return worker.run(load)
        finally:
            for one in workers:
                one.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
