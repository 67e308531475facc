"""The writes of one operation, each with what it must find and leave; most operations are one write."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from midwatch_contracts.canonical import sha256_hex
from midwatch_contracts.plan import Operation, Target
from midwatch_mcp.safe_apply.expected import Expected
from midwatch_mcp.safe_apply.operations import operation_kind
from midwatch_mcp.safe_apply.operations.base import OperationKind
from midwatch_mcp.safe_apply.ports import Snapshot
from midwatch_mcp.safe_apply.preview import target_text
from midwatch_mcp.safe_apply.reading import found_sha256

Where = Literal["before", "after", "elsewhere"]
"""What the touched values of a target are: those from before a write, those that it leaves, or others."""


@dataclass(frozen=True)
class Step:
    """One write."""

    id: str
    """The operation's."""
    target: Target
    kind: OperationKind[Any]
    args: Any
    uid: str
    pre: str
    post: str
    shared: bool = False
    """Whether finding it done by somebody else is as good: that a pod is gone, that a node is cordoned."""
    patience_s: float = 0.0

    @property
    def text(self) -> str:
        """The step as a person reads it."""
        return f"{self.kind.name} of {target_text(self.target)}"

    def where(self, snapshot: Snapshot) -> Where:
        """Say where the target is."""
        found = found_sha256(self.kind, self.args, snapshot, self.uid)
        if found == self.pre:
            return "before"
        return "after" if found == self.post else "elsewhere"


def steps_of(operation: Operation, expected: Expected) -> Sequence[Step]:
    """Return the writes of an operation in order."""
    kind = operation_kind(operation.op)
    args = kind.parse(operation.args)
    parts = kind.parts(args, operation.target)
    if not parts:
        return (whole(operation, expected),)
    steps: list[Step] = []
    for part in parts:
        each = operation_kind(part.op)
        parsed = each.parse(part.args)
        pre, post = (sha256_hex(each.touched(parsed, value)) for value in (part.before, part.after))
        uid = part.uid or expected.uid
        steps.append(
            Step(operation.id, part.target, each, parsed, uid, pre, post, shared=True, patience_s=kind.patience_s)
        )
    return steps


def whole(operation: Operation, expected: Expected) -> Step:
    """Return an operation as one step: what it must find and leave of its own target."""
    kind = operation_kind(operation.op)
    return Step(
        operation.id,
        operation.target,
        kind,
        kind.parse(operation.args),
        expected.uid,
        expected.pre_sha256,
        expected.post_sha256,
        patience_s=kind.patience_s,
    )


def undoing(operation: Operation, undo: Operation, expected: Expected) -> Step:
    """Return the step that leads an operation back."""
    kind = operation_kind(undo.op)
    return Step(
        operation.id,
        operation.target,
        kind,
        kind.parse(undo.args),
        expected.uid,
        expected.undo_pre_sha256,
        expected.undo_post_sha256,
        patience_s=kind.patience_s,
    )
