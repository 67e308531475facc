"""How the cases went, for the one line at the end."""

from dataclasses import dataclass, field
from typing import Final

NAMED_MAX: Final = 15


@dataclass
class Tally:
    """Counts of cases that agreed, that did not, and that differ for a named reason."""

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
        return not self.failed and len(self.named) <= NAMED_MAX

    @property
    def line(self) -> str:
        """The line."""
        return f"contract kube: {self.passed} passed, {self.failed} failed, {len(self.named)} named differences"


TALLY: Final = Tally()
"""Of this run of pytest."""
