"""What the server asks of a tokenizer. `ByteTokenizer` serves the tiny model, `BpeTokenizer` a GGUF file."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Tokenizer(Protocol):
    """Text to tokens and back, and a chat as one prompt."""

    @property
    def vocab_size(self) -> int:
        """Number of token ids."""
        ...

    @property
    def eos(self) -> frozenset[int]:
        """Tokens that end an answer; empty when the model never ends one by itself."""
        ...

    @property
    def bos(self) -> int | None:
        """The token that every text of this model begins with; None where it begins with none."""
        ...

    def encode(self, text: str) -> list[int]:
        """Return the tokens of plain text. Text never makes a special token."""
        ...

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens; special tokens are left out and broken UTF-8 becomes U+FFFD."""
        ...

    def token_bytes(self, token: int) -> bytes:
        """Return the bytes that a token adds to the text; nothing for a special token."""
        ...

    def token_name(self, token: int) -> str:
        """Return how a token is shown, in log-probabilities and by `/tokenize`."""
        ...

    def chat_prompt(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        add_generation_prompt: bool = True,
    ) -> list[int]:
        """Return the prompt of a chat: OpenAI's messages (`content` a text) and function tools.

        Raises:
            RequestError: when the model's template refuses the messages; says why.
        """
        ...


def text_prompt(tokenizer: Tokenizer, text: str, *, special: bool = True) -> list[int]:
    """Return the tokens of a plain text as the model expects to see one: with its first token, unless not `special`."""
    tokens = tokenizer.encode(text)
    return [tokenizer.bos, *tokens] if special and tokenizer.bos is not None else tokens
