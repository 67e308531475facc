"""Plays a load on a real engine in this process, in real time, and takes the times that the engine itself noted."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass

from midwatch_serving.engine import Engine
from midwatch_serving.errors import RequestError
from midwatch_serving.latency import Gaps, Objectives, Report, Timing, report
from midwatch_serving.sampling import SamplingParams
from midwatch_serving.sequence import Sequence
from midwatch_serving.workload import Request, Workload, prompts


@dataclass
class _Run:
    engine: Engine
    began: float
    timings: list[Timing]
    gaps: Gaps
    failed: int = 0


async def replay(
    engine: Engine, workload: Workload, *, tokens: range, seed: int, objectives: Objectives | None = None
) -> Report:
    """Send every request when it is due, wait for all, and return what it was like. The engine must be running.

    Requests have ids and prompts of their own each time, so that runs do not meet in a prefix cache by accident.
    """
    texts = prompts(workload, tokens, seed)
    run = _Run(engine, time.monotonic(), [], Gaps())
    jobs = list(enumerate(zip(workload.requests, texts, strict=True)))
    if workload.concurrency is None:
        await asyncio.gather(*(_at(run, f"replay-{seed}-{i}", request, text) for i, (request, text) in jobs))
    else:
        queue = iter(jobs)
        await asyncio.gather(*(_worker(run, queue, seed) for _ in range(workload.concurrency)))
    return report(
        run.timings,
        run.gaps,
        failed=run.failed,
        duration_s=time.monotonic() - run.began,
        objectives=objectives or Objectives(),
    )


async def _at(run: _Run, name: str, request: Request, prompt: tuple[int, ...]) -> None:
    await asyncio.sleep(max(0.0, run.began + request.arrival_s - time.monotonic()))
    await _one(run, name, request, prompt)


async def _worker(run: _Run, queue: Iterator[tuple[int, tuple[Request, tuple[int, ...]]]], seed: int) -> None:
    for index, (request, prompt) in queue:
        await _one(run, f"replay-{seed}-{index}", request, prompt)


async def _one(run: _Run, name: str, request: Request, prompt: tuple[int, ...]) -> None:
    params = SamplingParams(max_tokens=request.output_tokens, ignore_eos=True)
    try:
        stream = run.engine.submit(name, prompt, params)
    except RequestError:
        run.failed += 1
        return
    last: float | None = None
    async for piece in stream:
        now = time.monotonic()
        if last is not None and piece.token_ids:
            run.gaps.add((now - last) / len(piece.token_ids), len(piece.token_ids))
        last = now
    timing = _timing(stream.sequence, request)
    if timing is None:
        run.failed += 1
    else:
        run.timings.append(timing)


def _timing(sequence: Sequence, request: Request) -> Timing | None:
    first, end, scheduled = sequence.first_token, sequence.finished, sequence.first_scheduled
    if first is None or end is None or scheduled is None or sequence.finish_reason not in {"stop", "length"}:
        return None
    return Timing(
        arrived=sequence.arrived,
        ttft=first - sequence.arrived,
        e2e=end - sequence.arrived,
        prompt_tokens=request.prompt_tokens,
        output_tokens=len(sequence.output),
        queue=scheduled - sequence.arrived,
    )
