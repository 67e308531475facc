"""Bytes as tokens: ids 0 to 255 are the bytes of UTF-8 text, the ids after them mark the turns of a chat.

One byte is one token, so a message of n ASCII characters costs n tokens, plus two for its turn, plus two a prompt.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

BOS = 256
EOS = 257
SYSTEM = 258
USER = 259
ASSISTANT = 260
END_OF_TURN = 261
VOCAB_SIZE = 264
"""A multiple of eight; the ids from 262 on are never used."""

PRINTABLE = range(0x20, 0x7F)
"""What the tiny model may generate, so that its text can be shown anywhere."""

_TURNS = {"system": SYSTEM, "developer": SYSTEM, "user": USER, "assistant": ASSISTANT, "tool": USER}
ROLES = frozenset(_TURNS)


class ByteTokenizer:
    """The tiny model's tokenizer (`midwatch_serving.tokenizer.Tokenizer`)."""

    vocab_size = VOCAB_SIZE
    bos: int | None = None
    """Plain text begins with nothing; a chat begins with BOS."""
    eos: frozenset[int] = frozenset()
    """Empty: the tiny model never ends an answer by itself."""

    def encode(self, text: str) -> list[int]:
        """Return the tokens of plain text; a lone surrogate becomes `?`. Text never makes a turn marker."""
        return list(text.encode("utf-8", errors="replace"))

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens; markers are left out and broken UTF-8 becomes U+FFFD."""
        return b"".join(map(self.token_bytes, tokens)).decode("utf-8", errors="replace")

    def token_bytes(self, token: int) -> bytes:
        """Return the byte that a token stands for; nothing for a marker."""
        return bytes([token]) if token < BOS else b""

    def token_name(self, token: int) -> str:
        """Return how a token is shown."""
        return self.decode([token])

    def chat_prompt(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        add_generation_prompt: bool = True,
    ) -> list[int]:
        """Return the prompt: BOS, then marker, text and END_OF_TURN a message, then ASSISTANT; tools as JSON first."""
        prompt = [BOS]
        if tools:
            prompt += [SYSTEM, *self.encode(json.dumps(list(tools))), END_OF_TURN]
        for message in messages:
            prompt += [_TURNS[str(message["role"])], *self.encode(str(message.get("content") or "")), END_OF_TURN]
        return [*prompt, ASSISTANT] if add_generation_prompt else prompt
