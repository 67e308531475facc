"""The OpenAPI definitions of custom kinds, which each version of OpenAPI publishes in its own way.

Version 3 says what the definition said. Version 2 cannot say much of it, and clients that check by it must not refuse
what the server takes, so there a part that keeps unknown fields, or may be null, has no type.
"""

from typing import Any, Final

from midwatch_lab.custom.resource import CustomResource
from midwatch_lab.objects import Object, without

_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1."
_STRING: Final[Object] = {"type": "string"}
_PRESERVE: Final = "x-kubernetes-preserve-unknown-fields"
_LOGIC: Final = ("allOf", "anyOf", "oneOf", "not", "default", "nullable")
_SHAPE: Final = ("type", "properties", "items", "additionalProperties", "required", "format")


def published(resource: CustomResource, *, v3: bool) -> dict[str, Object]:
    """Return the definitions of a custom kind and of its list."""
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    marks: Object = {}
    if resource.selectable:
        marks["x-kubernetes-selectable-fields"] = [{"fieldPath": path[1:]} for path in resource.selectable]
    root = _v3(resource.structure) if v3 else _v2(resource.structure)
    own = {"apiVersion": _STRING, "kind": _STRING}
    properties = {**root.get("properties", {}), **own, "metadata": {"$ref": _META + "ObjectMeta"}}
    if not v3 and resource.structure.get(_PRESERVE):
        properties = {}
    whole = {
        **root, **({"properties": properties} if properties else {}), "x-kubernetes-group-version-kind": [kind],
        **marks,
    }  # fmt: skip
    many = {
        "type": "object", "required": ["items"],
        "properties": {
            **own, "items": {"type": "array", "items": {"$ref": resource.schema}},
            "metadata": {"$ref": _META + "ListMeta"},
        },
        "x-kubernetes-group-version-kind": [{**kind, "kind": resource.list_kind}], **marks,
    }  # fmt: skip
    return {resource.schema: whole, resource.schema + "List": many}


def _v3(schema: Object) -> Object:
    found = _inside(schema, v3=True)
    if schema.get("x-kubernetes-int-or-string"):
        found.setdefault("anyOf", [{"type": "integer"}, {"type": "string"}])
    if schema.get("x-kubernetes-embedded-resource"):
        own: Object = {"apiVersion": _STRING, "kind": _STRING, "metadata": {"$ref": _META + "ObjectMeta"}}
        found["properties"] = {**found.get("properties", {}), **own}
        found["required"] = ["kind", "apiVersion", *found.get("required", [])]
    return found


def _v2(schema: Object) -> Object:
    found = without(_inside(schema, v3=False), _LOGIC)
    if schema.get(_PRESERVE) or schema.get("nullable"):
        found = without(found, _SHAPE)
    return found


def _inside(schema: Object, *, v3: bool) -> Object:
    translate = _v3 if v3 else _v2
    found: dict[str, Any] = dict(schema)
    for key in ("items", "additionalProperties"):
        if isinstance(found.get(key), dict):
            found[key] = translate(found[key])
    if "properties" in found:
        found["properties"] = {key: translate(inner) for key, inner in found["properties"].items()}
    return found
