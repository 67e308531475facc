"""What a run of a guide found: outcomes with causes, each step with its state, and the change that it drafts."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from midwatch_contracts.causes import Cause
from midwatch_contracts.model import Model

StepState = Literal["done", "no_data", "failed", "skipped"]
"""`no_data`: it ran and a reading that it needs is missing."""
_CONFIDENCE = {"certain": 0, "likely": 1, "possible": 2}
_VERDICT = {"cause": 0, "healthy": 1, "escalate": 2}


class StepRecord(Model):
    """How one step ended."""

    id: str
    title: str
    kind: str
    state: StepState
    reason: str = ""
    """Why it was skipped, failed, or has no data."""
    summary: str = ""
    """What the tool said in a sentence, or what was decided; may hold text from outside."""
    tool: str | None = None
    evidence: str | None = None
    bound: dict[str, Any] = Field(default_factory=dict)
    """Names that it saved; `null` with the name in `no_data` where there was no reading."""
    no_data: tuple[str, ...] = ()
    """Names that it saved without a reading."""
    option: str | None = None
    """The choice of a `decide`, `check` or `ask` step."""
    taken: tuple[str, ...] = ()
    """The steps that it led to."""
    attempts: int = 0
    resumed: bool = False
    """Its result was read from the journal."""
    started: float | None = None
    ended: float | None = None


class RuledOut(Model):
    """A mechanism that was excluded, and why."""

    mechanism: str
    because: str
    evidence: tuple[str, ...]


class Outcome(Model):
    """One end that was reached."""

    step: str
    title: str
    verdict: Literal["cause", "healthy", "escalate"]
    says: str
    cause: Cause | None = None
    evidence: tuple[str, ...] = ()
    plan_draft: dict[str, Any] | None = None
    """What `change_propose` takes: `{title, cause, evidence, operations, expect}`."""
    ruled_out: tuple[RuledOut, ...] = ()


class GuideResult(Model):
    """The end of a run. Nothing in it but the times depends on which step finished first."""

    guide: str
    title: str
    guide_sha256: str
    run: str
    state: Literal["done", "failed"]
    """`failed`: a step failed whose guide says that its failure is that of the run."""
    inputs: dict[str, Any]
    outcomes: tuple[Outcome, ...]
    """All that were reached, in the order of the document."""
    primary: Outcome | None
    plan_draft: dict[str, Any] | None
    """That of the primary outcome."""
    ruled_out: tuple[RuledOut, ...]
    steps: tuple[StepRecord, ...]
    """In the order of the document."""

    @property
    def escalated(self) -> tuple[Outcome, ...]:
        """The outcomes that ask for a person; never lost behind a cause."""
        return tuple(outcome for outcome in self.outcomes if outcome.verdict == "escalate")


def primary(outcomes: Sequence[Outcome]) -> Outcome | None:
    """Return the outcome that counts (CONTRACTS §4).

    A cause outranks healthy, which outranks escalate; of several causes the more confident, then the earlier in
    `outcomes`, which are in the order of the document.
    """

    def rank(outcome: Outcome) -> tuple[int, int]:
        confidence = 0 if outcome.cause is None else _CONFIDENCE[outcome.cause.confidence]
        return _VERDICT[outcome.verdict], confidence

    return min(outcomes, key=rank, default=None)
