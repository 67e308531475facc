"""A client of a server as a worker: what arrives over HTTP, streamed, as `engine_worker` measures it without."""

import argparse
import asyncio
import json
import sys
import time
from typing import Any

import httpx2

from midwatch_serving.peers import worker
from midwatch_serving.peers.worker import Measured, Ready

TIMEOUT_S = 120.0
PREFIX = "data: "


class HttpWorker:
    """Measures one server."""

    def __init__(self, url: str, runner: asyncio.Runner, vocab: int) -> None:
        """`vocab` is the number of tokens that prompts may be made of."""
        self._runner = runner
        self._vocab = vocab
        self._client = httpx2.AsyncClient(base_url=url, timeout=TIMEOUT_S)
        self.model = str(runner.run(self._models())["data"][0]["id"])

    def decode(self, batch: int, context: int, tokens: int, seed: int) -> Measured:
        """Time what `batch` requests at once are sent, after the first token of the last of them."""
        return self._runner.run(self._decode(worker.prompts(batch, context, seed, self._vocab), tokens))

    def prefill(self, tokens: int, seed: int) -> Measured:
        """Time a prompt from its request to the first token."""
        return self._runner.run(self._prefill(worker.prompts(1, tokens, seed, self._vocab)[0]))

    async def _models(self) -> dict[str, Any]:
        response = await self._client.get("/v1/models")
        return response.raise_for_status().json()

    async def _decode(self, prompts: list[list[int]], tokens: int) -> Measured:
        return worker.together(await asyncio.gather(*[self._times(prompt, tokens) for prompt in prompts]), tokens)

    async def _prefill(self, prompt: list[int]) -> Measured:
        began = time.perf_counter()
        times = await self._times(prompt, 1)
        return Measured(len(prompt), times[0] - began)

    async def _times(self, prompt: list[int], tokens: int) -> list[float]:
        """Generate; return when each piece of the answer came."""
        body = {
            "model": self.model,
            "prompt": prompt,
            "max_tokens": tokens,
            "temperature": 0,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        times: list[float] = []
        usage: dict[str, Any] = {}
        async with self._client.stream("POST", "/v1/completions", json=body) as response:
            if not response.is_success:
                raise RuntimeError(f"HTTP {response.status_code}: {(await response.aread()).decode()}")
            async for line in response.aiter_lines():
                if line.startswith(PREFIX) and line != "data: [DONE]":
                    event = json.loads(line.removeprefix(PREFIX))
                    if event["choices"]:
                        times.append(time.perf_counter())
                    usage = event.get("usage") or usage
        if usage.get("completion_tokens") != tokens:
            raise RuntimeError(f"asked for {tokens} tokens, got {usage}")
        return times


def main() -> int:
    """Serve commands until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", required=True)
    parser.add_argument("--vocab", type=int, required=True)
    arguments = parser.parse_args()
    with asyncio.Runner() as runner:

        def load() -> Ready:
            one = HttpWorker(arguments.url, runner, arguments.vocab)
            return Ready({"about": f"HTTP, {one.model}"}, {"decode": one.decode, "prefill": one.prefill})

        return worker.run(load)


if __name__ == "__main__":
    sys.exit(main())
