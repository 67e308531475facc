"""What the tools of the changes server return."""

from typing import Any

from pydantic import Field

from midwatch_contracts.expectations import Observation
from midwatch_contracts.model import Model
from midwatch_contracts.plan import Change, ChangeState, Plan, Preview
from midwatch_mcp.safe_apply.rehearsal.outcome import Rehearsal
from midwatch_mcp.shapes import UNTRUSTED, OutsideJson


class ProposedPlan(Model):
    """A plan with what it would do. Titles, values and diffs carry text from outside."""

    plan: Plan = Field(json_schema_extra=UNTRUSTED)
    preview: Preview = Field(json_schema_extra=UNTRUSTED)
    preview_sha256: str
    text: str = Field(json_schema_extra=UNTRUSTED)
    """What the approval screen shows."""
    needs_person: str | None = Field(json_schema_extra=UNTRUSTED)
    """Why a person must approve it; null where the policy approves it by itself, as things are."""
    rehearsal: Rehearsal | None = Field(json_schema_extra=UNTRUSTED)
    """How this very preview went on a copy, if it was tried."""


class ChangeAnswer(Model):
    """One change. Its note quotes objects and servers."""

    change: Change = Field(json_schema_extra=UNTRUSTED)


class ChangeStatusAnswer(Model):
    """A change, its times (Unix seconds) and what was observed while verifying, oldest first."""

    change: Change = Field(json_schema_extra=UNTRUSTED)
    started: float
    applied: float | None
    ended: float | None
    observations: list[Observation] = Field(json_schema_extra=UNTRUSTED)
    answers: dict[str, OutsideJson]
    """What operations answered, by their ids: the output of a command, which requests were cut."""


class PlanLine(Model):
    """A plan that waits: no change was made of it, or it was approved again."""

    plan_id: str
    title: str = Field(json_schema_extra=UNTRUSTED)
    state: ChangeState
    says: str = Field(json_schema_extra=UNTRUSTED)
    """Who approved it and what is missing, where the state alone does not say it."""
    created: str


class ChangeList(Model):
    """Changes, oldest first, and plans that wait."""

    changes: list[Change] = Field(json_schema_extra=UNTRUSTED)
    plans: list[PlanLine]


DraftJson = dict[str, Any]
