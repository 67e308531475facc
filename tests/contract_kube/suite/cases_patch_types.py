"""Every type of patch: operations, directives and failures, on the object, its status and its Scale."""

from functools import partial
from typing import Any, Final

from contract_harness import Api, Cases
from midwatch_lab.topology import chat_topology

CASES: Final = Cases()


async def config_patched(api: Api, *, kind: str, patch: Any, query: dict[str, str] | None = None) -> None:
    body = {"metadata": {"name": "c", "labels": {"l": "m"}}, "data": {"a": "1", "b": "2"}}
    await api.setup("POST", api.path("v1", "configmaps"), body)
    path = api.path("v1", "configmaps", "c")
    await api.ask("PATCH", path, patch, kind, query=query)
    await api.ask("GET", path)


def op(name: str, path: Any = "/data/a", **fields: Any) -> dict[str, Any]:
    return {"op": name, "path": path, **fields}


JSON_PATCHES: Final[dict[str, Any]] = {
    "add": [op("add", "/data/c", value="3")],
    "add over what is there": [op("add", value="3")],
    "add below what is not there": [op("add", "/foo/bar/baz", value="3")],
    "add an unknown field": [op("add", "/foo", value="3")],
    "add without a value": [op("add", "/data/c")],
    "add of null": [op("add", "/data/c", value=None)],
    "add of a number": [op("add", "/data/c", value=3)],
    "add of a map": [op("add", "/binaryData", value={"z": "AAAA"})],
    "remove": [op("remove")],
    "remove what is not there": [op("remove", "/data/z")],
    "remove a whole map": [op("remove", "/data")],
    "replace": [op("replace", value="9")],
    "replace what is not there": [op("replace", "/data/z", value="9")],
    "replace the name": [op("replace", "/metadata/name", value="d")],
    "replace the kind": [op("replace", "/kind", value="ServiceAccount")],
    "replace the whole": [
        op("replace", "", value={"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "c"}}),
    ],
    "replace the whole with a text": [op("replace", "", value="x")],
    "move": [op("move", "/data/c", **{"from": "/data/a"})],
    "move what is not there": [op("move", "/data/c", **{"from": "/data/z"})],
    "copy": [op("copy", "/data/c", **{"from": "/data/a"})],
    "copy what is not there": [op("copy", "/data/c", **{"from": "/data/z"})],
    "test that holds": [op("test", value="1"), op("remove")],
    "test that fails": [op("test", value="2"), op("remove")],
    "test of what is not there": [op("test", "/data/z", value="2")],
    "test that something is null": [op("test", "/data/z", value=None)],
    "test of the resourceVersion": [op("test", "/metadata/resourceVersion", value="0")],
    "an operation without a path": [{"op": "add", "value": "1"}],
    "an operation without a name": [{"path": "/data/a", "value": "1"}],
    "an unknown operation": [op("nope", value="1")],
    "a path that begins without a slash": [op("add", "data/a", value="1")],
    "a path that is a number": [op("add", 1, value="1")],
    "an escaped path": [
        op("add", "/metadata/annotations", value={}), op("add", "/metadata/annotations/a.b~1c", value="d"),
    ],
    "no operations": [],
    "an object for a list": {"op": "add"},
    "a text for a list": b'"x"',
    "a number in the list": [1],
    "null": b"null",
    "an operation that fails after one that did not": [op("add", "/data/c", value="3"), op("remove", "/data/z")],
}  # fmt: skip
for name, patch in JSON_PATCHES.items():
    CASES.many(f"a JSON patch: {name}", partial(config_patched, kind="json", patch=patch))
CASES.many(
    "a JSON patch: more than ten thousand operations",
    partial(config_patched, kind="json", patch=[op("test", value="1")] * 10_001),
)
CASES.many("a JSON patch: bytes that are no JSON", partial(config_patched, kind="json", patch=b"[{"))
CASES.many(
    "a JSON patch: an unknown field, strictly",
    partial(
        config_patched, kind="json", patch=JSON_PATCHES["add an unknown field"], query={"fieldValidation": "Strict"}
    ),
)

MERGES: Final[dict[str, Any]] = {
    "an empty object": {},
    "an array": [],
    "a text": b'"x"',
    "null": b"null",
    "a null for what is not there": {"data": {"z": None}},
    "a null for the whole map": {"data": None},
    "a null for the name": {"metadata": {"name": None}},
    "a null for metadata": {"metadata": None},
    "another name": {"metadata": {"name": "d"}},
    "another namespace": {"metadata": {"namespace": "d"}},
    "another uid": {"metadata": {"uid": "00000000-0000-0000-0000-000000000000"}},
    "an empty resourceVersion": {"metadata": {"resourceVersion": ""}, "data": {"z": "1"}},
    "a resourceVersion that is null": {"metadata": {"resourceVersion": None}, "data": {"z": "1"}},
    "a generation": {"metadata": {"generation": 5}},
    "another kind": {"kind": "ServiceAccount"},
    "another version": {"apiVersion": "v2"},
    "a text for a map": {"data": "x"},
    "a number for a text": {"data": {"a": 1}},
    "a directive of strategic patches": {"data": {"$patch": "replace", "z": "1"}},
    "finalizers": {"metadata": {"finalizers": ["x.io/y"]}},
    "managedFields that are empty": {"metadata": {"managedFields": [{}]}},
    "a creation time": {"metadata": {"creationTimestamp": "2020-01-01T00:00:00Z"}},
    "a deletion time": {"metadata": {"deletionTimestamp": "2020-01-01T00:00:00Z"}},
    "a status of what has none": {"status": {"a": "b"}},
}
for name, patch in MERGES.items():
    for kind in ("merge", "strategic"):
        CASES.many(f"a {kind} patch with {name}", partial(config_patched, kind=kind, patch=patch))
for kind in ("merge", "strategic", "apply"):
    CASES.many(f"a {kind} patch of bytes that do not parse", partial(config_patched, kind=kind, patch=b"{"))
    CASES.many(f"a {kind} patch of nothing", partial(config_patched, kind=kind, patch=b""))
TYPES: Final = ("application/json", "text/plain", "application/yaml", "application/merge-patch+yaml", "application/*")
for media in TYPES:
    CASES.many(f"a patch whose type is {media} is refused", partial(config_patched, kind=media, patch={"data": {}}))
CASES.many("force is for apply", partial(config_patched, kind="merge", patch={}, query={"force": "true"}))
CASES.many("a doubled key in a merge patch", partial(config_patched, kind="merge", patch=b'{"data":{"a":"5","a":"6"}}'))
CASES.many(
    "a doubled key in a merge patch, strictly",
    partial(config_patched, kind="merge", patch=b'{"data":{"a":"5","a":"6"}}', query={"fieldValidation": "Strict"}),
)

POD: Final[dict[str, Any]] = {
    "containers": [
        {"name": "a", "image": "a:1", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
        {"name": "b", "image": "b:1", "ports": [{"containerPort": 80}, {"containerPort": 81}]},
    ],
    "volumes": [{"name": "v", "emptyDir": {}}],
    "tolerations": [{"key": "k", "operator": "Exists"}],
}


def template(**spec: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": spec}}}


async def deployed(api: Api, *, kind: str, patch: Any, door: str = "", query: dict[str, str] | None = None) -> None:
    home = api.path("apps/v1", "deployments")
    body = chat_topology(api.namespace, "chat")[1]
    body = {**body, "spec": {**body["spec"], "template": {**body["spec"]["template"], "spec": POD}}}
    body["metadata"] = {**body["metadata"], "finalizers": ["x.io/a", "x.io/b"]}
    await api.setup("POST", home, body)
    path = f"{home}/chat{door}"
    await api.ask("PATCH", path, patch, kind, query=query)
    await api.ask("GET", f"{home}/chat")


DIRECTIVES: Final[dict[str, Any]] = {
    "replaces a map by $patch": {"spec": {"strategy": {"$patch": "replace", "type": "Recreate"}}},
    "deletes a map by $patch": {"spec": {"strategy": {"$patch": "delete"}}},
    "merges a map by $patch": {"spec": {"strategy": {"$patch": "merge", "rollingUpdate": {"maxSurge": 3}}}},
    "refuses another $patch": {"spec": {"strategy": {"$patch": "nope"}}},
    "refuses a $patch that is a number": {"spec": {"strategy": {"$patch": 1}}},
    "replaces a list by $patch": template(containers=[{"$patch": "replace"}, {"name": "c", "image": "c:1"}]),
    "deletes an element by $patch": template(containers=[{"name": "a", "$patch": "delete"}]),
    "deletes an element that is not there": template(containers=[{"name": "z", "$patch": "delete"}]),
    "replaces an element by $patch": template(containers=[{"name": "a", "$patch": "replace", "image": "z:1"}]),
    "adds an element without its key": template(containers=[{"image": "z:1"}]),
    "adds an element that is a text": template(containers=["z"]),
    "adds an element": template(containers=[{"name": "c", "image": "c:1"}]),
    "changes an element deep down": template(containers=[{"name": "a", "env": [{"name": "B", "value": "3"}]}]),
    "merges ports by number": template(containers=[{"name": "b", "ports": [{"containerPort": 80, "name": "web"}]}]),
    "takes null for an element's field": template(containers=[{"name": "b", "ports": None}]),
    "orders a list": template(**{"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}),
    "orders a list that it changes": template(
        **{"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [{"name": "a", "image": "a:2"}]}
    ),
    "orders a list that lacks what it changes": template(
        **{"$setElementOrder/containers": [{"name": "b"}], "containers": [{"name": "a", "image": "a:2"}]}
    ),
    "adds to a list of texts": {"metadata": {"finalizers": ["x.io/c"]}},
    "deletes from a list of texts": {"metadata": {"$deleteFromPrimitiveList/finalizers": ["x.io/a"]}},
    "deletes from a list of texts and adds": {
        "metadata": {"$deleteFromPrimitiveList/finalizers": ["x.io/a"], "finalizers": ["x.io/c"]},
    },
    "orders a list of texts": {
        "metadata": {"$setElementOrder/finalizers": ["x.io/b", "x.io/c", "x.io/a"], "finalizers": ["x.io/c"]},
    },
    "retains keys": template(volumes=[{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/x"}}]),
    "refuses $retainKeys that lack a key that it sets": {
        "spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate", "rollingUpdate": {"maxSurge": 1}}},
    },
    "refuses $retainKeys that are a text": {"spec": {"strategy": {"$retainKeys": "type"}}},
    "replaces a list that has no key": template(tolerations=[{"key": "z", "operator": "Exists"}]),
    "replaces the whole by $patch": {"$patch": "replace", "metadata": {"name": "chat"}},
    "deletes the whole by $patch": {"$patch": "delete"},
    "takes a list for a map": {"spec": {"strategy": []}},
    "takes a map for a list": template(containers={"name": "a"}),
    "takes text for a map": {"spec": "x"},
    "takes a fraction for a number": {"spec": {"replicas": 1.5}},
    "takes a whole fraction for a number": {"spec": {"replicas": 2.0}},
    "takes a number for a text": template(schedulerName=1),
    "takes true for a text": template(schedulerName=True),
    "takes a text for true": {"spec": {"paused": "yes"}},
    "takes a number beyond 32 bits": {"spec": {"replicas": 2**31}},
    "changes the selector's labels": {"spec": {"selector": {"matchLabels": {"x": "y"}}}},
}  # fmt: skip
for name, patch in DIRECTIVES.items():
    CASES.many(f"a strategic patch of a Deployment {name}", partial(deployed, kind="strategic", patch=patch))

TIMES: Final = {"lastUpdateTime": "2020-01-01T00:00:00Z", "lastTransitionTime": "2020-01-01T00:00:00Z"}
STATUS: Final = {"replicas": 3, "conditions": [{"type": "Available", "status": "True", **TIMES}]}
CONDITION: Final = {"type": "Progressing", "status": "True", **TIMES}
DOORS: Final[dict[str, tuple[str, str, Any]]] = {
    "a JSON patch of status": ("json", "/status", [{"op": "add", "path": "/status/replicas", "value": 3}]),
    "a merge patch of status": ("merge", "/status", {"status": STATUS}),
    "a merge patch of status does not change spec": ("merge", "/status", {"spec": {"replicas": 9}}),
    "a merge patch of status changes annotations": ("merge", "/status", {"metadata": {"annotations": {"a": "b"}}}),
    "a merge patch of status does not change labels": ("merge", "/status", {"metadata": {"labels": {"a": "b"}}}),
    "a merge patch of the object does not change status": ("merge", "", {"status": STATUS}),
    "a strategic patch of status": ("strategic", "/status", {"status": {"conditions": [CONDITION]}}),
    "a status of a wrong type is refused": ("merge", "/status", {"status": {"replicas": "x"}}),
    "a JSON patch of a Scale": ("json", "/scale", [{"op": "replace", "path": "/spec/replicas", "value": 4}]),
    "a merge patch of a Scale": ("merge", "/scale", {"spec": {"replicas": 4}}),
    "a strategic patch of a Scale": ("strategic", "/scale", {"spec": {"replicas": 4}}),
    "a patch of a Scale with an old version conflicts": (
        "merge", "/scale", {"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 4}},
    ),
    "a patch of a Scale to below zero is invalid": ("merge", "/scale", {"spec": {"replicas": -4}}),
    "a patch of a Scale to a text is refused": ("merge", "/scale", {"spec": {"replicas": "4"}}),
    "a patch of a Scale with an unknown field": ("merge", "/scale", {"spec": {"foo": 1, "replicas": 6}}),
    "a patch of a Scale whose test fails": (
        "json", "/scale", [{"op": "test", "path": "/spec/replicas", "value": 77}],
    ),
    "a patch of a subresource that is not there": ("merge", "/nope", {}),
}  # fmt: skip
for sentence, (kind, door, patch) in DOORS.items():
    CASES.many(sentence, partial(deployed, kind=kind, patch=patch, door=door))
    if kind == "merge" and door:
        CASES.many(
            f"{sentence}, as a dry run", partial(deployed, kind=kind, patch=patch, door=door, query={"dryRun": "All"})
        )


@CASES.case("a patch of what is not there is NotFound")
async def _(api: Api) -> None:
    path = api.path("v1", "configmaps", "c")
    await api.ask("PATCH", path, b"[]", "json")
    for kind in ("merge", "strategic"):
        await api.ask("PATCH", path, {}, kind)
    await api.ask("PATCH", api.path("apps/v1", "deployments", "c", "scale"), {}, "merge")
    await api.ask("PATCH", api.path("v1", "configmaps"), {}, "merge")
