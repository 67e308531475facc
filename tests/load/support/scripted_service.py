"""A service in virtual time that answers as a test says, and the loads on it."""

import asyncio
import itertools
import json
from typing import Any

from midwatch_contracts.clock import VirtualClock
from midwatch_contracts.entity import Entity
from midwatch_lab.load.chat import Stream
from midwatch_lab.load.service import LoadService
from midwatch_lab.load.spec import AnyLoad
from midwatch_lab.load.texts import Texts
from midwatch_lab.load.traffic import Call

CHAT = "Service/llm/chat"


def event(text: str | None) -> bytes:
    delta = {"role": "assistant"} if text is None else {"content": text}
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n"


class ScriptedService:
    """A service whose server answers after `seconds` of virtual time, or as `outcome` says."""

    def __init__(self, seconds: float = 1.0) -> None:
        self.clock = VirtualClock()
        self.seconds = seconds
        self.outcome = "ok"
        self.url: str | None = "http://chat:8000"
        self.asked: list[tuple[float, dict[str, Any]]] = []
        self.models = itertools.count(1)
        self.service = LoadService(self.clock, self.resolve, ask=self.ask, model=self.model, stopwatch=self.clock.now)

    def resolve(self, entity: Entity) -> str | None:
        assert str(entity) == CHAT
        return self.url

    async def model(self, url: str, _timeout_s: float) -> str:
        return f"{url}#{next(self.models)}"

    async def ask(self, url: str, body: bytes, stream: Stream) -> int:
        assert url == self.url
        self.asked.append((self.clock.now(), json.loads(body)))
        await self.clock.sleep(self.seconds)
        if self.outcome == "timeout":
            raise TimeoutError
        if self.outcome == "refused":
            raise ConnectionRefusedError("refused")
        if self.outcome == "404":
            return 404
        stream.feed(event(None) + event("a") + event("b") + (b"" if self.outcome == "cut" else b"data: [DONE]\n\n"))
        return 200

    async def run(self, seconds: float, **spec: Any) -> dict[str, Any]:
        self.service.replace({"target": CHAT, **spec})
        await self.passes(seconds)
        return self.service.stats()[0]

    async def passes(self, seconds: float, step: float = 0.05) -> None:
        for _ in range(20):
            await asyncio.sleep(0)  # tasks that were just made reach their first sleep
        for _ in range(round(seconds / step)):
            await self.clock.advance(step)

    @staticmethod
    def texts(spec: AnyLoad, call: Call) -> str:
        """Return what a request of a load says."""
        return "".join(message["content"] for message in Texts(spec.seed, spec.chars_per_token).messages(call))
