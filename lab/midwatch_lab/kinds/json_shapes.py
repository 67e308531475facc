"""JSON of an unknown author, held to a shape: what Go's decoder would take into a structure, and nothing else."""

from typing import Any, TypeAlias, cast

from midwatch_lab import quantity
from midwatch_lab.errors import DecodeError
from midwatch_lab.objects import Object

Shape: TypeAlias = Any
"""`str` or `int`; `"quantity"`; a list of one shape; a map of any keys as `{"*": shape}`; else the fields by name."""


def shaped(value: Any, shape: Shape) -> Any:
    """Return a value with the fields of the shape that it has; nulls are left out.

    Raises:
        DecodeError: when something in it is of another type.
    """
    if isinstance(shape, list):
        if not isinstance(value, list):
            raise DecodeError("no list")
        inner = cast("list[Shape]", shape)[0]
        return [shaped({} if item is None else item, inner) for item in cast("list[Any]", value)]
    if isinstance(shape, dict):
        return _fields(value, cast("dict[str, Shape]", shape))
    if shape == "quantity":
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise DecodeError("no quantity")
        return quantity.canonical(value)
    if isinstance(value, bool) or not isinstance(value, cast("type", shape)):
        raise DecodeError("another type")
    return value


def _fields(value: Any, shape: dict[str, Shape]) -> Object:
    if not isinstance(value, dict):
        raise DecodeError("no object")
    given = {key: item for key, item in cast("Object", value).items() if item is not None}
    if "*" in shape:
        return {key: shaped(item, shape["*"]) for key, item in given.items()}
    return {key: shaped(item, shape[key]) for key, item in given.items() if key in shape}
