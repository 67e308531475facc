"""A target as an operation looks at it: what is there, what is not, and what of it the operation replaces."""

from typing import Any

from midwatch_contracts.canonical import sha256_hex
from midwatch_contracts.plan import Operation, Target
from midwatch_mcp.safe_apply.errors import RefusedChangeError, TargetMissingError
from midwatch_mcp.safe_apply.operations import operation_kind
from midwatch_mcp.safe_apply.operations.base import OperationKind
from midwatch_mcp.safe_apply.ports import ABSENT, Snapshot, TargetApi


async def read_for(api: TargetApi, kind: OperationKind[Any], target: Target) -> Snapshot:
    """Return the target as the operation looks at it; `ABSENT` where absence is one of its states.

    Raises:
        TargetError: it cannot be read, or is missing where it must not be.
    """
    try:
        return await api.read(target, kind.view)
    except TargetMissingError:
        if kind.absence:
            return ABSENT
        raise


def found_sha256(kind: OperationKind[Any], args: Any, snapshot: Snapshot, uid: str) -> str:
    """Return the hash over what an operation replaces; empty where it is another object, or no longer fits."""
    if snapshot.uid != uid and not kind.absence:
        return ""
    try:
        return sha256_hex(kind.touched(args, snapshot.value))
    except RefusedChangeError:
        return ""


async def unmet(api: TargetApi, operation: Operation) -> str | None:
    """Return why the precondition of an operation no longer holds, or None.

    Raises:
        TargetError: the target cannot be read.
    """
    kind = operation_kind(operation.op)
    try:
        snapshot = await read_for(api, kind, operation.target)
        if operation.pre is None or snapshot.uid != operation.pre.uid:
            return "it is not the object that the plan was made for"
        found = sha256_hex(kind.touched(kind.parse(operation.args), snapshot.value))
    except (TargetMissingError, RefusedChangeError) as error:
        return str(error)
    return None if found == operation.pre.touched_sha256 else "the values that the plan replaces were changed since"
