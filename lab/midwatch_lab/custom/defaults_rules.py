"""Whether the defaults of a schema fit it: nothing unknown in them, and valid by the schema they stand in."""

import copy
from typing import Any

from midwatch_lab.custom import cel_rules, values
from midwatch_lab.custom.structure import apply_defaults, prune
from midwatch_lab.kinds.rules import Faults
from midwatch_lab.objects import Object
from midwatch_lab.status import FieldFault, invalid_value, required


def check(schema: Object, path: str, *, root: bool = True) -> Faults:
    """Yield the defaults that do not fit, with the paths of the places where they stand."""
    if "default" in schema:
        yield from _one(schema, f"{path}.default", root=root)
    if isinstance(schema.get("items"), dict):
        yield from check(schema["items"], f"{path}.items", root=False)
    for key, inner in schema.get("properties", {}).items():
        if not (root and key == "metadata"):
            yield from check(inner, f"{path}.properties[{key}]", root=False)
    if isinstance(schema.get("additionalProperties"), dict):
        yield from check(schema["additionalProperties"], f"{path}.additionalProperties", root=False)


def _one(schema: Object, path: str, *, root: bool) -> Faults:
    given: Any = schema["default"]
    value = copy.deepcopy(given)
    apply_defaults(value, schema)
    if prune(value, schema) and not root:
        yield invalid_value(path, given, "must not have unknown fields")
        return
    if root and isinstance(given, dict):
        yield from (required(f"{path}.{key}") for key in ("apiVersion", "kind") if key not in given)
    found = list(values.validate(value, schema, ""))
    if not found and cel_rules.has_rules(schema):
        found = list(cel_rules.evaluate(schema, value, root=False))
    for fault in found:
        where = path if fault.field in ("", "<nil>") else f"{path}.{fault.field}"
        yield FieldFault(where, fault.reason, fault.detail)
