"""The tree of an expression, and what is wrong with one, in the words and at the places of cel-go."""

from dataclasses import dataclass
from typing import Any, TypeAlias

from midwatch_lab.errors import LabError


@dataclass(frozen=True)
class Node:
    """One operation. `at` is the offset of its operator, as cel-go reports it."""

    op: str
    """`literal`, `name`, `select`, `has`, `index`, `call`, `method`, `list`, `map`, `macro`, or an operator."""
    args: "tuple[Node, ...]" = ()
    value: Any = None
    """Of a literal its value; of a name, field, function or method its name; of a macro (name, variables)."""
    at: int = 0


Binding: TypeAlias = dict[str, Any]


class CompileError(LabError):
    """An expression does not parse, or its types do not fit; the message is that of cel-go with its pointer."""

    def __init__(self, text: str, at: int, detail: str) -> None:
        before = text[:at]
        line = before.count("\n") + 1
        column = at - (before.rfind("\n") + 1)
        shown = text.split("\n")[line - 1]
        super().__init__(f"ERROR: <input>:{line}:{column + 1}: {detail}\n | {shown}\n | {'.' * column}^")


class EvaluationError(LabError):
    """An expression cannot be worked out for a value; `&&` and `||` may yet make do without it."""
