"""Operations that set one true-or-false field of `spec`, and whose undo is another operation."""

from collections.abc import Mapping
from typing import Any, ClassVar

from midwatch_mcp.safe_apply.operations.base import Nothing, OperationKind, Touched, Undo
from midwatch_mcp.safe_apply.ports import Write
from midwatch_mcp.safe_apply.values import lookup


class SwitchOperation(OperationKind[Nothing]):
    """Set `spec.<field>` to what is wanted; absent is false."""

    example: ClassVar[dict[str, Any]] = {}
    arguments = Nothing
    field: ClassVar[str]
    wanted: ClassVar[bool]
    opposite: ClassVar[str]

    def touched(self, args: Nothing, value: Mapping[str, Any]) -> Touched:
        """Return what the field says; absent is false."""
        del args
        pointer = f"/spec/{self.field}"
        return {pointer: [lookup(value, pointer) == [True]]}

    def request(self, args: Nothing, value: Mapping[str, Any]) -> Write:
        """Return a merge patch of the one field."""
        del args, value
        return Write("merge", {"spec": {self.field: True if self.wanted else None}})

    def undo(self, args: Nothing, before: Mapping[str, Any], after: Mapping[str, Any]) -> Undo:
        """Return the opposite."""
        del args, before, after
        return self.opposite, {}
