"""The state of the graph: small and plain JSON, since every checkpoint holds a copy and nothing else may be in it."""

from typing import Any, NotRequired, TypedDict


class State(TypedDict):
    """What one run knows; a node may read the fields that the nodes before it have set."""

    run: str
    subject: dict[str, Any]
    wanted_guide: str | None
    """A guide that was asked for by id; triage is then skipped."""
    inputs: dict[str, str]
    """Inputs of the guide that were given by hand, as text."""
    guide: str
    """The guide that is run."""
    findings: dict[str, Any]
    plan_id: NotRequired[str | None]
    plan_title: NotRequired[str]
    operations: NotRequired[list[str]]
    preview: NotRequired[dict[str, Any]]
    preview_sha256: NotRequired[str]
    needs_person: NotRequired[str | None]
    """Why a person must approve the plan; None where the policy approves it by itself, as things were."""
    promql: NotRequired[str | None]
    """The first query among the plan's expectations: what is measured before and after."""
    decision: NotRequired[dict[str, str]]
    before: NotRequired[float | None]
    before_at: NotRequired[float]
    after: NotRequired[float | None]
    change_id: NotRequired[str | None]
    change_state: NotRequired[str | None]
    applied: NotRequired[bool]
    note: NotRequired[str]
    result: NotRequired[dict[str, Any]]


Update = dict[str, Any]
"""The fields of the state that a node sets."""
