"""Bytes as tokens: ids 0 to 255 are the bytes of UTF-8 text, the ids after them mark the turns of a chat.

One byte is one token, so a message of n ASCII characters costs n tokens, plus two for its turn, plus two a prompt.
"""

from collections.abc import Sequence

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

_TURNS = {"system": SYSTEM, "developer": SYSTEM, "user": USER, "assistant": ASSISTANT}
ROLES = frozenset(_TURNS)


def encode(text: str) -> list[int]:
    """Return the tokens of plain text; a lone surrogate becomes `?`. Text never makes a turn marker."""
    return list(text.encode("utf-8", errors="replace"))


def decode(tokens: Sequence[int]) -> str:
    """Return the text of tokens; markers are left out and broken UTF-8 becomes U+FFFD."""
    return bytes(t for t in tokens if t < BOS).decode("utf-8", errors="replace")


def chat_prompt(messages: Sequence[tuple[str, str]]) -> list[int]:
    """Return the prompt for (role, text) pairs: BOS, then marker, text and END_OF_TURN each, then ASSISTANT."""
    prompt = [BOS]
    for role, text in messages:
        prompt += [_TURNS[role], *encode(text), END_OF_TURN]
    return [*prompt, ASSISTANT]
