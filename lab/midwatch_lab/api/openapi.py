"""OpenAPI documents (`/openapi/v3`, `/openapi/v2`) made from the shipped definitions: structure without prose."""

import hashlib
from collections.abc import Callable, Iterable
from typing import Any, Final, cast

import orjson

from midwatch_lab.api import openapi_protobuf
from midwatch_lab.api.openapi_custom import published
from midwatch_lab.api.openapi_paths import V2, V3, paths
from midwatch_lab.custom.resource import CustomResource
from midwatch_lab.kinds.catalog import Catalog
from midwatch_lab.kinds.resources import Resource
from midwatch_lab.objects import Object
from midwatch_lab.schemas.schema import Schemas, schemas

_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1."
_STRING: Final[Object] = {"type": "string"}
_ALWAYS: Final[dict[str, Object]] = {
    _META + "Patch": {"type": "object"},
    _META + "Status": {
        "type": "object",
        "properties": {
            "apiVersion": _STRING, "kind": _STRING, "metadata": {"$ref": _META + "ListMeta"}, "status": _STRING,
            "message": _STRING, "reason": _STRING, "details": {"type": "object"},
            "code": {"type": "integer", "format": "int32"},
        },
        "x-kubernetes-group-version-kind": [{"group": "", "version": "v1", "kind": "Status"}],
    },
    _META + "ListMeta": {
        "type": "object",
        "properties": {
            "continue": _STRING, "resourceVersion": _STRING, "selfLink": _STRING,
            "remainingItemCount": {"type": "integer", "format": "int64"},
        },
    },
}  # fmt: skip
"""What answers are made of beside the kinds."""
_INNER: Final = frozenset({"items", "additionalProperties", "not"})
_INNERS: Final = frozenset({"allOf", "anyOf", "oneOf"})
_CUSTOM_INFO: Final = {"title": "Kubernetes CRD Swagger", "version": "v0.1.0"}


def _pointed(schema: Object, prefix: str) -> Object:
    """Return a compact schema as OpenAPI has it: references are pointers, and stand alone or in an `allOf`.

    Version 2 has no defaults, as the original publishes it.
    """
    out: Object = {}
    for key, value in schema.items():
        if key == "properties":
            out[key] = {name: _pointed(inner, prefix) for name, inner in value.items()}
        elif key in _INNER and isinstance(value, dict):
            out[key] = _pointed(cast("Object", value), prefix)
        elif key in _INNERS:
            out[key] = [_pointed(inner, prefix) for inner in value]
        elif key != "$ref" and not (key == "default" and prefix == V2):
            out[key] = value
    if "$ref" not in schema:
        return out
    pointer = {"$ref": prefix + schema["$ref"]}
    return {**out, "allOf": [pointer]} if out and prefix == V3 else {**pointer, **out}


def _references(node: Any) -> set[str]:
    match node:
        case dict():
            inner = [
                {value} if key == "$ref" and isinstance(value, str) else _references(value)  # pyright: ignore[reportUnknownArgumentType] (JSON of unknown shape)
                for key, value in node.items()  # pyright: ignore[reportUnknownVariableType] (JSON of unknown shape)
            ]
            return set[str]().union(*inner)
        case list():
            return set[str]().union(*(_references(item) for item in node))  # pyright: ignore[reportUnknownVariableType] (JSON)
        case _:
            return set()


class OpenApi:
    """The documents of one catalog; each is made once, and again when the catalog has changed."""

    def __init__(self, catalog: Catalog, known: Schemas) -> None:
        self.catalog = catalog
        self.known = known
        self._generation = catalog.generation
        self._made: dict[str, bytes] = {}

    def _once(self, name: str, make: Callable[[], Object], write: Callable[[Object], bytes] = orjson.dumps) -> bytes:
        if self._generation != self.catalog.generation:
            self._generation = self.catalog.generation
            self._made.clear()
        if name not in self._made:
            self._made[name] = write(make())
        return self._made[name]

    def v3_document(self, name: str) -> bytes | None:
        """Return the OpenAPI v3 document of `apis/GROUP/VERSION` or `api/VERSION`; None where there is none."""
        if name not in self._names():
            return None
        group, version = self._names()[name]
        return self._once(name, lambda: self._v3_document(self.catalog.of_version(group, version)))

    def _names(self) -> dict[str, tuple[str, str]]:
        pairs = self.catalog.group_versions()
        return {
            (f"apis/{group}/{version}" if group else f"api/{version}"): (group, version) for group, version in pairs
        }

    def v3_index(self) -> bytes:
        """Return what `/openapi/v3` answers: where the documents lie, by their hashes."""
        return self._once("v3", self._v3_index)

    def _v3_index(self) -> Object:
        found: Object = {}
        for name in sorted(self._names()):
            digest = hashlib.sha512(self.v3_document(name) or b"").hexdigest().upper()
            found[name] = {"serverRelativeURL": f"/openapi/v3/{name}?hash={digest}"}
        return {"paths": found}

    def v2_document(self) -> bytes:
        """Return the OpenAPI v2 document."""
        return self._once("v2", self._v2_document)

    def v2_protobuf(self) -> bytes:
        """Return the OpenAPI v2 document in protobuf."""
        return self._once("v2 in protobuf", self._v2_document, openapi_protobuf.encode)

    def _definitions(self, resources: Iterable[Resource], *, v3: bool) -> dict[str, Object]:
        """Return the definitions of resources and all that these refer to."""
        known = {**self.known.definitions, **_ALWAYS}
        rows = list(resources)
        for row in rows:
            if isinstance(row, CustomResource):
                known |= published(row, v3=v3)
        found: dict[str, Object] = {}
        waiting = [*_ALWAYS, _META + "DeleteOptions", *(name for r in rows for name in (r.schema, r.schema + "List"))]
        waiting += [name.removeprefix(V3) for name in _references([paths(row, v3=True) for row in rows])]
        while waiting:
            name = waiting.pop()
            if name in known and name not in found:
                found[name] = known[name]
                waiting.extend(_references(found[name]))
        return dict(sorted(found.items()))

    def _v3_document(self, resources: list[Resource]) -> Object:
        found = self._definitions(resources, v3=True)
        return {
            "openapi": "3.0.0",
            "info": _CUSTOM_INFO if all(isinstance(row, CustomResource) for row in resources) else _info(),
            "paths": {path: item for row in resources for path, item in _closed(paths(row, v3=True), found).items()},
            "components": {"schemas": {name: _pointed(schema, V3) for name, schema in found.items()}},
        }

    def _v2_document(self) -> Object:
        rows = self.catalog.resources
        found = self._definitions(rows, v3=False)
        return {
            "swagger": "2.0",
            "info": _info(),
            "paths": {path: item for row in rows for path, item in _closed(paths(row, v3=False), found).items()},
            "definitions": {name: _pointed(schema, V2) for name, schema in found.items()},
        }


def _closed(node: Any, found: dict[str, Object]) -> Any:
    """Return paths in which what refers to no known definition is any value."""
    match node:
        case {"$ref": str(reference)}:
            return node if reference.rpartition("/")[2] in found else {}
        case dict():
            return {key: _closed(value, found) for key, value in node.items()}  # pyright: ignore[reportUnknownVariableType] (JSON of unknown shape)
        case list():
            return [_closed(item, found) for item in node]  # pyright: ignore[reportUnknownVariableType] (JSON of unknown shape)
        case _:
            return node


def _info() -> Object:
    major, minor, _ = schemas().version.removeprefix("v").split(".", 2)
    return {"title": "Kubernetes", "version": f"{major}.{minor}"}
