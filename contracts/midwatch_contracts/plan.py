"""Plan, preview, approval and change (CONTRACTS §5), with the hashes that bind them to each other."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from midwatch_contracts.canonical import canonical_bytes, sha256_hex
from midwatch_contracts.causes import Cause
from midwatch_contracts.entity import Entity
from midwatch_contracts.errors import ContractError
from midwatch_contracts.evidence import EVIDENCE_ID, SHA256
from midwatch_contracts.model import Model

Risk = Literal["read", "change", "dangerous", "forbidden"]
RISKS: tuple[Risk, ...] = ("read", "change", "dangerous", "forbidden")
"""In rising order."""

ChangeState = Literal[
    "proposed",
    "previewed",
    "approved",
    "applying",
    "applied",
    "verifying",
    "verified",
    "undoing",
    "undone",
    "stuck",
    "rejected",
    "expired",
    "superseded",
]
TERMINAL_STATES: frozenset[ChangeState] = frozenset(
    {"verified", "undone", "stuck", "rejected", "expired", "superseded"}
)


class KubeTarget(Model):
    """One Kubernetes object; `cluster` is the uid of its `kube-system` namespace."""

    cluster: str
    apiVersion: str  # noqa: N815 (Kubernetes' own spelling)
    kind: str
    namespace: str = ""
    name: str

    @property
    def entity(self) -> Entity:
        """The same object as an entity."""
        return Entity(self.kind, self.namespace, self.name)


class ServingTarget(Model):
    """A serving backend's configuration, by URL or entity."""

    serving: str
    cluster: str | None = None
    """For an entity: the cluster that it is in, so that the same plan on another cluster is another plan."""


class GitTarget(Model):
    """A path in a Git working tree."""

    git: "GitPath"


class GitPath(Model):
    """Where in which working tree."""

    repo: str
    path: str


Target = KubeTarget | ServingTarget | GitTarget


class Precondition(Model):
    """What must still hold when the change is applied: the same object, and the same values about to be replaced."""

    uid: str
    touched_sha256: str = Field(pattern=SHA256)


class Expectation(Model):
    """What must become true and stay true (CONTRACTS §4). Either a query and `holds`, or an object and `cel`."""

    promql: str | None = None
    holds: str | None = None
    """CEL over `value` (a double); must be true for every series of the answer."""
    object: Entity | None = None
    cel: str | None = None
    """CEL over `object`."""
    within_s: float = Field(gt=0, allow_inf_nan=False)
    hold_s: float = Field(ge=0, allow_inf_nan=False)
    no_data: Literal["fail", "wait"] = "wait"

    @model_validator(mode="after")
    def _one_kind(self) -> "Expectation":
        by_query = self.promql is not None and self.holds is not None
        by_object = self.object is not None and self.cel is not None
        given = [v for v in (self.promql, self.holds, self.object, self.cel) if v is not None]
        if by_query == by_object or len(given) != 2:  # noqa: PLR2004 (a pair)
            raise ValueError("an expectation has either promql and holds, or object and cel")
        return self


class Operation(Model):
    """One step of a plan. `pre` and `undo` are filled in by `change_propose`, which reads the object."""

    id: str
    op: str
    target: Target
    args: dict[str, Any] = Field(default_factory=dict)
    pre: Precondition | None = None
    undo: "Operation | Literal['none'] | None" = None


class Plan(Model):
    """A proposed change as one transaction. `id` is the hash of the plan without `id` and `created`."""

    schema_: Literal["midwatch.plan/v1"] = Field(default="midwatch.plan/v1", alias="schema")
    id: str = Field(pattern=SHA256)
    title: str
    cause: Cause | None
    evidence: tuple[Annotated[str, Field(pattern=EVIDENCE_ID)], ...]
    operations: tuple[Operation, ...] = Field(min_length=1)
    expect: tuple[Expectation, ...] = Field(min_length=1)
    created: str

    @classmethod
    def sealed(cls, **fields: Any) -> "Plan":
        """Return a plan with its id computed over `fields`."""
        draft = cls.model_validate({**fields, "id": "0" * 64})
        return draft.model_copy(update={"id": plan_id(draft)})

    @model_validator(mode="after")
    def _each_object_once(self) -> "Plan":
        targets = [canonical_bytes(operation.target) for operation in self.operations]
        if len(set(targets)) != len(targets):
            raise ValueError("a plan touches an object at most once: merge the operations, or make two plans")
        return self


def plan_id(plan: Plan) -> str:
    """Return the content hash of a plan: canonical JSON without `id` and `created`."""
    return sha256_hex(plan.model_dump(by_alias=True, exclude={"id", "created"}))


def check_plan(plan: Plan) -> None:
    """Check that a plan's id is that of its content.

    Raises:
        ContractError: when it is not.
    """
    if plan_id(plan) != plan.id:
        raise ContractError(f"plan {plan.id[:12]} was changed: its content has the id {plan_id(plan)[:12]}")


class Diff(Model):
    """What one operation would change: a unified diff, and the same as (JSON Pointer, before, after)."""

    operation: str
    target: str
    unified: str
    changes: tuple[tuple[str, Any, Any], ...]
    hidden: str | None = Field(default=None, pattern=SHA256)
    """Seal on changed values that are shown as hidden, keyed so that they cannot be guessed; None where none is."""


class Owner(Model):
    """Who owns a field that the plan touches."""

    operation: str
    pointer: str
    manager: str


class ServiceReach(Model):
    """What a change takes of one Service at once: `away` of `ready` pods; `share` is a fraction."""

    service: str
    ready: int
    away: int
    share: float


class Reach(Model):
    """What one operation does to pods, as they stand: how many restart or go, and how many of them at once."""

    operation: str
    target: str
    pods: int
    ready: int
    restarted: int
    at_once: int
    how: str
    services: tuple[ServiceReach, ...] = ()


class Blast(Model):
    """What else is affected."""

    objects: int
    pods_restarted: int
    pods_total: int
    note: str
    reach: tuple[Reach, ...] = ()
    """By operation, for those that reach pods."""


class Preview(Model):
    """What a plan would do, by server dry run. `preview_sha256` covers diffs, owners and risk."""

    plan_id: str
    diffs: tuple[Diff, ...]
    owners: tuple[Owner, ...]
    risk: Risk
    blast: Blast
    warnings: tuple[str, ...] = ()


def preview_sha256(preview: Preview) -> str:
    """Return the hash that an approval is bound to."""
    covered = preview.model_dump(by_alias=True, include={"diffs", "owners", "risk"})
    for diff in covered["diffs"]:
        if diff["hidden"] is None:
            del diff["hidden"]
    return sha256_hex(covered)


class Approval(Model):
    """Consent to one plan under one preview. `signature`: base64 Ed25519 over the canonical JSON without itself."""

    schema_: Literal["midwatch.approval/v1"] = Field(default="midwatch.approval/v1", alias="schema")
    plan_id: str = Field(pattern=SHA256)
    preview_sha256: str = Field(pattern=SHA256)
    approver: str
    method: Literal["terminal", "cli", "elicitation", "policy"]
    attested: Literal["key", "host", "policy"]
    issued: str
    expires: str
    nonce: str = Field(pattern=r"^[0-9a-f]{32}$")
    signature: str | None


def approval_payload(approval: Approval) -> bytes:
    """Return the bytes that are signed."""
    return canonical_bytes(approval.model_dump(by_alias=True, exclude={"signature"}))


class OperationState(Model):
    """How far one operation of a change is."""

    id: str
    state: Literal["pending", "applying", "applied", "undoing", "undone", "failed", "unknown"]


class Settlement(Model):
    """What a person found who looked at a stuck change. It is that person's word: nothing was read or verified."""

    schema_: Literal["midwatch.settlement/v1"] = Field(default="midwatch.settlement/v1", alias="schema")
    change_id: str = Field(pattern=r"^chg-[0-9a-f]{16}$")
    plan_id: str = Field(pattern=SHA256)
    found: Literal["applied", "undone"]
    reason: str = Field(min_length=1, max_length=2000)
    by: str
    at: str
    signature: str | None
    """As that of an approval, over this without itself."""


def settlement_payload(settlement: Settlement) -> bytes:
    """Return the bytes that are signed."""
    return canonical_bytes(settlement.model_dump(by_alias=True, exclude={"signature"}))


class Change(Model):
    """One attempt at a plan."""

    change_id: str = Field(pattern=r"^chg-[0-9a-f]{16}$")
    plan_id: str
    preview_sha256: str
    approval: Approval | None
    """The one that expires first."""
    further: tuple[Approval, ...] = ()
    """What else it was approved by, where policy asks for several people; spent with the first."""
    state: ChangeState
    operations: tuple[OperationState, ...]
    note: str = ""
    """What is known where the state alone does not say it: which precondition failed, what to look at when stuck."""
    settled: Settlement | None = None
    """Of a stuck change that a person looked at; it stays stuck, and is not taken up again."""
