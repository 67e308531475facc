"""What the operations of one plan may not be to each other (CONTRACTS §5): each refusal says how to split the plan."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from midwatch_contracts.plan import Operation
from midwatch_mcp.safe_apply.errors import RefusedChangeError
from midwatch_mcp.safe_apply.operations import operation_kind
from midwatch_mcp.safe_apply.preview import target_text

Asked = tuple[str, Mapping[str, Any], Mapping[str, Any]]
"""(operation, target, args) as a draft has them."""


def refuse_dependent(asked: Sequence[Asked]) -> None:
    """Refuse an operation on what another one of the plan first creates: its dry run would need that one's result."""
    for number, (op, target, args) in enumerate(asked, 1):
        if op != "create":
            continue
        manifest = cast("dict[str, Any]", args.get("manifest") if isinstance(args.get("manifest"), dict) else {})
        spec = cast("dict[str, Any]", manifest.get("spec") if isinstance(manifest.get("spec"), dict) else {})
        names = cast("dict[str, Any]", spec.get("names") if isinstance(spec.get("names"), dict) else {})
        for other, (_, needs, _) in enumerate(asked, 1):
            in_it = target.get("kind") == "Namespace" and needs.get("namespace") == target.get("name") != ""
            of_it = target.get("kind") == "CustomResourceDefinition" and needs.get("kind") == names.get("kind")
            if other != number and (in_it or of_it):
                raise RefusedChangeError(
                    "bad_draft",
                    f"op{other} needs the {target.get('kind')} {target.get('name')} that op{number} creates, so it "
                    f"cannot be tried beforehand: make a plan of op{number}, apply it, then a plan of the rest",
                )


def refuse_same_object(operations: Sequence[Operation]) -> None:
    """Refuse two operations on one object, however it is written, the pods of a drain among them."""
    seen: dict[tuple[str, bool], str] = {}
    for operation in operations:
        for key in _objects(operation):
            if key in seen:
                raise RefusedChangeError(
                    "bad_draft",
                    f"the plan touches an object more than once ({seen[key]} and {operation.id}): merge the "
                    "operations, or make two plans",
                )
            seen[key] = operation.id


def _objects(operation: Operation) -> Iterator[tuple[str, bool]]:
    kind = operation_kind(operation.op)
    uid = operation.pre.uid if operation.pre is not None else ""
    yield uid or target_text(operation.target), kind.serving
    for part in kind.parts(kind.parse(operation.args), operation.target):
        if part.target != operation.target:
            yield part.uid, False


def refuse_order(operations: Sequence[Operation]) -> None:
    """Refuse an operation that can be undone behind one that cannot: a failure of it could not lead back."""
    final = [operation for operation in operations if operation.undo == "none"]
    wanted = [operation for operation in operations if operation.undo != "none"] + final
    if wanted != list(operations):
        raise RefusedChangeError(
            "bad_draft",
            f"{' and '.join(f'{one.id} ({one.op})' for one in final)} cannot be undone, so everything else comes "
            f"first: order the operations {', '.join(one.id for one in wanted)}",
        )
