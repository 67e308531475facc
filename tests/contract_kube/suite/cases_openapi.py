"""OpenAPI documents: what clients read in them, without the prose that the lab does not ship."""

from functools import partial
from typing import Any, Final, cast

from contract_harness import Api, Cases
from contract_harness.custom import define, definition, until

CASES: Final = Cases()
GROUP: Final = "documents.example.com"
_PROSE: Final = ("description", "uniqueItems")
V2_PROTOBUF: Final = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"


def bare(node: Any, *, in_properties: bool = False) -> Any:
    """Return a document without prose: a field called `description` stays."""
    match node:
        case dict():
            found = cast("dict[str, Any]", node)
            kept = {key: value for key, value in found.items() if in_properties or key not in _PROSE}
            return {key: bare(value, in_properties=key == "properties") for key, value in kept.items()}
        case list():
            return [bare(item) for item in cast("list[Any]", node)]
        case _:
            return node


def folded(schema: Any) -> Any:
    """Return a definition in which pointers stand alone and not in `allOf`, where prose beside them put them."""
    match schema:
        case {"allOf": [{"$ref": str(pointer)}]}:
            rest = {key: value for key, value in cast("dict[str, Any]", schema).items() if key != "allOf"}
            return {**folded(rest), "$ref": pointer}
        case dict():
            return {key: folded(value) for key, value in cast("dict[str, Any]", schema).items()}
        case list():
            return [folded(item) for item in cast("list[Any]", schema)]
        case _:
            return schema


async def document(api: Api, name: str) -> Any:
    return (await api.ask("GET", f"/openapi/v3/{name}", record=False)).body


KINDS: Final = {
    "apis/apps/v1": ("io.k8s.api.apps.v1.Deployment", "io.k8s.api.apps.v1.DeploymentSpec"),
    "apis/policy/v1": ("io.k8s.api.policy.v1.PodDisruptionBudget",),
    "apis/autoscaling/v2": ("io.k8s.api.autoscaling.v2.MetricSpec",),
    "api/v1": ("io.k8s.api.core.v1.Container", "io.k8s.api.core.v1.Probe", "io.k8s.api.core.v1.ServiceSpec"),
    "apis/coordination.k8s.io/v1": ("io.k8s.api.coordination.v1.Lease",),
}


async def definitions(api: Api, name: str, kinds: tuple[str, ...]) -> None:
    found = (await document(api, name))["components"]["schemas"]
    for kind in kinds:
        schema = folded(bare(found[kind]))
        # Kinds that the lab does not serve are not named either.
        schema.pop("x-kubernetes-group-version-kind", None)
        api.note(kind=kind, schema=schema)


for name, kinds in KINDS.items():
    CASES.many(f"OpenAPI v3: definitions of {name}", partial(definitions, name=name, kinds=kinds))


async def operations(api: Api, name: str, path: str, *, methods: tuple[str, ...]) -> None:
    found = (await document(api, name))["paths"][path]
    api.note(parameters=sorted(one["name"] for one in found["parameters"] if one["name"] != "shardSelector"))
    for method in methods:
        one = found[method]
        names = {parameter["name"] for parameter in one.get("parameters", [])}
        names -= {"ignoreStoreReadErrorWithClusterBreakingPotential", "shardSelector"}
        if method == "get" and "list" not in one["x-kubernetes-action"]:
            names.discard("resourceVersion")
        api.note(
            method=method, action=one["x-kubernetes-action"], kind=one["x-kubernetes-group-version-kind"],
            identifier=one["operationId"], tags=one["tags"], codes=sorted(one["responses"]), parameters=sorted(names),
            body=one.get("requestBody", {}).get("content"),
            answer=one["responses"]["200"]["content"]["application/json"],
        )  # fmt: skip


DEPLOYMENTS: Final = "/apis/apps/v1/namespaces/{namespace}/deployments"
for path, methods in (
    (DEPLOYMENTS, ("get", "post")),
    (DEPLOYMENTS + "/{name}", ("get", "put", "patch")),
    (DEPLOYMENTS + "/{name}/scale", ("get", "put", "patch")),
    (DEPLOYMENTS + "/{name}/status", ("get", "put", "patch")),
    ("/apis/apps/v1/deployments", ("get",)),
):
    CASES.many(
        f"OpenAPI v3: operations of {path}", partial(operations, name="apis/apps/v1", path=path, methods=methods)
    )
for path, methods in (("/api/v1/nodes/{name}", ("get", "put", "patch")), ("/api/v1/namespaces", ("get", "post"))):
    CASES.many(f"OpenAPI v3: operations of {path}", partial(operations, name="api/v1", path=path, methods=methods))

FIELDS: Final[dict[str, Any]] = {
    "color": {"type": "string", "enum": ["red", "blue"]},
    "ios": {"x-kubernetes-int-or-string": True},
    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    "ports": {
        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"],
        "items": {"type": "object", "required": ["n"], "properties": {"n": {"type": "string"}}},
    },
    "map": {"type": "object", "additionalProperties": {"type": "integer", "format": "int32"}},
}  # fmt: skip
SCHEMA: Final = {"type": "object", "properties": {"spec": {"type": "object", "properties": FIELDS}}}


async def documented(api: Api) -> str:
    selectable = [{"jsonPath": ".spec.color"}]
    await define(api, definition(GROUP, "Paper", SCHEMA, subresources={"status": {}}, selectableFields=selectable))
    name = f"apis/{GROUP}/v1"
    await until(api, "/openapi/v3", lambda answer: name in answer.body["paths"])
    return name


@CASES.case("OpenAPI v3: a custom resource is documented")
async def _(api: Api) -> None:
    found = await document(api, await documented(api))
    api.note(openapi=found["openapi"], info=found["info"], paths=sorted(found["paths"]))
    schemas = found["components"]["schemas"]
    for name in ("com.example.documents.v1.Paper", "com.example.documents.v1.PaperList"):
        api.note(name=name, schema=folded(bare(schemas[name])))


@CASES.case("OpenAPI v3: the operations of a custom resource")
async def _(api: Api) -> None:
    name = await documented(api)
    home = f"/{name}/namespaces/{{namespace}}/papers"
    for path, methods in ((home, ("get", "post")), (home + "/{name}", ("get", "put", "patch"))):
        found = (await document(api, name))["paths"][path]
        for method in methods:
            one = found[method]
            api.note(method=method, action=one["x-kubernetes-action"], kind=one["x-kubernetes-group-version-kind"])
            api.note(identifier=one["operationId"], body=one.get("requestBody"))


@CASES.case("OpenAPI v3: a document lies at its hash")
async def _(api: Api) -> None:
    index = await api.ask("GET", "/openapi/v3", record=False)
    found = index.body["paths"]["apis/apps/v1"]["serverRelativeURL"]
    path, _, digest = found.partition("?hash=")
    api.note(headers=index.headers, path=path, length=len(digest))
    answer = await api.ask("GET", path, record=False, hash=digest)
    api.note(
        code=answer.code, kind=answer.body["openapi"], info=answer.body["info"], tagged=answer.etag == f'"{digest}"'
    )
    wrong = await api.ask("GET", path, record=False, hash="abc")
    again = await api.ask("GET", path, record=False, headers={"if-none-match": f'"{digest}"'})
    api.note(wrong=wrong.code, again=again.code)


@CASES.case("OpenAPI v2: definitions and operations")
async def _(api: Api) -> None:
    answer = await api.ask("GET", "/openapi/v2", record=False)
    body = answer.body
    api.note(swagger=body["swagger"], info=body["info"], headers=answer.headers["content-type"])
    for kind in ("io.k8s.api.apps.v1.DeploymentSpec", "io.k8s.api.core.v1.Container"):
        api.note(kind=kind, schema=bare(body["definitions"][kind]))
    patch = body["paths"][DEPLOYMENTS + "/{name}"]["patch"]
    api.note(action=patch["x-kubernetes-action"], kind=patch["x-kubernetes-group-version-kind"])
    api.note(identifier=patch["operationId"], answer=patch["responses"]["200"])
    again = await api.ask("GET", "/openapi/v2", record=False, headers={"if-none-match": answer.etag})
    api.note(again=again.code)
