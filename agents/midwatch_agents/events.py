"""What a run tells whoever watches it: each thing that is recorded is shown, and what is shown was recorded.

The kinds, in the order of an incident: `begun`, `subject`, `triage`, `guide`, `step`, `findings`, `plan`, `decision`,
`measured`, `applying`, `change`, `series`, `end`; beside them `tool` and `tool_error` for each call, `note`, `error`,
`waiting` and `torn`. `step_started` alone is shown and not recorded, since it says nothing that lasts.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from midwatch_agents.ledger import Ledger


@dataclass(frozen=True)
class RunEvent:
    """One thing that happened in a run; `body` is plain JSON data."""

    run: str
    kind: str
    step: str | None
    evidence: str | None
    body: Mapping[str, Any]


OnEvent = Callable[[RunEvent], None]


def ignore(_event: RunEvent) -> None:
    """Watch nothing."""


@dataclass(frozen=True)
class Recorder:
    """Writes the ledger of one run, then tells the watcher."""

    run: str
    ledger: Ledger
    on_event: OnEvent = ignore

    def record(
        self, kind: str, body: Mapping[str, Any], *, step: str | None = None, evidence: str | None = None
    ) -> None:
        """Append to the ledger, then tell."""
        entry = self.ledger.append(kind, body, step=step, evidence=evidence)
        self.on_event(RunEvent(self.run, kind, step, evidence, entry.body))

    def show(self, kind: str, body: Mapping[str, Any], *, step: str | None = None) -> None:
        """Tell the watcher of what passes and is not recorded."""
        self.on_event(RunEvent(self.run, kind, step, None, body))
