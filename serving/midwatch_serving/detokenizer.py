"""Tokens to text, one at a time: UTF-8 across tokens, and stop strings that may straddle them."""

import codecs

from midwatch_serving.tokenizer import Tokenizer


class Detokenizer:
    """The text of one answer. Text that may be the start of a stop string is held back until it is decided."""

    def __init__(self, tokenizer: Tokenizer, stop: tuple[str, ...] = (), min_tokens: int = 0) -> None:
        self.stopped_by: str | None = None
        """The stop string that ended the text."""
        self._tokenizer = tokenizer
        self._stop = stop
        self._min_tokens = min_tokens
        self._count = 0
        self._pending = ""
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")

    @property
    def stopped(self) -> bool:
        """Whether a stop string ended the text."""
        return self.stopped_by is not None

    def feed(self, token: int) -> str:
        """Take one token; return the text that is certain by now. `stopped` tells whether a stop string ended it.

        A stop string itself is never part of the text.
        """
        self._count += 1
        self._pending += self._utf8.decode(self._tokenizer.token_bytes(token))
        if self._count > self._min_tokens:
            found = [(at, stop) for stop in self._stop if (at := self._pending.find(stop)) >= 0]
            if found:
                at, self.stopped_by = min(found)
                self._pending = self._pending[:at]
                return self.flush()
        return self._take(len(self._pending) - self._held())

    def flush(self) -> str:
        """Return what is held back, at the end of an answer; a broken character becomes U+FFFD."""
        if not self.stopped:
            self._pending += self._utf8.decode(b"", final=True)
        return self._take(len(self._pending))

    def _take(self, length: int) -> str:
        text, self._pending = self._pending[:length], self._pending[length:]
        return text

    def _held(self) -> int:
        """Length of the longest end of the text that is the beginning of a stop string."""
        longest = max((len(stop) for stop in self._stop), default=1) - 1
        for length in range(min(longest, len(self._pending)), 0, -1):
            if any(stop.startswith(self._pending[-length:]) for stop in self._stop):
                return length
        return 0
