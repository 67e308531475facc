"""The tree of an expression. `at` is the offset of a node's text in the expression."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Literal:
    """A number, a string, true, false or null."""

    value: bool | float | str | None
    at: int
    unit: str = "none"
    """`seconds` for a duration, else `none`."""

    @property
    def children(self) -> "tuple[Node, ...]":
        """The nodes directly below."""
        return ()


@dataclass(frozen=True)
class Name:
    """A free name, or the variable of a macro."""

    name: str
    at: int

    @property
    def children(self) -> "tuple[Node, ...]":
        """The nodes directly below."""
        return ()


@dataclass(frozen=True)
class Member:
    """`operand.name`."""

    operand: "Node"
    name: str
    at: int

    @property
    def children(self) -> "tuple[Node, ...]":
        """The nodes directly below."""
        return (self.operand,)


@dataclass(frozen=True)
class Index:
    """`operand[key]`."""

    operand: "Node"
    key: "Node"
    at: int

    @property
    def children(self) -> "tuple[Node, ...]":
        """The nodes directly below."""
        return (self.operand, self.key)


@dataclass(frozen=True)
class Has:
    """`has(operand.name)`."""

    member: Member
    at: int

    @property
    def children(self) -> "tuple[Node, ...]":
        """The nodes directly below."""
        return (self.member,)


@dataclass(frozen=True)
class Call:
    """`name(arguments)`."""

    name: str
    arguments: "tuple[Node, ...]"
    at: int

    @property
    def children(self) -> "tuple[Node, ...]":
        """The nodes directly below."""
        return self.arguments


@dataclass(frozen=True)
class Method:
    """`operand.name(arguments)`."""

    operand: "Node"
    name: str
    arguments: "tuple[Node, ...]"
    at: int

    @property
    def children(self) -> "tuple[Node, ...]":
        """The nodes directly below."""
        return (self.operand, *self.arguments)


@dataclass(frozen=True)
class Macro:
    """`operand.name(variable, body)`."""

    operand: "Node"
    name: str
    variable: str
    body: "Node"
    at: int

    @property
    def children(self) -> "tuple[Node, ...]":
        """The nodes directly below."""
        return (self.operand, self.body)


@dataclass(frozen=True)
class Unary:
    """`!operand` or `-operand`."""

    operator: str
    operand: "Node"
    at: int

    @property
    def children(self) -> "tuple[Node, ...]":
        """The nodes directly below."""
        return (self.operand,)


@dataclass(frozen=True)
class Binary:
    """`left operator right`."""

    operator: str
    left: "Node"
    right: "Node"
    at: int

    @property
    def children(self) -> "tuple[Node, ...]":
        """The nodes directly below."""
        return (self.left, self.right)


@dataclass(frozen=True)
class Choice:
    """`condition ? yes : no`."""

    condition: "Node"
    yes: "Node"
    no: "Node"
    at: int

    @property
    def children(self) -> "tuple[Node, ...]":
        """The nodes directly below."""
        return (self.condition, self.yes, self.no)


@dataclass(frozen=True)
class Items:
    """`[a, b]`."""

    items: "tuple[Node, ...]"
    at: int

    @property
    def children(self) -> "tuple[Node, ...]":
        """The nodes directly below."""
        return self.items


@dataclass(frozen=True)
class Pairs:
    """`{"a": b}`."""

    pairs: "tuple[tuple[Node, Node], ...]"
    at: int

    @property
    def children(self) -> "tuple[Node, ...]":
        """The nodes directly below."""
        return tuple(part for pair in self.pairs for part in pair)


Node = Literal | Name | Member | Index | Has | Call | Method | Macro | Unary | Binary | Choice | Items | Pairs
