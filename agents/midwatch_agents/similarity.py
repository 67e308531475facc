"""How close a question is to a text: BM25 over words (Robertson and Zaragoza, 2009), for a library of a few guides."""

import math
import re
from collections import Counter
from collections.abc import Mapping

_WORD = re.compile(r"[a-z0-9]+")
_JOINED = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
"""Where a name such as `TimeToFirstTokenHigh` is put together."""
_STOP = frozenset(
    _WORD.findall(
        "a an and are as at be been by can do does did for from has have how i in into is it its me my of on or our "
        "over that the their them then there these this to was we were what when where which who whose why will with "
        "you your"
    )
)
_K1, _B = 1.2, 0.75


def words(text: str) -> list[str]:
    """Return the telling words of a text, lower case, plurals cut."""
    found = (word for word in _WORD.findall(_JOINED.sub(" ", text).lower()) if word not in _STOP)
    return [word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word for word in found]  # noqa: PLR2004 (short words keep their s)


def rank(question: str, texts: Mapping[str, str]) -> dict[str, tuple[float, tuple[str, ...]]]:
    """Return for each text its score (0: nothing in common) and the words that it shares with the question."""
    documents = {name: Counter(words(text)) for name, text in texts.items()}
    average = sum(sum(bag.values()) for bag in documents.values()) / max(len(documents), 1) or 1.0
    asked = list(dict.fromkeys(words(question)))
    scores: dict[str, tuple[float, tuple[str, ...]]] = {}
    for name, bag in documents.items():
        length = _K1 * (1 - _B + _B * sum(bag.values()) / average)
        score = 0.0
        for word in asked:
            holding = sum(1 for other in documents.values() if word in other)
            idf = math.log(1 + (len(documents) - holding + 0.5) / (holding + 0.5))
            score += idf * bag[word] * (_K1 + 1) / (bag[word] + length)
        scores[name] = (round(score, 4), tuple(word for word in asked if word in bag))
    return scores
