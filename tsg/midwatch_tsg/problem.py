"""What is wrong with a guide: where, what, and how to mend it."""

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True, order=True)
class Problem:
    """One finding. An error keeps the guide from running; a warning is a mentor's advice."""

    file: str
    line: int
    severity: Severity
    rule: str
    """A stable name such as `graph.cycle`."""
    what: str
    mend: str
    step: str | None = None

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.severity}: {self.what}; {self.mend} [{self.rule}]"
