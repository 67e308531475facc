"""Prompts as text of about so many tokens, for servers whose tokenizer is not at hand."""

from dataclasses import dataclass

import numpy as np

from midwatch_serving.workload import Request

WORDS = (
    "back", "bank", "bell", "boat", "book", "calm", "case", "city", "clay", "coal", "cold", "corn", "crew", "dawn",
    "deep", "door", "dust", "east", "edge", "fair", "farm", "fern", "fire", "fish", "flag", "folk", "food", "ford",
    "game", "gate", "gift", "gold", "gray", "half", "hall", "hand", "harp", "high", "hill", "home", "iron", "kind",
    "lake", "lamp", "land", "lead", "leaf", "left", "line", "long", "mast", "mild", "mill", "mist", "moon", "moss",
    "name", "nest", "night", "north", "oak", "open", "page", "path", "pine", "port", "rain", "reed", "rest", "ring",
    "road", "rock", "roof", "rope", "sail", "salt", "sand", "seed", "ship", "shop", "side", "snow", "soft", "song",
    "star", "step", "tale", "tide", "time", "tree", "wall", "warm", "wave", "west", "wind", "wood", "wool", "year",
)  # fmt: skip


@dataclass(frozen=True)
class Measure:
    """How many tokens a chat with one message has: `base` of its own, and `per_word` for each word of it."""

    base: float
    per_word: float

    @classmethod
    def of(cls, few: tuple[int, int], many: tuple[int, int]) -> "Measure":
        """Draw the line through two chats of (words, tokens)."""
        per_word = max((many[1] - few[1]) / (many[0] - few[0]), 0.1)
        return cls(max(few[1] - few[0] * per_word, 0.0), per_word)

    def words(self, tokens: int) -> int:
        """Return how many words make a chat of about `tokens`; one at least."""
        return max(1, round((tokens - self.base) / self.per_word))


def text(words: int, seed: tuple[int, ...]) -> str:
    """Return that many words, the same for the same seed."""
    chosen = np.random.default_rng(seed).integers(0, len(WORDS), words)
    return " ".join(WORDS[int(i)] for i in chosen)


def prompt(request: Request, index: int, measure: Measure, seed: int) -> str:
    """Return the message of a request: the pieces it shares with others first, then words of its own."""
    left = measure.words(request.prompt_tokens)
    parts: list[str] = []
    for name, tokens in request.prefix:
        words = min(left, max(1, round(tokens / measure.per_word)))
        if words:
            parts.append(text(words, (seed, 1, name)))
        left -= words
    return " ".join([*parts, text(left, (seed, 0, index))] if left else parts)
