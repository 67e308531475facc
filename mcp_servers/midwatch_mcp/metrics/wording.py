"""Which metrics a question means: BM25 over names, help, labels and label values, with the words of people on call.

BM25 with weighted fields (Robertson and Zaragoza, The Probabilistic Relevance Framework, 2009): a word of the name
counts as three of the help text. Words are compared by their stems, and `synonyms.toml` adds to a question the words
that names have for what people say; a question of everyday words ("slow first token") then finds the name
(`time_to_first_token_seconds`). No model is asked.
"""

import math
import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib.resources import files
from itertools import pairwise

_NAME, _HELP, _LABEL = 3.0, 1.0, 1.0
_MEANT = 0.5
"""Weight of a word that the synonyms add."""
_SATURATION, _LENGTH = 1.2, 0.4
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_EMPTY = frozenset(
    [
        "a",
        "an",
        "and",
        "any",
        "are",
        "as",
        "at",
        "be",
        "been",
        "but",
        "by",
        "can",
        "cannot",
        "did",
        "do",
        "does",
        "for",
        "from",
        "get",
        "gets",
        "has",
        "have",
        "how",
        "i",
        "if",
        "in",
        "is",
        "it",
        "its",
        "many",
        "me",
        "much",
        "my",
        "not",
        "of",
        "on",
        "or",
        "own",
        "per",
        "so",
        "that",
        "the",
        "their",
        "them",
        "there",
        "these",
        "they",
        "this",
        "to",
        "very",
        "was",
        "were",
        "what",
        "when",
        "where",
        "which",
        "while",
        "who",
        "why",
        "will",
        "with",
        "would",
        "you",
        "show",
        "find",
        "metric",
        "metrics",
        "number",
        "are",
    ]
)
_ENDS = ("ations", "ation", "ings", "ing", "ions", "ion", "ies", "ied", "es", "ed", "s", "e")
_SHORTEST = 3


@dataclass(frozen=True)
class Described:
    """A metric, in the words that are searched."""

    name: str
    help: str = ""
    labels: Sequence[str] = ()
    """Names of labels, and the values that a question may mean."""


@dataclass(frozen=True)
class _Document:
    weights: Mapping[str, float]
    length: float


@dataclass(frozen=True)
class Index:
    """Metrics to be searched."""

    documents: Sequence[_Document]
    spread: Mapping[str, int] = field(default_factory=dict[str, int])
    """In how many metrics each stem occurs."""

    @classmethod
    def of(cls, metrics: Sequence[Described]) -> "Index":
        """Take the words of the metrics."""
        documents = [_document(metric) for metric in metrics]
        return cls(documents, Counter(stem for document in documents for stem in document.weights))

    def scores(self, question: str) -> list[float]:
        """Return a score for each metric, in their order; 0 where no word fits."""
        wanted = meant(question)
        many = len(self.documents)
        mean = math.fsum(document.length for document in self.documents) / many if many else 1.0
        weight = {
            stem: share * math.log(1 + (many - self.spread.get(stem, 0) + 0.5) / (self.spread.get(stem, 0) + 0.5))
            for stem, share in wanted.items()
        }
        return [
            math.fsum(
                weight[stem] * found * (_SATURATION + 1) / (found + _SATURATION * (1 - _LENGTH + _LENGTH * relative))
                for stem in weight
                if (found := document.weights.get(stem, 0.0))
            )
            for document in self.documents
            for relative in [document.length / mean if mean else 1.0]
        ]


def words(text: str) -> list[str]:
    """Return the words of a text or a name, in small letters: `MemAvailable_bytes` has three."""
    return [word.casefold() for word in _WORDS.findall(text)]


@lru_cache(maxsize=16_384)
def stem(word: str) -> str:
    """Return a word without its ending, so that `queued`, `queueing` and `queues` are one."""
    ends = () if word.endswith("ss") else _ENDS
    end = next((end for end in ends if word.endswith(end) and len(word) - len(end) >= _SHORTEST), "")
    bare = word.removesuffix(end)
    return bare.removesuffix("e") if len(bare) > _SHORTEST else bare


def meant(question: str) -> dict[str, float]:
    """Return the stems of a question with their weights: 1 for its own words, less for those that synonyms add.

    Two words that follow on each other may be one in a name (`api server`, `apiserver`).
    """
    said = words(question)
    found: dict[str, float] = {}
    for word in said:
        if word not in _EMPTY:
            found[stem(word)] = 1.0
    for first, second in pairwise(said):
        found.setdefault(stem(first + second), 1.0)
    for phrase, means in _synonyms().items():
        if _holds([stem(word) for word in said], phrase):
            for added in means:
                found[added] = max(found.get(added, 0.0), _MEANT)
    return found


def _document(metric: Described) -> _Document:
    weights: dict[str, float] = {}
    for text, weight in ((metric.name, _NAME), (metric.help, _HELP), (" ".join(metric.labels), _LABEL)):
        for one in {stem(word) for word in words(text)}:
            weights[one] = weights.get(one, 0.0) + weight
    return _Document(weights, sum(weights.values()))


def _holds(said: Sequence[str], phrase: Sequence[str]) -> bool:
    return any(tuple(said[place : place + len(phrase)]) == tuple(phrase) for place in range(len(said)))


@cache
def _synonyms() -> dict[tuple[str, ...], list[str]]:
    table = tomllib.loads(files("midwatch_mcp.metrics").joinpath("synonyms.toml").read_text("utf-8"))
    return {
        tuple(stem(word) for word in words(phrase)): [stem(word) for text in means for word in words(text)]
        for phrase, means in table["said"].items()
    }
