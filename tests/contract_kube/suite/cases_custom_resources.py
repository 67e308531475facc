"""Custom resources as resources: discovery, writes, generation, status, scale, columns, selectors, versions, life."""

from typing import Any, Final

from contract_harness import Api, Cases
from contract_harness.custom import define, definition

CASES: Final = Cases()
GROUP: Final = "widgets.example.com"
TABLE: Final = "application/json;as=Table;v=v1;g=meta.k8s.io"
STRING: Final = {"type": "string"}
INTEGER: Final = {"type": "integer"}
PORTS: Final = {
    "type": "array",
    "items": {"type": "object", "properties": {"name": STRING, "v": INTEGER}},
}  # fmt: skip
FIELDS: Final[dict[str, Any]] = {
    "replicas": INTEGER, "color": STRING, "n": INTEGER, "flag": {"type": "boolean"}, "since": STRING, "ports": PORTS,
    "tags": {"type": "array", "items": STRING}, "gran": {"type": "object", "properties": {"a": INTEGER}},
}  # fmt: skip
STATUS: Final = {"type": "object", "properties": {"replicas": INTEGER, "sel": STRING, "phase": STRING}}
SCHEMA: Final = {
    "type": "object", "properties": {"spec": {"type": "object", "properties": FIELDS}, "status": STATUS},
}  # fmt: skip
COLUMNS: Final = [
    {"name": "Color", "type": "string", "jsonPath": ".spec.color", "description": "what color"},
    {"name": "N", "type": "integer", "jsonPath": ".spec.n", "priority": 1},
    {"name": "Since", "type": "date", "jsonPath": ".spec.since"},
    {"name": "Tags", "type": "string", "jsonPath": ".spec.tags"},
    {"name": "Ports", "type": "string", "jsonPath": ".spec.ports[*].name"},
    {"name": "First", "type": "string", "jsonPath": ".spec.ports[0].name"},
    {"name": "Last", "type": "string", "jsonPath": ".spec.ports[-1:].name"},
    {"name": "B", "type": "string", "jsonPath": '.spec.ports[?(@.name=="b")].v'},
    {"name": "Big", "type": "string", "jsonPath": ".spec.ports[?(@.v>1)].name"},
    {"name": "Flag", "type": "boolean", "jsonPath": ".spec.flag"},
    {"name": "Gran", "type": "string", "jsonPath": ".spec.gran"},
    {"name": "No number", "type": "integer", "jsonPath": ".spec.color"},
    {"name": "Number", "type": "number", "format": "double", "jsonPath": ".spec.n"},
]
SCALE: Final = {
    "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.sel",
}  # fmt: skip
WIDGETS: Final = definition(
    GROUP, "Widget", SCHEMA, subresources={"status": {}, "scale": SCALE}, additionalPrinterColumns=COLUMNS,
    selectableFields=[{"jsonPath": ".spec.color"}, {"jsonPath": ".spec.n"}, {"jsonPath": ".spec.flag"}],
)  # fmt: skip
PLAIN: Final = definition("plain.example.com", "Plain")
RED: Final[dict[str, Any]] = {
    "replicas": 2, "color": "red", "n": 3, "since": "2020-01-01T00:00:00Z", "tags": ["x", "y"], "flag": True,
    "ports": [{"name": "a", "v": 1}, {"name": "b", "v": 2}], "gran": {"a": 1},
}  # fmt: skip


def widget(name: str, spec: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"apiVersion": f"{GROUP}/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec, **fields}


async def with_widgets(api: Api) -> str:
    home = await define(api, WIDGETS)
    await api.setup("POST", home, widget("red", RED))
    await api.setup("POST", home, widget("blue", {"color": "blue", "n": 7, "since": "nope"}))
    return home


@CASES.case("a custom resource is discovered with its subresources and names")
async def _(api: Api) -> None:
    api.scrub(r"^[A-Za-z0-9+/]{11}=$", "<hash>")
    await define(api, WIDGETS)
    for path in (f"/apis/{GROUP}", f"/apis/{GROUP}/v1"):
        answer = await api.ask("GET", path, record=False)
        for one in answer.body.get("resources", []):
            one.pop("storageVersionHash", None)
        api.note(code=answer.code, body=answer.body)


@CASES.case("a custom resource is made without the status that it was sent with")
async def _(api: Api) -> None:
    home = await define(api, WIDGETS)
    await api.ask("POST", home, widget("red", RED, status={"phase": "Bad"}))
    await api.ask("POST", home, widget("red", RED))
    await api.ask("GET", f"{home}/red")
    await api.ask("GET", home)
    await api.ask("GET", f"{home}/none")
    await api.ask("DELETE", f"{home}/red")
    await api.ask("DELETE", f"{home}/red")


@CASES.case("a custom resource has the columns of its definition")
async def _(api: Api) -> None:
    home = await with_widgets(api)
    api.scrub(r"^\d+y\d*d?$", "<age>")
    await api.ask("GET", home, accept=TABLE, includeObject="None")
    await api.ask("GET", f"{home}/red", accept=TABLE)


@CASES.case("a custom resource without columns shows name and age")
async def _(api: Api) -> None:
    home = await define(api, PLAIN)
    manifest = {"apiVersion": "plain.example.com/v1", "kind": "Plain", "metadata": {"name": "a"}}
    await api.setup("POST", home, manifest)
    api.scrub(r"^\ds$", "<age>")
    await api.ask("GET", home, accept=TABLE, includeObject="None")


@CASES.case("custom resources are selected by the fields that their definition names")
async def _(api: Api) -> None:
    home = await with_widgets(api)
    for selector in ("spec.color=red", "spec.n=7", "spec.color!=red,metadata.name=blue", "spec.flag=true", "spec.no=1"):
        await api.ask("GET", home, fieldSelector=selector)


@CASES.case("a watch of custom resources selects by field")
async def _(api: Api) -> None:
    home = await with_widgets(api)
    async with api.watch(home, fieldSelector="spec.color=red") as watch:
        await watch.events(1)
        await api.setup("PATCH", f"{home}/blue", {"spec": {"color": "red"}}, "merge")
        await watch.events(1)
        await api.setup("PATCH", f"{home}/red", {"spec": {"color": "green"}}, "merge")
        await watch.events(1)


@CASES.case("the generation of a custom resource counts what is not metadata or status")
async def _(api: Api) -> None:
    home = await with_widgets(api)
    for patch in ({"metadata": {"labels": {"x": "y"}}}, {"spec": {"n": 4}}, {"status": {"phase": "Z"}}):
        await api.ask("PATCH", f"{home}/red", patch, "merge")
    status = {"status": {"phase": "Z", "replicas": 1}, "spec": {"n": 99}, "metadata": {"labels": {"q": "r"}}}
    await api.ask("PATCH", f"{home}/red/status", status, "merge")


@CASES.case("without a status subresource, status is a field like any other")
async def _(api: Api) -> None:
    home = await define(api, PLAIN)
    manifest = {"apiVersion": "plain.example.com/v1", "kind": "Plain", "metadata": {"name": "a"}, "status": {"x": 1}}
    await api.ask("POST", home, manifest)
    await api.ask("PATCH", f"{home}/a", {"status": {"x": 2}}, "merge")
    await api.ask("GET", f"{home}/a/status")
    await api.ask("GET", f"{home}/a/scale")
    await api.ask("GET", f"{home}/a/other")


@CASES.case("the status of a custom resource is validated and keeps the rest")
async def _(api: Api) -> None:
    home = await with_widgets(api)
    current = await api.setup("GET", f"{home}/red")
    await api.ask("PUT", f"{home}/red/status", {**current, "spec": {}, "status": {"phase": "W", "zz": 1}})
    await api.ask("PATCH", f"{home}/red/status", {"status": {"phase": 5}}, "merge")
    await api.ask("GET", f"{home}/red/status")
    await api.ask("GET", f"{home}/red/status", accept=TABLE, includeObject="None")


@CASES.case("a custom resource is scaled where its definition says")
async def _(api: Api) -> None:
    home = await with_widgets(api)
    await api.setup("PATCH", f"{home}/red/status", {"status": {"replicas": 1, "sel": "app=x"}}, "merge")
    await api.ask("GET", f"{home}/red/scale")
    names = {"name": "red", "namespace": api.namespace}
    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": names, "spec": {"replicas": 5}}
    await api.ask("PUT", f"{home}/red/scale", scale)
    await api.ask("PATCH", f"{home}/red/scale", {"spec": {"replicas": 6}}, "merge")
    await api.ask("PATCH", f"{home}/red/scale", {"spec": {"replicas": -6}}, "merge")
    await api.ask("PUT", f"{home}/red/scale", {**scale, "metadata": {**names, "resourceVersion": "1"}})
    answer = await api.ask("GET", f"{home}/red")
    api.note(generation=answer.body["metadata"]["generation"])


@CASES.case("a custom resource without replicas has no scale to read, and can be given one")
async def _(api: Api) -> None:
    home = await with_widgets(api)
    await api.ask("GET", f"{home}/blue/scale")
    await api.ask("PATCH", f"{home}/blue/scale", {"spec": {"replicas": 1}}, "merge")
    await api.ask("PATCH", f"{home}/none/scale", {"spec": {"replicas": 1}}, "merge")


@CASES.case("custom resources take no strategic patches")
async def _(api: Api) -> None:
    home = await with_widgets(api)
    for path in (f"{home}/red", f"{home}/red/status", f"{home}/red/scale"):
        await api.ask("PATCH", path, {"spec": {"n": 1}}, "strategic")
    await api.ask("PATCH", f"{home}/red", {"spec": {"n": 1}}, "application/foo")


@CASES.case("a custom resource is replaced at the version that was read")
async def _(api: Api) -> None:
    home = await with_widgets(api)
    current = await api.setup("GET", f"{home}/red")
    await api.ask("PUT", f"{home}/red", widget("red", {"n": 1}))
    await api.ask("PUT", f"{home}/red", {**current, "spec": {"n": 1}})
    await api.ask("PUT", f"{home}/red", {**current, "spec": {"n": 2}})
    await api.ask("PUT", f"{home}/red", widget("blue", {}))
    await api.ask("PUT", f"{home}/red", {**widget("red", {}), "metadata": {}})


@CASES.case("a JSON patch of a custom resource")
async def _(api: Api) -> None:
    home = await with_widgets(api)
    await api.ask("PATCH", f"{home}/red", [{"op": "add", "path": "/spec/tags/-", "value": "z"}], "json")
    await api.ask("PATCH", f"{home}/red", [{"op": "replace", "path": "/spec/nope", "value": 1}], "json")
    await api.ask("PATCH", f"{home}/red", [{"op": "test", "path": "/spec/n", "value": 77}], "json")
    await api.ask("PATCH", f"{home}/red", [{"op": "replace", "path": "/spec/n", "value": "x"}], "json")


@CASES.case("a merge patch of a custom resource")
async def _(api: Api) -> None:
    home = await with_widgets(api)
    patches: list[Any] = [
        {"spec": {"n": "x"}}, {"kind": "Foo"}, {"apiVersion": "foo/v1"}, {"metadata": {"name": "q"}},
        {"spec": {"zz": 1}}, {"spec": {"n": None, "color": "c"}}, {"spec": None},
        {"metadata": {"labels": {"a b": "c"}}},
    ]  # fmt: skip
    for patch in patches:
        await api.ask("PATCH", f"{home}/red", patch, "merge")


@CASES.case("a custom resource says its kind, version and namespace rightly")
async def _(api: Api) -> None:
    home = await define(api, WIDGETS)
    good = widget("a", {})
    changes: list[dict[str, Any]] = [
        {"kind": "Foo"}, {"apiVersion": "v1"}, {"metadata": {"name": "a", "namespace": "other"}}, {"metadata": {}},
        {"metadata": {"name": "A_b"}}, {"metadata": {"name": 5}}, {"metadata": {"name": "a", "labels": {"a": 1}}},
        {"metadata": {"name": "a", "labels": {"a b": "c d"}, "annotations": {"x y": "z"}}}, {"metadata": "x"},
    ]  # fmt: skip
    for change in changes:
        await api.ask("POST", home, {**good, **change}, dryRun="All")


@CASES.case("a dry run of a custom resource leaves nothing")
async def _(api: Api) -> None:
    home = await with_widgets(api)
    await api.ask("POST", home, widget("new", RED), dryRun="All")
    await api.ask("PATCH", f"{home}/red", {"spec": {"n": 9}}, "merge", dryRun="All")
    await api.ask("PATCH", f"{home}/red/scale", {"spec": {"replicas": 9}}, "merge", dryRun="All")
    await api.ask("DELETE", f"{home}/red", dryRun="All")
    await api.ask("GET", home)


@CASES.case("custom resources are deleted together, and held by finalizers")
async def _(api: Api) -> None:
    home = await with_widgets(api)
    await api.setup("PATCH", f"{home}/red", {"metadata": {"finalizers": ["example.com/hold"]}}, "merge")
    await api.ask("DELETE", home)
    answer = await api.ask("GET", home)
    api.note(left=[item["metadata"]["name"] for item in answer.body["items"]])
    await api.ask("PATCH", f"{home}/red", {"metadata": {"finalizers": []}}, "merge")
    await api.ask("GET", f"{home}/red")


@CASES.case("a namespace has no place for the resources of a cluster")
async def _(api: Api) -> None:
    wanted = definition("globes.example.com", "Globe")
    wanted["spec"]["scope"] = "Cluster"
    home = await define(api, wanted)
    manifest = {"apiVersion": "globes.example.com/v1", "kind": "Globe", "metadata": {"name": api.unique("g")}}
    await api.ask("POST", home, manifest)
    await api.ask("GET", f"{home}/{api.unique('g')}")
    answer = await api.ask("GET", api.path("globes.example.com/v1", "globes"), record=False)
    api.note(code=answer.code)
    await api.ask("DELETE", f"{home}/{api.unique('g')}")
