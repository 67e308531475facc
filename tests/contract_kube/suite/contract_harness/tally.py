"""How the cases went, for the one line at the end."""

from dataclasses import dataclass, field
from typing import Final

NAMED_MAX: Final = 15


@dataclass
class Tally:
    """Counts of cases that agreed, that did not, and that differ for a named reason."""

    title: str
    """What the line begins with."""
    named_max: int
    passed: int = 0
    failed: int = 0
    named: list[str] = field(default_factory=list[str])

    @property
    def ran(self) -> bool:
        """Whether any case ran."""
        return bool(self.passed or self.failed or self.named)

    @property
    def green(self) -> bool:
        """Whether the contract holds: nothing failed, and few enough differences have a name."""
        return not self.failed and len(self.named) <= self.named_max

    @property
    def line(self) -> str:
        """The line."""
        return f"{self.title}: {self.passed} passed, {self.failed} failed, {len(self.named)} named differences"


TALLY: Final = Tally("contract kube", NAMED_MAX)
"""Of this run of pytest."""
