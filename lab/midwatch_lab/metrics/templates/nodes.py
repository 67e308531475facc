"""The syntax tree of a template."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Constant:
    """A number, text, `true`, `false`, or nil (None)."""

    value: object


@dataclass(frozen=True)
class Dot:
    """The value that `.` is."""


@dataclass(frozen=True)
class Variable:
    """`$name`; `$` alone is what the template was given."""

    name: str


@dataclass(frozen=True)
class Function:
    """The name of a function."""

    name: str


@dataclass(frozen=True)
class Chain:
    """`base.A.B`: fields, methods or keys one after another."""

    base: "Operand"
    names: tuple[str, ...]


@dataclass(frozen=True)
class Command:
    """A function, method or value, and its arguments."""

    operands: "tuple[Operand, ...]"


@dataclass(frozen=True)
class Pipe:
    """Commands, each of which gets the result of the one before as its last argument.

    `names` are the variables set to the result; `declares` tells `:=` from `=`.
    """

    commands: tuple[Command, ...]
    names: tuple[str, ...] = ()
    declares: bool = True


Operand = Constant | Dot | Variable | Function | Chain | Pipe


@dataclass(frozen=True)
class Text:
    """Text that is written as it stands."""

    text: str


@dataclass(frozen=True)
class Action:
    """A pipe whose result is written, unless it sets variables."""

    pipe: Pipe


@dataclass(frozen=True)
class Branch:
    """`if`, `with` or `range`, and what stands behind `else`."""

    keyword: str
    pipe: Pipe
    body: "tuple[Node, ...]"
    otherwise: "tuple[Node, ...]" = ()


@dataclass(frozen=True)
class Jump:
    """`break` or `continue`."""

    keyword: str


@dataclass(frozen=True)
class Invocation:
    """`{{template "name" pipe}}`."""

    name: str
    pipe: Pipe | None


Node = Text | Action | Branch | Jump | Invocation


@dataclass
class Tree:
    """A whole template, and those that it defines, by name."""

    body: tuple[Node, ...] = ()
    defined: dict[str, tuple[Node, ...]] = field(default_factory=dict[str, tuple[Node, ...]])
