"""What the engine hands out: pieces of answers, put into an inbox that whoever asked empties at its own pace.

One inbox may hold the pieces of several sequences (`n` > 1). It is bounded: a client that does not read makes it
overflow, and the engine then ends its requests rather than keep their text for ever.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from midwatch_serving.detokenizer import Detokenizer
from midwatch_serving.errors import EngineDead, RequestError
from midwatch_serving.sampling import TokenLogprobs
from midwatch_serving.sequence import FinishReason, Sequence
from midwatch_serving.tokenizer import Tokenizer

BACKLOG = 512
"""Pieces of a sequence that wait for a client at most, beside what the socket's buffers hold."""


@dataclass(frozen=True)
class Output:
    """A piece of an answer: its text, and the tokens generated since the piece before.

    Text that may be the start of a stop string comes later than its tokens. The last piece of a sequence carries its
    finish reason; `stop_reason` is then the stop string or stop token that ended it, None for the model's own end.
    """

    text: str
    token_ids: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprobs, ...] = ()
    finish_reason: FinishReason | None = None
    stop_reason: str | int | None = None
    index: int = 0
    """Which of the inbox's sequences."""
    error: str | None = None
    """Why, where the finish reason is `error`."""


class Inbox:
    """The pieces of `count` sequences that nobody has taken yet."""

    def __init__(self, count: int = 1, backlog: int = BACKLOG) -> None:
        self.open = count
        """Sequences whose last piece was not taken."""
        self._backlog = backlog * count
        self._pieces: list[Output] = []
        self._filled = asyncio.Event()

    @property
    def full(self) -> bool:
        """Whether more pieces wait than should."""
        return len(self._pieces) > self._backlog

    def put(self, piece: Output) -> None:
        """Add a piece."""
        self._pieces.append(piece)
        self._filled.set()

    def drop(self, index: int) -> None:
        """Forget the pieces of a sequence whose client reads too slowly."""
        self._pieces = [piece for piece in self._pieces if piece.index != index]

    async def take(self) -> list[Output]:
        """Return the pieces that wait, at least one; an empty list once every sequence has ended.

        Raises:
            EngineDead: when the engine stopped meanwhile.
            RequestError: when a sequence could not be served to its end.
        """
        if not self.open:
            return []
        await self._filled.wait()
        self._filled.clear()
        pieces, self._pieces = self._pieces, []
        for piece in pieces:
            if piece.finish_reason == "error":
                if piece.error is not None:
                    raise RequestError(piece.error, code="grammar_failed")
                raise EngineDead("the engine stopped while it served this request: see the server's log")
            self.open -= piece.finish_reason is not None
        return pieces


class Stream:
    """The answer to one request; iterating yields its pieces and ends after the one with a finish reason."""

    def __init__(self, sequence: Sequence, tokenizer: Tokenizer, inbox: Inbox | None = None, index: int = 0) -> None:
        self.sequence = sequence
        self.inbox = Inbox() if inbox is None else inbox
        self.index = index
        self.detokenizer = Detokenizer(tokenizer, sequence.params.stop, sequence.params.min_tokens)

    async def __aiter__(self) -> AsyncIterator[Output]:
        while pieces := await self.inbox.take():
            for piece in pieces:
                yield piece
