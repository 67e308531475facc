"""The paths of an OpenAPI document: what may be asked of each resource, as the original describes it but without prose.

One description serves both versions of OpenAPI: version 2 has the types of parameters beside their names and the body
among them, version 3 has both in schemas of their own.
"""

from dataclasses import dataclass
from typing import Any, Final

from midwatch_lab.custom.resource import CustomResource
from midwatch_lab.kinds.resources import Resource, Subresource
from midwatch_lab.objects import Object

V3: Final = "#/components/schemas/"
V2: Final = "#/definitions/"
_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1."
_JSON: Final = ("application/json", "application/yaml")
_PROTOBUF: Final = "application/vnd.kubernetes.protobuf"
_PATCHES: Final = ("application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json")
_STRATEGIC: Final = "application/strategic-merge-patch+json"
_TYPES: Final = {
    "gracePeriodSeconds": "integer", "limit": "integer", "timeoutSeconds": "integer", "tailLines": "integer",
    "orphanDependents": "boolean", "force": "boolean", "watch": "boolean", "allowWatchBookmarks": "boolean",
    "sendInitialEvents": "boolean", "follow": "boolean", "previous": "boolean",
}  # fmt: skip
_WRITE: Final = ("dryRun", "fieldManager", "fieldValidation")
_DELETE: Final = ("dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy")
_LIST: Final = (
    "allowWatchBookmarks", "continue", "fieldSelector", "labelSelector", "limit", "resourceVersion",
    "resourceVersionMatch", "sendInitialEvents", "timeoutSeconds", "watch",
)  # fmt: skip
_COLLECTION: Final = (*(name for name in _LIST if name not in ("allowWatchBookmarks", "watch")), *_DELETE)


@dataclass(frozen=True)
class _Operation:
    """One verb on one path."""

    method: str
    action: str
    word: str
    """With which `operationId` begins."""
    query: tuple[str, ...] = ()
    body: str = ""
    """The definition of the body, empty for none."""
    answer: str = ""
    codes: tuple[int, ...] = (200,)


def paths(resource: Resource, *, v3: bool) -> Object:
    """Return the paths of a resource and of what is below it."""
    found: Object = {}
    kind, listed = resource.schema, resource.schema + "List"
    home = resource.path("{namespace}")
    for path, operations in (
        (home, (
            _Operation("delete", "deletecollection", "deleteCollection", _COLLECTION, _META + "DeleteOptions",
                       _META + "Status"),
            _Operation("get", "list", "list", _LIST, "", listed),
            _Operation("post", "post", "create", _WRITE, kind, kind, (200, 201, 202)),
        )),
        (home + "/{name}", (
            _Operation("delete", "delete", "delete", _DELETE, _META + "DeleteOptions", _META + "Status", (200, 202)),
            _Operation("get", "get", "read", (), "", kind),
            _Operation("patch", "patch", "patch", (*_WRITE, "force"), _META + "Patch", kind, (200, 201)),
            _Operation("put", "put", "replace", _WRITE, kind, kind, (200, 201)),
        )),
    ):  # fmt: skip
        served = [one for one in operations if _verb(one.action) in resource.verbs]
        if served:
            found[path] = _path(resource, path, served, v3=v3)
    if resource.namespaced and "list" in resource.verbs:
        everywhere = resource.path("")
        item = _path(resource, everywhere, [_Operation("get", "list", "listForAllNamespaces", (), "", listed)], v3=v3)
        # The original says of this path alone what may be asked beside its verb and not with it.
        item["parameters"] += [_parameter(name, v3=v3) for name in _LIST]
        found[everywhere] = item
    for sub in resource.subresources:
        path = f"{home}/{{name}}/{sub.name}"
        found[path] = _path(resource, path, _below(resource, sub), v3=v3, sub=sub)
    return found


def _verb(action: str) -> str:
    return {"post": "create", "put": "update"}.get(action, action)


def _below(resource: Resource, sub: Subresource) -> list[_Operation]:
    kind = resource.schema if sub.kind == resource.kind else _definition(sub)
    known: dict[str, _Operation] = {
        "create": _Operation("post", "post", "create", _WRITE, kind, kind, (200, 201, 202)),
        "get": _Operation("get", "get", "read", (), "", "" if sub.name in ("log", "proxy") else kind),
        "patch": _Operation("patch", "patch", "patch", (*_WRITE, "force"), _META + "Patch", kind, (200, 201)),
        "update": _Operation("put", "put", "replace", _WRITE, kind, kind, (200, 201)),
        "delete": _Operation("delete", "delete", "delete"),
    }
    if sub.name in ("proxy", "exec", "attach", "portforward"):
        methods = {"create": "post", "update": "put"}
        return [_Operation(methods.get(verb, verb), "connect", f"connect{verb.title()}") for verb in sub.verbs]
    return [known[verb] for verb in sub.verbs]


def _definition(sub: Subresource) -> str:
    group = sub.group.partition(".")[0] or "core"
    return f"io.k8s.api.{group}.{sub.version or 'v1'}.{sub.kind}"


def _path(
    resource: Resource, path: str, operations: list[_Operation], *, v3: bool, sub: Subresource | None = None
) -> Object:
    item: Object = {one.method: _operation(resource, one, v3=v3, sub=sub) for one in operations}
    names = [name for name in ("name", "namespace") if f"{{{name}}}" in path]
    item["parameters"] = [
        *(_parameter(name, v3=v3, place="path") for name in names), _parameter("pretty", v3=v3),
    ]  # fmt: skip
    return item


def _parameter(name: str, *, v3: bool, place: str = "query") -> Object:
    kind: Object = {"type": _TYPES.get(name, "string"), "uniqueItems": True}
    shape = {"schema": kind} if v3 else kind
    return {"name": name, "in": place, **({"required": True} if place == "path" else {}), **shape}


def _operation(resource: Resource, one: _Operation, *, v3: bool, sub: Subresource | None) -> Object:
    media = _JSON if isinstance(resource, CustomResource) else (*_JSON, _PROTOBUF)
    taken = media if isinstance(resource, CustomResource) or "delete" in one.action else ("*/*",)
    if one.action == "patch":
        taken = _PATCHES if isinstance(resource, CustomResource) else (*_PATCHES, _STRATEGIC)
    prefix = V3 if v3 else V2
    shape: Any = {"$ref": prefix + one.answer} if one.answer else {"type": "string"}
    answered: Object = {"content": {name: {"schema": shape} for name in media}} if v3 else {"schema": shape}
    words = {200: "OK", 201: "Created", 202: "Accepted"}
    parameters = [_parameter(name, v3=v3) for name in one.query]
    found: Object = {
        "operationId": _identifier(resource, one, sub),
        "parameters": parameters,
        "responses": {
            **{str(code): {"description": words[code], **answered} for code in one.codes},
            "401": {"description": "Unauthorized"},
        },
        "tags": [_tag(resource)],
        "x-kubernetes-action": one.action,
        "x-kubernetes-group-version-kind": _kind(resource, sub),
    }
    if one.body:
        body = {"$ref": prefix + one.body}
        must = one.action not in ("delete", "deletecollection")
        if v3:
            content = {name: {"schema": body} for name in taken}
            found["requestBody"] = {"content": content, **({"required": True} if must else {})}
        else:
            parameters.append({"name": "body", "in": "body", "schema": body, **({"required": True} if must else {})})
    return found if v3 else {**found, "consumes": list(taken) if one.body else ["*/*"], "produces": list(media)}


def _kind(resource: Resource, sub: Subresource | None) -> Object:
    if sub is not None and sub.kind != resource.kind:
        return {"group": sub.group, "version": sub.version or "v1", "kind": sub.kind}
    return {"group": resource.group, "version": resource.version, "kind": resource.kind}


def _camel(text: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in text.replace("-", ".").split("."))


def _tag(resource: Resource) -> str:
    name = _camel(resource.group.removesuffix(".k8s.io")) or "Core"
    return f"{name[0].lower()}{name[1:]}_{resource.version}"


def _identifier(resource: Resource, one: _Operation, sub: Subresource | None) -> str:
    """Return an identifier in the manner of `readAppsV1NamespacedDeploymentScale`."""
    group = _camel(resource.group.removesuffix(".k8s.io")) or "Core"
    scope = "Namespaced" if resource.namespaced and not one.word.endswith("AllNamespaces") else ""
    word, middle, tail = one.word, "", ""
    if word == "deleteCollection":
        word, middle = "delete", "Collection"
    elif word == "listForAllNamespaces":
        word, tail = "list", "ForAllNamespaces"
    below = _camel(sub.name) if sub is not None else ""
    return f"{word}{group}{_camel(resource.version)}{middle}{scope}{resource.kind}{below}{tail}"
