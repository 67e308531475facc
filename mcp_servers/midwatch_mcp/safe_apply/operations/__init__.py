"""The operations that a plan may hold, by name. What is not here is refused (CONTRACTS §6: fail closed)."""

from typing import Any

from midwatch_mcp.safe_apply.operations.apply import ApplyOperation
from midwatch_mcp.safe_apply.operations.base import OperationKind, refuse
from midwatch_mcp.safe_apply.operations.bounds import HpaBoundsOperation, PdbOperation
from midwatch_mcp.safe_apply.operations.eviction import EvictOperation
from midwatch_mcp.safe_apply.operations.execution import ExecOperation
from midwatch_mcp.safe_apply.operations.labels import AnnotateOperation, LabelOperation
from midwatch_mcp.safe_apply.operations.nodes import CordonOperation, DrainOperation, UncordonOperation
from midwatch_mcp.safe_apply.operations.patch import PatchOperation
from midwatch_mcp.safe_apply.operations.presence import CreateOperation, DeleteOperation
from midwatch_mcp.safe_apply.operations.rollout import (
    RolloutPauseOperation,
    RolloutRestartOperation,
    RolloutResumeOperation,
)
from midwatch_mcp.safe_apply.operations.rollout_undo import RolloutUndoOperation
from midwatch_mcp.safe_apply.operations.scale import ScaleOperation
from midwatch_mcp.safe_apply.operations.serving_adapter import AdapterOperation
from midwatch_mcp.safe_apply.operations.serving_calls import CancelOperation, DrainReplicaOperation, ResetCacheOperation
from midwatch_mcp.safe_apply.operations.serving_config import ServingConfigOperation
from midwatch_mcp.safe_apply.operations.set_args import SetArgsOperation
from midwatch_mcp.safe_apply.operations.set_env import SetEnvOperation
from midwatch_mcp.safe_apply.operations.set_image import SetImageOperation
from midwatch_mcp.safe_apply.operations.set_resources import SetResourcesOperation

OPERATIONS: dict[str, OperationKind[Any]] = {
    kind.name: kind
    for kind in (
        SetArgsOperation(),
        SetEnvOperation(),
        SetImageOperation(),
        SetResourcesOperation(),
        ScaleOperation(),
        PatchOperation(),
        ApplyOperation(),
        LabelOperation(),
        AnnotateOperation(),
        RolloutRestartOperation(),
        RolloutUndoOperation(),
        RolloutPauseOperation(),
        RolloutResumeOperation(),
        HpaBoundsOperation(),
        PdbOperation(),
        CordonOperation(),
        UncordonOperation(),
        DrainOperation(),
        EvictOperation(),
        CreateOperation(),
        DeleteOperation(),
        ExecOperation(),
        ServingConfigOperation(),
        AdapterOperation(),
        DrainReplicaOperation(),
        ResetCacheOperation(),
        CancelOperation(),
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
