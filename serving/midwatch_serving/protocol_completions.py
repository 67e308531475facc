"""The completions protocol: plain prompts."""

from typing import Annotated, Literal

from pydantic import Field

from midwatch_serving.protocol import MOST_LOGPROBS, Generation, TokenId

MOST_PROMPTS = 128

Tokens = Annotated[list[TokenId], Field(min_length=1, max_length=1 << 20)]


class CompletionRequest(Generation):
    """`POST /v1/completions`. Options that are served only at their default say so in their type."""

    prompt: (
        str
        | Tokens
        | Annotated[list[str], Field(min_length=1, max_length=MOST_PROMPTS)]
        | Annotated[list[Tokens], Field(min_length=1, max_length=MOST_PROMPTS)]
    )
    max_tokens: Annotated[int, Field(ge=0)] | None = 16
    """0 with `echo` scores the prompt and generates nothing."""
    logprobs: Annotated[int, Field(ge=0, le=MOST_LOGPROBS)] | None = None
    echo: bool = False
    suffix: Literal[""] | None = None
    best_of: Annotated[int, Field(ge=1)] | None = None
    add_special_tokens: bool | None = None

    @property
    def prompts(self) -> list[str] | list[list[int]]:
        """The prompts as a list, of texts or of token ids."""
        prompt = self.prompt
        if isinstance(prompt, str):
            return [prompt]
        if isinstance(prompt[0], int):
            return [prompt]  # pyright: ignore[reportReturnType] (the union's second member)
        return prompt  # pyright: ignore[reportReturnType] (its third or fourth)
