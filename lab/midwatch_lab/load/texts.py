"""What prompts say: words without meaning, of the length asked for, alike where they should be and different elsewhere.

A text is cut from one long string, at a place that its key tells. Texts of one key begin alike whatever their lengths,
so that a prefix cache finds what it would find in the real traffic.
"""

import random
import zlib
from functools import lru_cache

from midwatch_lab.load.traffic import Call

Message = dict[str, str]

_TEXT = (
    "about after answer batch before block cache check cluster context count decode delay describe engine every "
    "explain fast first from graph harbour how kernel lantern large latency light many memory model morning night page "
    "plan please prefill prompt queue read request river scale short show sleep small table tell token under watch "
    "water what when where which why window write"
)
_WORDS = tuple(_TEXT.split())
_COUNT = 20_000


@lru_cache(maxsize=1)
def _corpus() -> str:
    return " ".join(random.Random(1).choices(_WORDS, k=_COUNT)) + " "  # noqa: S311 (traffic, not secrets)


def text(key: str, characters: int) -> str:
    """Return a text of so many characters that begins with `key`."""
    corpus = _corpus()
    start = zlib.crc32(key.encode()) % len(corpus)
    head = f"{key}: "
    missing = characters - len(head)
    if missing <= 0:
        return head[:characters]
    turns = (start + missing) // len(corpus) + 1
    return head + (corpus * turns)[start : start + missing]


class Texts:
    """The texts of one load.

    Args:
        seed: that of the load: another seed says other things, so that runs do not meet in a cache by accident.
        chars_per_token: characters that make a token.
    """

    def __init__(self, seed: int, chars_per_token: float) -> None:
        self._seed, self._width = seed, chars_per_token

    def piece(self, name: str, tokens: int) -> str:
        """Return the text of a name."""
        return text(name, max(1, round(tokens * self._width)))

    def system(self, piece: tuple[int, int], client: str) -> str:
        """Return the shared beginning of an id; each client has its own."""
        return self.piece(f"system {piece[0]} of {client or self._seed}", piece[1])

    def messages(self, call: Call) -> list[Message]:
        """Return the messages of a request that stands for itself; a system prompt is a message of its own."""
        name = f"{call.number} of {call.client}" if call.client else str(call.number)
        if call.system is not None:
            user = self.piece(name, call.prompt_tokens - call.system[1])
            return [
                {"role": "system", "content": self.system(call.system, call.client)},
                {"role": "user", "content": user},
            ]
        shared = "".join(self.piece(f"piece {i} of {self._seed}", tokens) for i, tokens in call.pieces)
        whole = max(1, round(call.prompt_tokens * self._width))
        if len(shared) < whole:
            shared += text(name, whole - len(shared))
        return [{"role": "user", "content": shared[:whole]}]
