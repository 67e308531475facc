"""Log-probabilities in the shapes of the chat and of the completions API."""

from collections.abc import Sequence
from typing import Any

from midwatch_serving.sampling import TokenLogprobs
from midwatch_serving.tokenizer import Tokenizer

LEAST = -9999.0
"""Stands for minus infinity, which JSON cannot write (vLLM's value)."""


def chat_logprobs(tokenizer: Tokenizer, tokens: Sequence[int], logprobs: Sequence[TokenLogprobs]) -> dict[str, Any]:
    """Return the `logprobs` of a chat choice, or of a piece of one."""
    content = [
        _entry(tokenizer, token, found.logprob)
        | {"top_logprobs": [_entry(tokenizer, other, value) for other, value in found.top]}
        for token, found in zip(tokens, logprobs, strict=True)
    ]
    return {"content": content, "refusal": None}


def _entry(tokenizer: Tokenizer, token: int, logprob: float) -> dict[str, Any]:
    return {
        "token": tokenizer.token_name(token),
        "logprob": max(logprob, LEAST),
        "bytes": list(tokenizer.token_bytes(token)),
    }


class CompletionLogprobs:
    """The `logprobs` of a completion choice, piece by piece: `text_offset` counts from the start of the whole text."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._offset = 0

    def piece(self, tokens: Sequence[int], logprobs: Sequence[TokenLogprobs | None]) -> dict[str, Any]:
        """Return the object for the next tokens; a first prompt token has no log-probability (None)."""
        names = [self._tokenizer.token_name(token) for token in tokens]
        offsets: list[int] = []
        for token in tokens:
            offsets.append(self._offset)
            self._offset += len(self._tokenizer.decode([token]))
        return {
            "tokens": names,
            "token_logprobs": [None if found is None else max(found.logprob, LEAST) for found in logprobs],
            "top_logprobs": [None if found is None else self._top(found) for found in logprobs],
            "text_offset": offsets,
        }

    def _top(self, found: TokenLogprobs) -> dict[str, float]:
        return {self._tokenizer.token_name(token): max(value, LEAST) for token, value in found.top}
