"""The tokenizer's part of a GGUF file's metadata, checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, cast

import numpy as np

from midwatch_serving.errors import ModelError

LLAMA3 = ("llama-bpe", "llama3", "llama-v3")
PRE_TOKENIZERS = ("default", "gpt-2", *LLAMA3, "qwen2", "smollm")
"""Known values of `tokenizer.ggml.pre`: how text is cut into words before merging."""

_NAMED = ("bos", "eos", "eot", "eom", "unknown", "padding")
_REFETCH = "fetch or convert it again"


class TokenType(IntEnum):
    """What a token is, in `tokenizer.ggml.token_type`."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


SPECIAL = frozenset({TokenType.CONTROL, TokenType.USER_DEFINED})
TEXT = frozenset({TokenType.NORMAL, TokenType.BYTE})


@dataclass(frozen=True)
class TokenizerMetadata:
    """A byte-level BPE tokenizer as a GGUF file describes it."""

    pre: str
    tokens: list[str]
    types: list[TokenType]
    merges: list[tuple[str, str]]
    """Pairs whose parts and whole are tokens, the first merge first."""
    named: Mapping[str, int]
    """Ids by role: `bos`, `eos`, `eot`, `eom`, `unknown`, `padding`, as far as they are named."""
    add_bos: bool
    template: str | None
    """Chat template (Jinja)."""


def read_tokenizer(metadata: Mapping[str, Any], path: Path, vocab_size: int) -> TokenizerMetadata:
    """Return the tokenizer of a model with `vocab_size` tokens.

    Raises:
        ModelError: when it is of a kind that is not known here, does not fit the model, or is broken.
    """
    reader = _Reader(metadata, path)
    pre = reader.kind()
    tokens = reader.texts("tokens")
    if len(tokens) != vocab_size:
        raise reader.error(f"has {len(tokens)} tokens beside an embedding of {vocab_size}")
    named = {name: number for name in _NAMED if (number := reader.token_id(name, vocab_size)) is not None}
    template = metadata.get("tokenizer.chat_template")
    return TokenizerMetadata(
        pre=pre,
        tokens=tokens,
        types=reader.types(vocab_size),
        merges=reader.merges(frozenset(tokens)),
        named=named,
        add_bos="bos" in named and bool(metadata.get("tokenizer.ggml.add_bos_token", pre in LLAMA3)),
        template=template if isinstance(template, str) else None,
    )


class _Reader:
    def __init__(self, metadata: Mapping[str, Any], path: Path) -> None:
        self._metadata = metadata
        self._path = path

    def error(self, what: str, mend: str = _REFETCH) -> ModelError:
        return ModelError(self._path, what, mend=mend)

    def kind(self) -> str:
        """Return the pre-tokenizer of a BPE model; refuse other models."""
        model = self._metadata.get("tokenizer.ggml.model")
        if not isinstance(model, str) or model != "gpt2":
            raise self.error(
                f"has a tokenizer of the kind {str(model)[:40]!r}; byte-level BPE (`gpt2`) is the one known here",
                "use a model with byte-level BPE, such as SmolLM2, Llama 3 or Qwen",
            )
        pre = self._metadata.get("tokenizer.ggml.pre", "default")
        if not isinstance(pre, str) or pre not in PRE_TOKENIZERS:
            known = ", ".join(PRE_TOKENIZERS)
            raise self.error(f"cuts words as {str(pre)[:40]!r}; known here are {known}", "use a model of one of these")
        return pre

    def texts(self, key: str) -> list[str]:
        value = self._metadata.get(f"tokenizer.ggml.{key}")
        if not isinstance(value, list) or not all(isinstance(text, str) for text in cast("list[Any]", value)):
            raise self.error(f"has no list of texts under tokenizer.ggml.{key}")
        return cast("list[str]", value)

    def types(self, vocab_size: int) -> list[TokenType]:
        value = self._metadata.get("tokenizer.ggml.token_type")
        if value is None:
            return [TokenType.NORMAL] * vocab_size
        kinds = {int(kind): kind for kind in TokenType}
        numbers = cast("list[Any]", value.tolist()) if isinstance(value, np.ndarray) else []
        if len(numbers) != vocab_size or not all(number in kinds for number in numbers):
            raise self.error(f"needs {vocab_size} numbers from 1 to 6 under tokenizer.ggml.token_type, one a token")
        return [kinds[number] for number in numbers]

    def merges(self, tokens: frozenset[str]) -> list[tuple[str, str]]:
        pairs: list[tuple[str, str]] = []
        for merge in self.texts("merges"):
            left, space, right = merge.partition(" ")
            if not space or left not in tokens or right not in tokens or left + right not in tokens:
                raise self.error(f"merges {merge!r}, which are no two tokens that make a third")
            pairs.append((left, right))
        return pairs

    def token_id(self, name: str, vocab_size: int) -> int | None:
        value = self._metadata.get(f"tokenizer.ggml.{name}_token_id")
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < vocab_size:
            raise self.error(f"names token {str(value)[:40]} as its {name} token, of {vocab_size}")
        return value
