"""Who is asked, what, and what came of it: without the MCP SDK, which takes half a second to import."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Asker:
    """Who would be asked."""

    principal: str
    can_be_asked: bool
    """Whether the client says that it can show a form to its user."""
    again: bool
    """Whether the call was made again with what a question of before gave out."""


@dataclass(frozen=True)
class Question:
    """What to ask. `text` must be the same each time that the same question is asked."""

    key: str
    text: str
    seconds: float
    """How long to wait for the answer."""


@dataclass(frozen=True)
class Reply:
    """What came of it. `key` is that of the question, None where none was asked; `why` says why it is no answer."""

    outcome: Literal["yes", "no", "cancelled", "timeout", "not_asked"]
    principal: str
    key: str | None = None
    why: str = ""
