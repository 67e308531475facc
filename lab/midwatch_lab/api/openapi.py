"""OpenAPI documents (`/openapi/v3`, `/openapi/v2`) made from the shipped definitions: structure without prose."""

import hashlib
from collections.abc import Callable
from typing import Any, Final

import orjson

from midwatch_lab.kinds.catalog import Catalog
from midwatch_lab.kinds.resources import Resource
from midwatch_lab.objects import Object
from midwatch_lab.schemas.schema import schemas

_V3: Final = "#/components/schemas/"
_V2: Final = "#/definitions/"
_METHODS: Final = {"create": "post", "update": "put", "patch": "patch", "delete": "delete", "get": "get", "list": "get"}
_OPTIONS: Final = ("dryRun", "fieldManager", "fieldValidation")


def _pointed(node: Any, prefix: str) -> Any:
    """Return a compact schema as OpenAPI has it: references are pointers, and stand alone or in an `allOf`."""
    match node:
        case dict():
            items: Object = {str(key): value for key, value in node.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] (JSON of unknown shape)
            # A schema of schemas has a property of that name.
            reference = items.pop("$ref") if isinstance(items.get("$ref"), str) else None
            out = {key: value if key == "default" else _pointed(value, prefix) for key, value in items.items()}
            if isinstance(reference, str):
                pointer = {"$ref": prefix + reference}
                return {**out, "allOf": [pointer]} if out and prefix == _V3 else pointer
            return out
        case list():
            return [_pointed(item, prefix) for item in node]  # pyright: ignore[reportUnknownVariableType] (JSON of unknown shape)
        case _:
            return node


def _needed(names: list[str]) -> list[str]:
    definitions = schemas().definitions
    found: set[str] = set()
    waiting = [name for name in names if name in definitions]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(_references(definitions[name]) - found)
    return sorted(found)


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


def _operations(resource: Resource, verbs: tuple[str, ...]) -> Object:
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    operations: Object = {}
    for verb in verbs:
        if verb not in resource.verbs:
            continue
        names = _OPTIONS if verb in ("create", "update", "patch") else ("dryRun",) if verb == "delete" else ()
        operations[_METHODS[verb]] = {
            "operationId": f"{verb}{resource.version}{resource.group}{resource.kind}",
            "parameters": [{"name": name, "in": "query", "schema": {"type": "string"}} for name in names],
            "responses": {"200": {"description": "OK"}},
            "x-kubernetes-action": {"create": "post", "update": "put"}.get(verb, verb),
            "x-kubernetes-group-version-kind": kind,
        }
    return operations


class OpenApi:
    """The documents of one catalog; each is made once, and again when the catalog has changed."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self._generation = catalog.generation
        self._made: dict[str, bytes] = {}

    def _once(self, name: str, make: Callable[[], Object]) -> bytes:
        if self._generation != self.catalog.generation:
            self._generation = self.catalog.generation
            self._made.clear()
        if name not in self._made:
            self._made[name] = orjson.dumps(make())
        return self._made[name]

    def v3_document(self, group: str, version: str) -> bytes:
        """Return the OpenAPI v3 document of a group's version."""
        return self._once(f"{group}/{version}", lambda: _v3_document(self.catalog, group, version))

    def v3_index(self) -> bytes:
        """Return what `/openapi/v3` answers: where the documents lie, by their hashes."""
        return self._once("v3", self._v3_index)

    def _v3_index(self) -> Object:
        paths: Object = {}
        for group, version in self.catalog.group_versions():
            name = f"apis/{group}/{version}" if group else f"api/{version}"
            digest = hashlib.sha256(self.v3_document(group, version)).hexdigest()[:32].upper()
            paths[name] = {"serverRelativeURL": f"/openapi/v3/{name}?hash={digest}"}
        return {"paths": paths}

    def v2_document(self) -> bytes:
        """Return the OpenAPI v2 document."""
        return self._once("v2", _v2_document)


def _v3_document(catalog: Catalog, group: str, version: str) -> Object:
    found = catalog.of_version(group, version)
    names = _needed([name for r in found for name in (r.schema, r.schema + "List")])
    paths: Object = {}
    for resource in found:
        home = resource.path("{namespace}")
        paths[home] = _operations(resource, ("create", "list"))
        paths[home + "/{name}"] = _operations(resource, ("get", "update", "patch", "delete"))
    definitions = schemas().definitions
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": schemas().version},
        "paths": paths,
        "components": {"schemas": {name: _pointed(definitions[name], _V3) for name in names}},
    }


def _v2_document() -> Object:
    definitions = schemas().definitions
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": schemas().version},
        "paths": {},
        "definitions": {name: _pointed(schema, _V2) for name, schema in definitions.items()},
    }
