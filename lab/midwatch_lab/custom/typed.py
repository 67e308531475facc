"""Structural schemas in the form of the shipped definitions, by which field owners and applied fields are found.

Lists are atomic unless they say otherwise. A part that keeps unknown fields has the type of its values deduced: maps
are granular and everything else is one field (structured-merge-diff, `__untyped_deduced_`).
"""

from typing import Any, Final

from midwatch_lab.objects import Object

DEDUCED: Final = "midwatch.deduced"
OPTIONAL: Final = "x-midwatch-optional"
"""Marks an object that may be left out, so that its presence is a field that somebody owns."""
DEDUCED_DEFINITION: Final[Object] = {
    "type": "object", OPTIONAL: True, "additionalProperties": {"$ref": DEDUCED},
}  # fmt: skip
_INT_OR_STRING: Final = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_OBJECT_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_KEPT: Final = (
    "type", "format", "enum", "default", "required", "x-kubernetes-list-type", "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
)  # fmt: skip


def definition_of(structure: Object) -> Object:
    """Return the definition of a custom kind."""
    found = _typed(structure)
    found.pop(OPTIONAL, None)
    return {**found, "type": "object", "properties": {**found.get("properties", {}), **_object_fields()}}


def _object_fields() -> Object:
    return {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"$ref": _OBJECT_META}}


def _typed(schema: Object) -> Object:
    if schema.get("x-kubernetes-int-or-string"):
        return {"$ref": _INT_OR_STRING}
    found: Object = {key: schema[key] for key in _KEPT if key in schema}
    keep = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
    if keep and "type" not in schema:
        return {"$ref": DEDUCED}
    if isinstance(schema.get("items"), dict):
        found["items"] = _typed(schema["items"])
    properties: dict[str, Any] = {key: _typed(inner) for key, inner in schema.get("properties", {}).items()}
    if schema.get("x-kubernetes-embedded-resource"):
        properties |= _object_fields()
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        found["additionalProperties"] = _typed(extra)  # pyright: ignore[reportUnknownArgumentType] (JSON of unknown shape)
    elif keep or extra:
        found["additionalProperties"] = {"$ref": DEDUCED}
    if properties:
        found["properties"] = properties
    if schema.get("type") == "object":
        found[OPTIONAL] = True
    return found
