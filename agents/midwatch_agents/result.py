"""What a run came to, and the exit code that says so (CONTRACTS §10)."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from midwatch_contracts.causes import Cause
from midwatch_contracts.exit_codes import Exit

Outcome = Literal["cause", "healthy", "escalate", "no_data"]
"""What the guide found. `no_data`: what the question is about is not measured."""


@dataclass(frozen=True)
class RunResult:
    """The end of one run. Times are seconds; None stands for what was not measured."""

    run: str
    guide: str | None
    outcome: Outcome
    cause: Cause | None
    evidence: tuple[str, ...]
    plan_id: str | None
    approved: bool
    applied: bool
    verified: bool
    undone: bool
    change_state: str | None
    ttft_p95_before_s: float | None
    """The plan's first expectation over a query, read just before the change: p95 TTFT for the TTFT guide."""
    ttft_p95_after_s: float | None
    """The same, once verified."""
    steps: int
    """Steps of the guide that were run."""
    seconds: float
    report: Path
    ledger: Path
    note: str = ""
    """Why it ended as it did, where the rest does not say: a refusal by policy, a tool that could not be reached."""
    says: str = ""
    """What the guide concluded, in a sentence or two."""
    operations: tuple[str, ...] = ()
    """The operations of the plan that was applied."""
    waiting: bool = False
    """The run stopped at its approval and can be resumed."""

    @property
    def exit_code(self) -> Exit:
        """The exit code of a command that ends with this result."""
        if self.outcome == "healthy" or self.verified:
            return Exit.OK
        if self.change_state == "stuck":
            return Exit.STUCK
        if self.undone:
            return Exit.UNDONE
        if self.waiting or (self.plan_id is not None and not self.approved):
            return Exit.NOT_APPROVED
        if self.change_state == "expired":
            return Exit.NOT_APPROVED
        return Exit.UNSETTLED

    def as_json(self) -> dict[str, Any]:
        """Return the plain form that `--json` prints."""
        plain = asdict(self)
        cause = self.cause
        plain["cause"] = None if cause is None else {"mechanism": cause.mechanism, "entity": str(cause.entity)}
        plain["confidence"] = None if cause is None else cause.confidence
        plain |= {
            "evidence": list(self.evidence),
            "operations": list(self.operations),
            "report": str(self.report),
            "ledger": str(self.ledger),
        }
        return plain | {"exit_code": int(self.exit_code)}
