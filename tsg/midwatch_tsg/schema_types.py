"""From a tool's output schema (JSON Schema) to the types that the linter knows, and the units that names imply."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from midwatch_contracts.cel import ANY, BOOL, NULL, NUMBER, STRING, Type, Unit, list_of, map_of, number, object_of
from midwatch_contracts.surface import ToolSpec

_MAX_DEPTH = 20
_SUFFIX_UNITS: tuple[tuple[str, Unit], ...] = (("_s", "seconds"), ("_seconds", "seconds"), ("_bytes", "bytes"))
_READINGS = frozenset({"value", "first", "last", "min", "max", "mean"})
"""Fields of the metrics tools that carry the unit of the query."""


def result_type(tool: ToolSpec) -> Type:
    """Return the type of `result` in a step: the tool's `data`."""
    schema = tool.output_schema
    found = _Schema(schema).type_of(schema, 0)
    return found.fields["data"] if found.kind == "object" and "data" in found.fields else found


def in_unit(found: Type, unit: Unit | None) -> Type:
    """Return the type of a metrics tool's result with its readings in the unit of the query."""
    match found.kind:
        case "list":
            return replace(found, item=in_unit(found.item or ANY, unit))
        case "object":
            fields = {
                name: number(unit) if name in _READINGS and inner.kind == "number" else in_unit(inner, unit)
                for name, inner in found.fields.items()
            }
            return replace(found, fields=fields)
        case _:
            return found


class _Schema:
    """Resolves references within one schema."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._definitions = cast("Mapping[str, Any]", root.get("$defs") or {})

    def type_of(self, schema: Any, depth: int, name: str = "") -> Type:
        if not isinstance(schema, dict) or depth > _MAX_DEPTH:
            return ANY
        fields = cast("dict[str, Any]", schema)
        reference = fields.get("$ref")
        if isinstance(reference, str):
            return self.type_of(self._definitions.get(reference.rsplit("/", 1)[-1]), depth + 1, name)
        options = fields.get("anyOf") or fields.get("oneOf")
        if isinstance(options, list):
            return _union([self.type_of(option, depth + 1, name) for option in cast("list[Any]", options)])
        kind = fields.get("type")
        if isinstance(kind, list):
            parts = [self.type_of(fields | {"type": one}, depth + 1, name) for one in cast("list[Any]", kind)]
            return _union(parts)
        return self._plain(fields, kind, depth, name)

    def _plain(self, schema: dict[str, Any], kind: Any, depth: int, name: str) -> Type:  # noqa: PLR0911 (one a type)
        match kind:
            case "number" | "integer":
                return number(_unit_of(name))
            case "string":
                return STRING
            case "boolean":
                return BOOL
            case "null":
                return NULL
            case "array":
                if "prefixItems" in schema:
                    return list_of(ANY)
                return list_of(self.type_of(schema.get("items"), depth + 1))
            case "object":
                return self._object(schema, depth)
            case _:
                return _of_constants(schema)

    def _object(self, schema: dict[str, Any], depth: int) -> Type:
        more = schema.get("additionalProperties")
        properties = schema.get("properties")
        if not isinstance(properties, dict):
            return map_of(self.type_of(more, depth + 1) if isinstance(more, dict) else ANY)
        fields = {key: self.type_of(value, depth + 1, key) for key, value in cast("dict[str, Any]", properties).items()}
        return object_of(fields, is_open=more is True or isinstance(more, dict))


def _of_constants(schema: dict[str, Any]) -> Type:
    values = cast("list[Any]", schema.get("enum") or ([schema["const"]] if "const" in schema else []))
    return STRING if values and all(isinstance(value, str) for value in values) else ANY


def _union(options: list[Type]) -> Type:
    """Return one type for several: null beside one other is that other; number beside text is a number.

    The latter is how results carry NaN and the infinities (CONTRACTS §2).
    """
    kinds = {option.kind for option in options}
    others = [option for option in options if option.kind != "null"]
    nullable = "null" in kinds
    if {option.kind for option in others} == {"number", "string"}:
        others = [option for option in others if option.kind == "number"] or [NUMBER]
    if len({option.kind for option in others}) == 1 and others[0].kind not in {"object", "list"}:
        return replace(others[0], nullable=nullable)
    return replace(others[0], nullable=nullable) if len(others) == 1 else ANY


def _unit_of(name: str) -> Unit | None:
    return next((unit for suffix, unit in _SUFFIX_UNITS if name.endswith(suffix)), None)
