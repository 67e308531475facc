"""Types and units of values, as the linter knows them before anything is called (CONTRACTS §4)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Unit = Literal["seconds", "bytes", "cores", "ratio", "count", "per_second", "none"]
Kind = Literal["number", "string", "bool", "null", "list", "map", "object", "any"]


@dataclass(frozen=True)
class Type:
    """The type of a value.

    `unit` is that of a number; `item` that of a list's items or a map's values; `fields` those of an object; `open`
    says that an object may have more fields; `nullable` that null may stand instead.
    """

    kind: Kind
    unit: Unit | None = None
    item: "Type | None" = None
    fields: "Mapping[str, Type]" = field(default_factory=dict[str, "Type"])
    open: bool = False
    nullable: bool = False

    def __str__(self) -> str:
        if self.kind == "number" and self.unit not in {None, "none"}:
            return f"number of {self.unit}" if self.unit != "per_second" else "number per second"
        return "anything" if self.kind == "any" else self.kind


ANY = Type("any")
BOOL = Type("bool")
NULL = Type("null")
NUMBER = Type("number")
STRING = Type("string")


def number(unit: Unit | None = None) -> Type:
    """Return the type of a number in `unit`; None when it is not known."""
    return Type("number", unit)


def list_of(item: Type) -> Type:
    """Return the type of a list."""
    return Type("list", item=item)


def map_of(item: Type) -> Type:
    """Return the type of an object with any keys."""
    return Type("map", item=item)


def object_of(fields: Mapping[str, Type], *, is_open: bool = False) -> Type:
    """Return the type of an object with the named fields, and others if `is_open`."""
    return Type("object", fields=fields, open=is_open)
