"""Sends a load to a server over HTTP, streaming, and notes when each piece of each answer came."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2

from midwatch_serving.errors import WorkloadError
from midwatch_serving.latency import Gaps, Objectives, Report, Timing, report
from midwatch_serving.prompt_text import Measure, prompt, text
from midwatch_serving.workload import Request, Workload

PROBES = (20, 120)
"""Words of the two chats that tell how many tokens a word has."""
TIMEOUT = httpx2.Timeout(connect=10.0, read=600.0, write=60.0, pool=None)


@dataclass
class Results:
    """What is known so far; whole once every request has ended."""

    asked: int
    began: float = 0.0
    timings: list[Timing] = field(default_factory=list[Timing])
    gaps: Gaps = field(default_factory=Gaps)
    errors: Counter[str] = field(default_factory=Counter[str])
    """Requests that failed, by why."""
    running: int = 0
    ended: float | None = None

    @property
    def done(self) -> int:
        """Requests that ended, well or not."""
        return len(self.timings) + self.errors.total()

    def report(self, objectives: Objectives) -> Report:
        """Return the figures of what was measured up to now."""
        return report(
            self.timings,
            self.gaps,
            failed=self.errors.total(),
            duration_s=(self.ended or time.perf_counter()) - self.began if self.began else 0.0,
            objectives=objectives,
        )


@dataclass(frozen=True)
class Target:
    """A served model."""

    model: str
    max_model_len: int | None
    measure: Measure


class LoadClient:
    """One load on one server; `client` has the server's address as its base URL."""

    def __init__(self, client: httpx2.AsyncClient, *, seed: int) -> None:
        self._client = client
        self._seed = seed

    async def find(self, model: str | None) -> Target:
        """Look up the model (by default the first that the server lists) and how long its words are.

        Raises:
            WorkloadError: when there is no such model, or it answers otherwise than OpenAI's protocol says.
            httpx2.HTTPError: when the server cannot be reached.
        """
        found = _checked(await self._client.get("/v1/models"))
        cards = {str(card["id"]): card for card in found.get("data", [])}
        name = model or next(iter(cards), None)
        if name is None or name not in cards:
            raise WorkloadError(f"the server has no model {name!r}: {', '.join(cards) or 'it lists none'}")
        few, many = [(words, await self._count(name, words)) for words in PROBES]
        return Target(name, cards[name].get("max_model_len"), Measure.of(few, many))

    async def run(self, workload: Workload, target: Target, results: Results) -> None:
        """Send every request when it is due and wait for all; `results` fills on the way."""
        results.began = time.perf_counter()
        jobs = list(enumerate(workload.requests))
        if workload.concurrency is None:
            await asyncio.gather(*(self._when_due(i, request, target, results) for i, request in jobs))
        else:
            queue = iter(jobs)
            await asyncio.gather(*(self._worker(queue, target, results) for _ in range(workload.concurrency)))
        results.ended = time.perf_counter()

    async def _count(self, model: str, words: int) -> int:
        message = {"role": "user", "content": text(words, (self._seed, 2, words))}
        body = {"model": model, "messages": [message], "max_tokens": 1}
        found = _checked(await self._client.post("/v1/chat/completions", json=body))
        return int(found["usage"]["prompt_tokens"])

    async def _when_due(self, index: int, request: Request, target: Target, results: Results) -> None:
        await asyncio.sleep(max(0.0, results.began + request.arrival_s - time.perf_counter()))
        await self._send(index, request, target, results)

    async def _worker(self, queue: Iterator[tuple[int, Request]], target: Target, results: Results) -> None:
        for index, request in queue:
            await self._send(index, request, target, results)

    async def _send(self, index: int, request: Request, target: Target, results: Results) -> None:
        message = {"role": "user", "content": prompt(request, index, target.measure, self._seed)}
        body = {
            "model": target.model,
            "messages": [message],
            "max_tokens": request.output_tokens,
            "ignore_eos": True,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        results.running += 1
        sent = time.perf_counter()
        try:
            async with self._client.stream("POST", "/v1/chat/completions", json=body) as response:
                if not response.is_success:
                    await response.aread()
                    results.errors[f"HTTP {response.status_code}"] += 1
                    return
                await _read(response, sent, results)
        except httpx2.HTTPError as error:
            results.errors[type(error).__name__] += 1
        except (ValueError, KeyError, TypeError):
            results.errors["an answer that is not OpenAI's protocol"] += 1
        finally:
            results.running -= 1


async def _read(response: httpx2.Response, sent: float, results: Results) -> None:
    first: float | None = None
    last = sent
    pieces, usage = 0, dict[str, Any]()
    async for event in _events(response):
        now = time.perf_counter()
        if "error" in event:
            results.errors[str(event["error"].get("code") or "error while streaming")] += 1
            return
        usage = event.get("usage") or usage
        if not any(choice.get("delta", {}).get("content") for choice in event.get("choices", [])):
            continue
        pieces += 1
        if first is None:
            first = now
        else:
            results.gaps.add(now - last)
        last = now
    if first is None:
        results.errors["no token"] += 1
        return
    results.timings.append(
        Timing(
            arrived=sent - results.began,
            ttft=first - sent,
            e2e=last - sent,
            prompt_tokens=int(usage.get("prompt_tokens", 0)),
            output_tokens=int(usage.get("completion_tokens", pieces)),
        )
    )


async def _events(response: httpx2.Response) -> AsyncIterator[dict[str, Any]]:
    async for line in response.aiter_lines():
        if line.startswith("data:"):
            data = line.removeprefix("data:").strip()
            if data == "[DONE]":
                return
            yield json.loads(data)


def _checked(response: httpx2.Response) -> dict[str, Any]:
    if not response.is_success:
        raise WorkloadError(f"{response.request.url} answered {response.status_code}: {response.text[:200]}")
    try:
        found: dict[str, Any] = response.json()
    except ValueError as error:
        raise WorkloadError(f"{response.request.url} answered no JSON: {response.text[:100]!r}") from error
    return found
