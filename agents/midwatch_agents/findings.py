"""What a guide found, as plain data that the graph's state, the ledger and the report share."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from midwatch_agents.result import Outcome
from midwatch_contracts.causes import Cause


@dataclass(frozen=True)
class StepReport:
    """One step of the guide as it ended."""

    id: str
    title: str
    state: str
    """`done`, `skipped`, `failed`, or `no_data`."""
    says: str
    """The result's summary, or why it was skipped or failed."""
    evidence: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class Findings:
    """The end of a guide."""

    guide: str
    title: str
    outcome: Outcome
    says: str
    cause: Cause | None
    evidence: tuple[str, ...]
    ruled_out: tuple[str, ...]
    steps: tuple[StepReport, ...]
    draft: dict[str, Any] | None
    """What `change_propose` takes, when the guide drafts a change for this outcome."""
    by_code: bool = False
    """Whether expressions over readings alone led to the draft: no step that a person or a model answered was run."""

    def as_json(self) -> dict[str, Any]:
        """Return the plain form."""
        plain = asdict(self)
        plain["cause"] = None if self.cause is None else self.cause.model_dump(mode="json")
        return plain

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Findings":
        """Read the plain form back."""
        return cls(
            guide=raw["guide"],
            title=raw["title"],
            outcome=raw["outcome"],
            says=raw["says"],
            cause=None if raw["cause"] is None else Cause.model_validate(raw["cause"]),
            evidence=tuple(raw["evidence"]),
            ruled_out=tuple(raw["ruled_out"]),
            steps=tuple(_step(step) for step in raw["steps"]),
            draft=raw["draft"],
            by_code=raw.get("by_code", False),
        )

    @property
    def steps_run(self) -> int:
        """How many steps were run, not skipped."""
        return sum(1 for step in self.steps if step.state != "skipped")


def _step(raw: Mapping[str, Any]) -> StepReport:
    return StepReport(
        id=raw["id"],
        title=raw["title"],
        state=raw["state"],
        says=raw["says"],
        evidence=tuple(raw["evidence"]),
        seconds=raw["seconds"],
    )
