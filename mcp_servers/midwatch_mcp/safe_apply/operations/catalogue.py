"""What a plan may hold, for a person and for documents: each operation with its target, undo, arguments and example."""

from typing import Any

from pydantic import Field

from midwatch_contracts.model import Model
from midwatch_mcp.safe_apply.operations import OPERATIONS
from midwatch_mcp.safe_apply.operations.base import OperationKind


class OperationEntry(Model):
    """One operation."""

    name: str
    about: str
    target: str
    undone_by: str
    risk: str
    """The class that it has at least; a limit, a kind or a field may raise it."""
    takes: str
    """What the arguments mean."""
    schema_: dict[str, Any] = Field(alias="schema")
    """JSON Schema of what a draft gives as `args`."""
    example: dict[str, Any]
    """One operation of a draft."""

    @property
    def takes_names(self) -> str:
        """The arguments by name."""
        return "{" + ", ".join(self.schema_["properties"]) + "}"


def catalogue() -> list[OperationEntry]:
    """Return every operation, in the order in which they are listed."""
    return [entry(kind) for kind in OPERATIONS.values()]


def entry(kind: OperationKind[Any]) -> OperationEntry:
    """Return one operation."""
    schema = kind.arguments.model_json_schema()
    drafted = kind.drafted()
    schema["properties"] = {name: part for name, part in schema.get("properties", {}).items() if name in drafted}
    takes = " ".join(str(schema.pop("description", "")).split())
    if kind.serving:
        target: dict[str, Any] = {"serving": "Pod/llm/chat-7d9f-abcde"}
        said = "a replica: {serving: Pod/NAMESPACE/NAME}"
    else:
        first = "ConfigMap" if kind.kinds == ("*",) else kind.kinds[0]
        target = {"kind": first} | ({} if first == "Node" else {"namespace": "llm"}) | {"name": "chat"}
        said = "any kind that the policy allows" if kind.kinds == ("*",) else ", ".join(kind.kinds)
    return OperationEntry(
        name=kind.name,
        about=kind.about,
        target=said,
        undone_by=kind.undone_by,
        risk=_risk(kind),
        takes=takes,
        schema=schema,
        example={"op": kind.name, "target": target, "args": kind.example},
    )


def _risk(kind: OperationKind[Any]) -> str:
    if kind.undone_by.startswith("nothing"):
        return "dangerous"
    return "change or dangerous, by kind" if kind.absence or kind.kinds == ("*",) else "change"
