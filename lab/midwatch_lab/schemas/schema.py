"""Reads `kubernetes.json`: decodes objects as the original's decoder does, and says how lists are merged."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

import orjson

from midwatch_lab import quantity
from midwatch_lab.custom import structure
from midwatch_lab.custom.typed import DEDUCED, DEDUCED_DEFINITION, definition_of
from midwatch_lab.errors import DecodeError
from midwatch_lab.objects import Object
from midwatch_lab.schemas.mismatch import Wording, bad_base64, bad_micro_time, bad_time, from_json, from_maps

Schema: TypeAlias = dict[str, Any]

QUANTITY: Final = "io.k8s.apimachinery.pkg.api.resource.Quantity"
OBJECT_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
INT_OR_STRING: Final = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
MICRO_TIME: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime"
_FREE: Final = frozenset({
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1", "io.k8s.apimachinery.pkg.runtime.RawExtension",
})  # fmt: skip
_CRD: Final = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
_JSON_SCHEMA: Final = _CRD + "JSONSchemaProps"
_SCHEMA_OR: Final = frozenset({_CRD + "JSONSchemaPropsOrArray", _CRD + "JSONSchemaPropsOrBool"})
_BOUNDS: Final = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}
_NEVER_LEFT_OUT: Final = frozenset({("Role", "rules"), ("ClusterRole", "rules")})
"""Lists that the original writes as null where they are not given, though nothing requires them."""
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


@dataclass
class Decoded:
    """What decoding gave: the object with unknown fields dropped, and the paths of those."""

    value: Object
    unknown: list[str] = field(default_factory=list[str])


@dataclass(frozen=True)
class Schemas:
    """The definitions by name, and the version of the original that they came from."""

    version: str
    definitions: dict[str, Schema]
    structures: dict[str, Object] = field(default_factory=dict[str, Any])
    """The structural schemas of custom kinds, by the names of their definitions."""

    def fresh(self) -> "Schemas":
        """Return a copy to which custom kinds can be added."""
        return Schemas(self.version, {**self.definitions, DEDUCED: DEDUCED_DEFINITION})

    def define_custom(self, structures: Mapping[str, Object]) -> None:
        """Know these custom kinds from now on, and no others."""
        for name in self.structures:
            del self.definitions[name]
        self.structures.clear()
        self.structures.update(structures)
        self.definitions.update({name: definition_of(found) for name, found in structures.items()})

    def named(self, name: str) -> Schema:
        """Return a definition."""
        return self.definitions[name]

    def resolve(self, schema: Schema) -> Schema:
        """Follow a reference; what stands beside it (default, merge key) stays with the one who refers."""
        while "$ref" in schema:
            schema = self.definitions[schema["$ref"]]
        return schema

    def child(self, schema: Schema | None, key: str) -> Schema | None:
        """Return the schema of a field, with the marks of the place that refers to it; None where nothing is known."""
        if schema is None:
            return None
        resolved = self.resolve(schema)
        found = resolved.get("properties", {}).get(key)
        if found is None:
            extra = resolved.get("additionalProperties")
            return cast("Schema", extra) if isinstance(extra, dict) else None
        return cast("Schema", found)

    def items(self, schema: Schema | None) -> Schema | None:
        """Return the schema of a list's elements."""
        return None if schema is None else self.resolve(schema).get("items")

    def decode(self, name: str, obj: Object, wording: Wording = from_json, *, drop_nulls: bool = True) -> Decoded:
        """Decode an object of a definition: types checked, nulls and unknown fields dropped, structures filled in.

        A custom resource may keep its nulls, so that its schema judges them.

        Raises:
            DecodeError: when a value has a type that its field cannot hold.
        """
        if name in self.structures:
            return Decoded(*structure.decode(self.structures[name], obj, self._metadata, drop_nulls=drop_nulls))
        decoder = _Decoder(self, wording)
        value = decoder.value({"$ref": name}, obj, "", "", name.rpartition(".")[2])
        return Decoded(cast("Object", value), decoder.unknown)

    def _metadata(self, value: Any) -> tuple[Object, list[str]]:
        if not isinstance(value, dict):
            kind = {str: "string", list: "array", bool: "bool"}.get(type(value), "number")  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] (JSON)
            raise DecodeError(f"json: cannot unmarshal {kind} into Go value of type v1.ObjectMeta")
        decoded = self.decode(OBJECT_META, cast("Object", value))
        return decoded.value, decoded.unknown


class _Decoder:
    def __init__(self, schemas: Schemas, wording: Wording) -> None:
        self.schemas = schemas
        self.mismatch = wording
        self.unknown: list[str] = []

    def value(self, schema: Schema, value: Any, path: str, struct: str, owner: str) -> Any:  # noqa: PLR0911 (one case a type)
        """Return the decoded value; `struct` and `owner` name the Go types that the original's wording mentions."""
        reference = schema.get("$ref", "")
        if reference in _FREE:
            return structure.numbers(value)
        if reference in _SCHEMA_OR and isinstance(value, dict):
            return self.value({"$ref": _JSON_SCHEMA}, value, path, struct, owner)
        if reference == QUANTITY:
            return self._quantity(value)
        if reference == MICRO_TIME and isinstance(value, str) and (fault := bad_micro_time(value)):
            raise fault
        if reference == INT_OR_STRING:
            return self._int_or_string(value, path, struct)
        resolved = self.schemas.resolve(schema)
        kind = resolved.get("type")
        if kind == "object":
            return self._object(resolved, value, path, reference.rpartition(".")[2] or owner, struct)
        if kind == "array":
            return self._array(resolved, value, path, struct, owner)
        return self._scalar(resolved, value, path, struct)

    def _object(self, schema: Schema, value: Any, path: str, owner: str, struct: str) -> Any:
        if not isinstance(value, dict):
            raise self.mismatch(value, path, struct, _go_type(schema, owner))
        given = cast("Object", value)
        properties: dict[str, Schema] = schema.get("properties", {})
        if not properties:
            return self._map(schema, given, path, owner, struct)
        out: Object = {}
        for key, item in given.items():
            where = f"{path}.{key}" if path else key
            if key not in properties:
                self.unknown.append(where)
            elif item is not None:
                decoded = self.value(properties[key], item, where, owner, owner)
                kept = key in schema.get("required", ()) or (owner, key) in _NEVER_LEFT_OUT
                if kept or _is_struct(properties[key]) or decoded not in ([], {}):
                    out[key] = decoded
        self._fill(out, schema, owner)
        return out

    def _fill(self, out: Object, schema: Schema, owner: str) -> None:
        """Put in what the original writes even where nothing was given: structures, zeros and times (in place)."""
        properties: dict[str, Schema] = schema.get("properties", {})
        for key, item in properties.items():
            if key in out:
                continue
            if item.get("default") == {}:
                out[key] = self._object(self.schemas.resolve(item), {}, "", item["$ref"].rpartition(".")[2], "")
            elif "default" in item and (key in schema.get("required", ()) or not item["default"]):
                out[key] = item["default"]
            elif (owner, key) in _NEVER_LEFT_OUT or (owner.endswith("Condition") and _is_time(item)):
                out[key] = None

    def _map(self, schema: Schema, given: Object, path: str, owner: str, struct: str) -> Any:
        extra = schema.get("additionalProperties")
        if not isinstance(extra, dict):
            return given
        values = cast("Schema", extra)
        scalar = "$ref" not in values
        where = {key: path if scalar else f"{path}.{key}" for key in given}
        return {
            key: self.value(values, "" if item is None else item, where[key], struct, owner)
            for key, item in given.items()
        }

    def _array(self, schema: Schema, value: Any, path: str, struct: str, owner: str) -> Any:
        items: Schema = schema.get("items", {})
        if not isinstance(value, list):
            raise self.mismatch(value, path, struct, _go_type(schema, owner))
        given = cast("list[Any]", value)
        blank: Any = {} if self.schemas.resolve(items).get("type") == "object" else ""
        return [
            self.value(items, blank if item is None else item, f"{path}[{index}]", struct, owner)
            for index, item in enumerate(given)
            if item is not None or items.get("type") in (None, "object", "string")
        ]

    def _scalar(self, schema: Schema, value: Any, path: str, struct: str) -> Any:
        kind, form = schema.get("type"), schema.get("format", "")
        match kind:
            case "string":
                if not isinstance(value, str):
                    raise self.mismatch(value, path, struct, "string")
                if form == "date-time" and not _TIME.fullmatch(value):
                    raise bad_time(value)
                if form == "byte" and (fault := bad_base64(value)):
                    raise fault
            case "boolean":
                if not isinstance(value, bool):
                    raise self.mismatch(value, path, struct, "bool")
            case "integer":
                return self._integer(value, path, struct, form or "int64")
            case "number":
                if isinstance(value, bool) or not isinstance(value, int | float):
                    raise self.mismatch(value, path, struct, "float64")
                return structure.numbers(value)
            case _:
                return structure.numbers(value)
        return value

    @staticmethod
    def _quantity(value: Any) -> str:
        is_text_or_number = isinstance(value, str | int | float) and not isinstance(value, bool)
        return quantity.canonical(value if is_text_or_number else "")

    def _int_or_string(self, value: Any, path: str, struct: str) -> Any:
        if isinstance(value, str):
            return value
        return self._integer(value, path, struct, "int32")

    def _integer(self, value: Any, path: str, struct: str, form: str) -> int:
        low, high = _BOUNDS[form]
        if self.mismatch is from_maps and form == "int32" and isinstance(value, int) and not isinstance(value, bool):
            # The original's converter wraps around here.
            return (value - low) % 2**32 + low
        # Of the two decoders only the one that converts maps takes 2.0 for 2.
        whole = self.mismatch is from_maps and isinstance(value, float) and value.is_integer()
        if isinstance(value, bool) or not (isinstance(value, int) or whole) or not low <= value <= high:
            raise self.mismatch(value, path, struct, form)
        return int(value)


def _is_struct(schema: Schema) -> bool:
    return "$ref" in schema


def _is_time(schema: Schema) -> bool:
    """Tell whether a field is a time; those of conditions are written as null where they are not set."""
    return schema.get("$ref", "").endswith(".Time")


def _go_type(schema: Schema, owner: str) -> str:
    if schema.get("type") == "array":
        items: Schema = schema.get("items", {})
        inner = items.get("$ref", "").rpartition(".")[2]
        return f"[]v1.{inner}" if inner else f"[]{items.get('type', 'string')}"
    if "properties" in schema:
        return f"v1.{owner}"
    return "map[string]string"


@cache
def schemas() -> Schemas:
    """Return the shipped definitions (read once)."""
    document = orjson.loads(Path(__file__).with_name("kubernetes.json").read_bytes())
    return Schemas(document["version"], document["definitions"])
