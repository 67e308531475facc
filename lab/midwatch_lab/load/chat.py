"""One streamed chat completion, as a client sees it: when the first token came, how many, and how it ended."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from midwatch_contracts.untrusted import clean
from midwatch_lab.load.errors import HttpError
from midwatch_lab.load.http1 import Request, fetch, send

_OK = 200
_REFUSAL = 200
"""How much of a refusal is kept, in characters."""


@dataclass
class Stream:
    """Reads server-sent events; times are seconds on the stopwatch `now` since `began`.

    `keep`: gather the text too, for who needs to say later what was answered.
    """

    now: Callable[[], float] = time.perf_counter
    keep: bool = False
    began: float = 0.0
    ttft_s: float | None = None
    tokens: int = 0
    complete: bool = False
    pieces: list[str] = field(default_factory=list[str])
    _rest: bytes = b""

    def __post_init__(self) -> None:
        self.began = self.now()

    @property
    def text(self) -> str:
        """What was answered, if it was kept."""
        return "".join(self.pieces)

    @property
    def refusal(self) -> str:
        """The message of an error body in OpenAI's form, one line without control characters; empty if it is none."""
        try:
            message = orjson.loads(self._rest)["error"]["message"]
        except (orjson.JSONDecodeError, LookupError, TypeError):
            return ""
        return " ".join(clean(str(message)).split())[:_REFUSAL]

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the body.

        Raises:
            HttpError: when an event is not JSON.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if not line.startswith(b"data:"):
                continue
            payload = line[5:].strip()
            if payload == b"[DONE]":
                self.complete = True
            elif content := self._content(payload):
                self.tokens += 1
                if self.keep:
                    self.pieces.append(content)
                if self.ttft_s is None:
                    self.ttft_s = self.now() - self.began

    @staticmethod
    def _content(payload: bytes) -> str:
        """Return an event's text: none in the first one, which carries the role only, and the last, the usage."""
        try:
            choices: Any = orjson.loads(payload)["choices"]
            return str(choices[0]["delta"].get("content") or "") if choices else ""
        except (orjson.JSONDecodeError, LookupError, AttributeError, TypeError) as error:
            raise HttpError(f"an event of the stream is no chat completion: {payload[:80]!r}") from error


async def ask(url: str, body: bytes, stream: Stream) -> int:
    """Stream one chat completion from the server at `url` into `stream`; return the HTTP status.

    Raises:
        HttpError: when the answer is not what it should be.
        OSError: when the server cannot be reached.
    """
    headers = {"Content-Type": "application/json", "Accept": "text/event-stream"}
    request = Request("POST", f"{url}/v1/chat/completions", body, headers)
    return await send(request, stream.feed)


def body(model: str, messages: Sequence[Mapping[str, str]], output_tokens: int) -> bytes:
    """Return the request's body: the messages, and `output_tokens` tokens whatever the model would say."""
    return orjson.dumps(
        {
            "model": model,
            "messages": messages,
            "max_tokens": output_tokens,
            "stream": True,
            "ignore_eos": True,
        }
    )


async def first_model(url: str, timeout_s: float) -> str:
    """Return the id of the first model that the server at `url` names.

    Raises:
        HttpError: when it names none.
        OSError: when the server cannot be reached, or does not answer in time.
    """
    status, page = await fetch(f"{url}/v1/models", timeout_s)
    return named_model(url, status, page)


def named_model(url: str, status: int, page: bytes) -> str:
    """Return the id of the first model in an answer of `/v1/models`.

    Raises:
        HttpError: when it is none, or names none.
    """
    try:
        found = orjson.loads(page)["data"][0]["id"] if status == _OK else None
    except (orjson.JSONDecodeError, LookupError, TypeError) as error:
        raise HttpError(f"{url}/v1/models answers no list of models") from error
    if not isinstance(found, str):
        raise HttpError(f"{url}/v1/models answers {status} and no model's name")
    return found
