"""delete and deletecollection: preconditions, grace, finalizers, propagation, and what a dry run leaves."""

from functools import partial
from typing import Any, Final

from contract_harness import Api, Cases

CASES: Final = Cases()
SPEC: Final = {"containers": [{"name": "x", "image": "y"}]}


async def make(api: Api, name: str = "c", **metadata: Any) -> Any:
    body = {"metadata": {"name": name, **metadata}}
    return await api.setup("POST", api.path("v1", "configmaps"), body)


async def deleted(api: Api, *, body: Any = None, query: dict[str, str] | None = None, metadata: Any = None) -> None:
    await make(api, "c", **(metadata or {}))
    path = api.path("v1", "configmaps", "c")
    await api.ask("DELETE", path, body, query=query)
    await api.ask("GET", path)


HELD: Final = {"finalizers": ["x.io/y"]}
OPTIONS: Final[dict[str, dict[str, Any]]] = {
    "a delete answers with a Status": {},
    "a delete with empty options": {"body": {}},
    "a delete with a kind in its options": {"body": {"kind": "DeleteOptions", "apiVersion": "v1"}},
    "a delete with options of another group": {"body": {"kind": "DeleteOptions", "apiVersion": "apps/v1"}},
    "a delete with options of another kind": {"body": {"kind": "Pod", "apiVersion": "v1"}},
    "a delete with an unknown option": {"body": {"foo": 1}},
    "a delete with a text for options": {"body": "x"},
    "a delete with an array for options": {"body": []},
    "a delete whose body is no JSON": {"body": "{"},
    "a delete with a text for seconds": {"body": {"gracePeriodSeconds": "1"}},
    "a delete with seconds below zero": {"body": {"gracePeriodSeconds": -5}},
    "a delete with seconds below zero in the query": {"query": {"gracePeriodSeconds": "-5"}},
    "a delete with seconds of minus one": {"query": {"gracePeriodSeconds": "-1"}},
    "a delete with seconds that are no number": {"query": {"gracePeriodSeconds": "x"}},
    "a delete with another uid": {"body": {"preconditions": {"uid": "00000000-0000-0000-0000-000000000000"}}},
    "a delete with an empty uid": {"body": {"preconditions": {"uid": ""}}},
    "a delete with another resourceVersion": {"body": {"preconditions": {"resourceVersion": "1"}}},
    "a delete with a bad policy": {"query": {"propagationPolicy": "Maybe"}},
    "a delete with a policy and orphanDependents": {"body": {"propagationPolicy": "Orphan", "orphanDependents": True}},
    "a delete with orphanDependents": {"query": {"orphanDependents": "true"}},
    "a delete in the foreground": {"query": {"propagationPolicy": "Foreground"}},
    "a delete in the background": {"query": {"propagationPolicy": "Background"}},
    "a delete that orphans": {"query": {"propagationPolicy": "Orphan"}},
    "a dry run of a delete": {"query": {"dryRun": "All"}},
    "a dry run of a delete, asked for in the body": {"body": {"dryRun": ["All"]}},
    "a dry run of a delete in the foreground": {"query": {"dryRun": "All", "propagationPolicy": "Foreground"}},
    "a dry run that is not All": {"body": {"dryRun": ["Some"]}},
    "a delete of what a finalizer holds": {"metadata": HELD},
    "a dry run of a delete of what a finalizer holds": {"metadata": HELD, "query": {"dryRun": "All"}},
    "a delete in the foreground of what a finalizer holds": {
        "metadata": HELD, "query": {"propagationPolicy": "Foreground"},
    },
    "a delete in the background takes the finalizer of the foreground away": {
        "metadata": {"finalizers": ["foregroundDeletion"]}, "query": {"propagationPolicy": "Background"},
    },
}  # fmt: skip
for sentence, options in OPTIONS.items():
    CASES.many(sentence, partial(deleted, **options))


@CASES.case("a delete with the right uid and version goes through")
async def _(api: Api) -> None:
    made = (await make(api))["metadata"]
    conditions = {"uid": made["uid"], "resourceVersion": made["resourceVersion"]}
    await api.ask("DELETE", api.path("v1", "configmaps", "c"), {"preconditions": conditions})


@CASES.case("a second delete of what a finalizer holds changes nothing")
async def _(api: Api) -> None:
    await make(api, finalizers=["x.io/y"])
    path = api.path("v1", "configmaps", "c")
    await api.ask("DELETE", path)
    await api.ask("DELETE", path)
    await api.ask("PATCH", path, {"metadata": {"finalizers": ["x.io/y", "x.io/z"]}}, "merge")
    await api.ask("PATCH", path, {"data": {"a": "b"}}, "merge")
    await api.ask("PATCH", path, {"metadata": {"finalizers": []}}, "merge", dryRun="All")
    await api.ask("PATCH", path, {"metadata": {"finalizers": []}}, "merge")
    await api.ask("GET", path)


@CASES.case("a Deployment that is deleted in the foreground stays until its dependents are gone")
async def _(api: Api) -> None:
    labels = {"a": "b"}
    spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": SPEC}}
    home = api.path("apps/v1", "deployments")
    await api.setup("POST", home, {"metadata": {"name": "d"}, "spec": spec})
    await api.ask("DELETE", f"{home}/d", propagationPolicy="Foreground")
    await api.ask("DELETE", f"{home}/d", propagationPolicy="Orphan")
    await api.ask("PATCH", f"{home}/d", {"metadata": {"finalizers": None}}, "merge")


@CASES.case("what a delete answers with, kind by kind")
async def _(api: Api) -> None:
    labels = {"matchLabels": {"a": "b"}}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": SPEC}
    bodies: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("v1", "services", {"spec": {"ports": [{"port": 1}]}}),
        ("v1", "serviceaccounts", {}),
        ("v1", "secrets", {}),
        ("v1", "endpoints", {}),
        ("apps/v1", "deployments", {"spec": {"selector": labels, "template": template}}),
        ("apps/v1", "replicasets", {"spec": {"selector": labels, "template": template}}),
        ("coordination.k8s.io/v1", "leases", {}),
        ("policy/v1", "poddisruptionbudgets", {"spec": {"minAvailable": 1, "selector": labels}}),
    )
    for api_version, plural, body in bodies:
        await api.setup("POST", api.path(api_version, plural), {"metadata": {"name": "x"}, **body})
        await api.ask("DELETE", api.path(api_version, plural, "x"))
    await api.setup("POST", "/api/v1/nodes", {"metadata": {"name": api.unique("n")}})
    await api.ask("DELETE", f"/api/v1/nodes/{api.unique('n')}")


@CASES.case("a pod that is on no node goes at once")
async def _(api: Api) -> None:
    await api.setup("POST", api.path("v1", "pods"), {"metadata": {"name": "p"}, "spec": SPEC})
    await api.ask("DELETE", api.path("v1", "pods", "p"))
    await api.ask("GET", api.path("v1", "pods", "p"))


@CASES.case("a pod on a node is given its grace, less when asked again, and none at zero")
async def _(api: Api) -> None:
    path = api.path("v1", "pods", "p")
    await api.setup("POST", api.path("v1", "pods"), {"metadata": {"name": "p"}, "spec": {**SPEC, "nodeName": "n"}})
    await api.ask("DELETE", path, dryRun="All")
    await api.ask("DELETE", path)
    await api.ask("DELETE", path, gracePeriodSeconds="100")
    await api.ask("DELETE", path, gracePeriodSeconds="5")
    await api.ask("GET", path)
    await api.ask("DELETE", path, gracePeriodSeconds="0")
    await api.ask("GET", path)


@CASES.case("a pod that has ended goes at once")
async def _(api: Api) -> None:
    path = api.path("v1", "pods", "p")
    await api.setup("POST", api.path("v1", "pods"), {"metadata": {"name": "p"}, "spec": {**SPEC, "nodeName": "n"}})
    await api.setup("PATCH", f"{path}/status", {"status": {"phase": "Succeeded"}}, "merge")
    await api.ask("DELETE", path)
    await api.ask("GET", path)


async def collected(api: Api, *, query: dict[str, str], body: Any = None) -> None:
    for name, label in (("a", "x"), ("b", "x"), ("c", "y")):
        await make(api, name, labels={"l": label}, **({"finalizers": ["x.io/y"]} if name == "b" else {}))
    await api.ask("DELETE", api.path("v1", "configmaps"), body, query=query)
    await api.ask("GET", api.path("v1", "configmaps"))


COLLECTIONS: Final[dict[str, tuple[dict[str, str], Any]]] = {
    "a delete of all": ({}, None),
    "a delete of all by a label": ({"labelSelector": "l=x"}, None),
    "a delete of all by a name": ({"fieldSelector": "metadata.name=c"}, None),
    "a delete of all by a bad label": ({"labelSelector": "a=b=c"}, None),
    "a delete of all by a bad field": ({"fieldSelector": "spec.x=1"}, None),
    "a dry run of a delete of all": ({"dryRun": "All"}, None),
    "a delete of all with a limit": ({"limit": "1"}, None),
    "a delete of all with a bad policy": ({"propagationPolicy": "x"}, None),
    "a delete of all in the foreground": ({"propagationPolicy": "Foreground"}, None),
    "a delete of all with a precondition": ({}, {"preconditions": {"resourceVersion": "1"}}),
    "a delete of all with options that are a text": ({}, "x"),
}
for sentence, (query, body) in COLLECTIONS.items():
    CASES.many(sentence, partial(collected, query=query, body=body))


@CASES.case("a delete of all of nothing is an empty list")
async def _(api: Api) -> None:
    await api.ask("DELETE", api.path("v1", "configmaps"))
    await api.ask("DELETE", "/api/v1/configmaps")
    await api.ask("DELETE", "/api/v1/namespaces")


@CASES.case("a namespace that is deleted is terminating, and nothing new is made in it")
async def _(api: Api) -> None:
    await make(api, finalizers=["x.io/y"])
    path = f"/api/v1/namespaces/{api.namespace}"
    await api.ask("DELETE", path)
    await api.ask("GET", path)
    await api.ask("POST", api.path("v1", "configmaps"), {"metadata": {"name": "d"}})
    await api.ask("PATCH", api.path("v1", "configmaps", "c"), {"data": {"a": "b"}}, "merge")
    await api.ask("DELETE", path)


@CASES.case("no dry run is seen by a watch or a list, and none is in the way of the next write")
async def _(api: Api) -> None:
    dry = {"dryRun": "All"}
    home = api.path("v1", "configmaps")
    made = await make(api)
    path, applied = f"{home}/c", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "d"}}
    async with api.watch(home, resourceVersion=made["metadata"]["resourceVersion"]) as watch:
        await api.ask("POST", home, {"metadata": {"name": "e"}}, query=dry)
        await api.ask("PUT", path, {"metadata": {"name": "c"}, "data": {"a": "b"}}, query=dry)
        await api.ask("PATCH", path, {"data": {"a": "b"}}, "merge", query=dry)
        await api.ask("PATCH", path, {"data": {"a": "b"}}, "strategic", query=dry)
        await api.ask("PATCH", path, [{"op": "add", "path": "/data", "value": {"a": "b"}}], "json", query=dry)
        await api.ask("PATCH", f"{home}/d", applied, "apply", fieldManager="me", query=dry)
        await api.ask("DELETE", path, query=dry)
        await api.ask("DELETE", home, query=dry)
        await make(api, "z")
        await watch.events(1)
    await api.ask("GET", home)


@CASES.case("a dry run of a Scale, a status and a binding leaves them")
async def _(api: Api) -> None:
    dry = {"dryRun": "All"}
    labels = {"a": "b"}
    spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": SPEC}}
    home = api.path("apps/v1", "deployments")
    await api.setup("POST", home, {"metadata": {"name": "d"}, "spec": spec})
    await api.ask("PATCH", f"{home}/d/scale", {"spec": {"replicas": 7}}, "merge", query=dry)
    await api.ask("PATCH", f"{home}/d/status", {"status": {"replicas": 7}}, "merge", query=dry)
    await api.ask("GET", f"{home}/d")
    pods = api.path("v1", "pods")
    await api.setup("POST", pods, {"metadata": {"name": "p"}, "spec": SPEC})
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}
    await api.ask("POST", f"{pods}/p/binding", binding, query=dry)
    await api.ask("GET", f"{pods}/p")
