"""What a run tells while it runs, for a live tree on a screen and for the ledger."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

EventState = Literal["started", "retrying", "done", "no_data", "failed", "skipped"]


@dataclass(frozen=True)
class StepEvent:
    """A step began, is tried again, or ended. Events of parallel steps come in the order in which they happen."""

    run: str
    guide: str
    step: str
    title: str
    kind: str
    state: EventState
    at: float
    """Unix seconds on the run's clock."""
    says: str = ""
    tool: str | None = None
    evidence: str | None = None
    bound: dict[str, Any] = field(default_factory=dict[str, Any])
    taken: tuple[str, ...] = ()
    seconds: float = 0.0
    """How long it took, once it ended."""


OnEvent = Callable[[StepEvent], None]


def ignore(_event: StepEvent) -> None:
    """Take no notice."""
