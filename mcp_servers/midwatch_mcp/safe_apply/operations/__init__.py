"""The operations that a plan may hold, by name. What is not here is refused (CONTRACTS §6: fail closed)."""

from typing import Any

from midwatch_mcp.safe_apply.operations.base import OperationKind, refuse
from midwatch_mcp.safe_apply.operations.patch import PatchOperation
from midwatch_mcp.safe_apply.operations.rollout_undo import RolloutUndoOperation
from midwatch_mcp.safe_apply.operations.scale import ScaleOperation
from midwatch_mcp.safe_apply.operations.serving_config import ServingConfigOperation
from midwatch_mcp.safe_apply.operations.set_args import SetArgsOperation

OPERATIONS: dict[str, OperationKind[Any]] = {
    kind.name: kind
    for kind in (
        SetArgsOperation(),
        ScaleOperation(),
        PatchOperation(),
        RolloutUndoOperation(),
        ServingConfigOperation(),
    )
}


def operation_kind(name: str) -> OperationKind[Any]:
    """Return the operation of a name.

    Raises:
        RefusedChangeError: when there is none; lists those there are.
    """
    if name not in OPERATIONS:
        raise refuse(f"there is no operation {name!r}: one of {', '.join(OPERATIONS)}")
    return OPERATIONS[name]
