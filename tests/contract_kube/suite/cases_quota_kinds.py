"""ResourceQuota, LimitRange and PriorityClass as objects: defaults, rules, what may change, cells."""

from typing import Any, Final

from contract_harness import Api, Cases, objects

CASES: Final = Cases()
TABLE: Final = "application/json;as=Table;v=v1;g=meta.k8s.io"
CLASSES: Final = "/apis/scheduling.k8s.io/v1/priorityclasses"


def quota(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "q"}, "spec": spec}


def ranges(**item: Any) -> dict[str, Any]:
    return {"metadata": {"name": "r"}, "spec": {"limits": [item]}}


@CASES.case("a quota is checked resource by resource, and scope by scope")
async def _(api: Api) -> None:
    path = api.path("v1", "resourcequotas")
    matching = {"operator": "In", "scopeName": "PriorityClass", "values": ["high"]}
    for spec in objects(
        {}, {"hard": {"cpu": "-1"}}, {"hard": {"odd": "1"}}, {"hard": {"pods": "1.5"}}, {"hard": {"a b": "1"}},
        {"hard": {"example.com/gpu": "1"}},
        {"hard": {"requests.example.com/gpu": "2", "limits.example.com/gpu": "1"}},
        {"hard": {"count/pods": "1", "count/deployments.apps": "2500m"}}, {"hard": {"requests.storage": "5Gi"}},
        {"hard": {"gold.storageclass.storage.k8s.io/requests.storage": "5Gi"}}, {"hard": {"memory": "1.5Gi"}},
        {"hard": {"pods": "1"}, "scopes": ["Odd"]}, {"hard": {"services": "1"}, "scopes": ["BestEffort"]},
        {"hard": {"cpu": "1"}, "scopes": ["BestEffort"]},
        {"hard": {"pods": "1"}, "scopes": ["BestEffort", "NotBestEffort"]},
        {"hard": {"pods": "1"}, "scopes": ["Terminating", "NotTerminating"]}, {"scopeSelector": {}},
        {"hard": {"pods": "1"}, "scopes": ["PriorityClass"]},
        {"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [matching]}},
        {"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [{**matching, "operator": "Odd"}]}},
        {"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [{**matching, "values": []}]}},
        {"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [{**matching, "operator": "Exists"}]}},
        {"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [{**matching, "scopeName": "Odd"}]}},
        {"hard": {"services": "1"}, "scopeSelector": {"matchExpressions": [matching]}},
        {"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [{**matching, "scopeName": "BestEffort"}]}},
    ):  # fmt: skip
        await api.ask("POST", path, quota(**spec), dryRun="All")


@CASES.case("a quota can be changed but for its scopes, and its status is its own door")
async def _(api: Api) -> None:
    path = api.path("v1", "resourcequotas")
    hard = {"requests.cpu": "2", "limits.memory": "1Gi", "pods": "5", "limits.cpu": "4"}
    await api.ask("POST", path, {**quota(hard=hard), "status": {"hard": {"pods": "9"}}})
    await api.ask("GET", path, accept=TABLE)
    await api.ask("PATCH", f"{path}/q", {"spec": {"hard": {"pods": "6"}}}, "merge")
    await api.ask("PATCH", f"{path}/q", {"spec": {"scopes": ["Terminating"]}}, "merge")
    status = {
        "hard": {"pods": "6", "requests.cpu": "2", "limits.memory": "1Gi"},
        "used": {"pods": "1", "requests.cpu": "0.1"},
    }
    await api.ask("PATCH", f"{path}/q/status", {"status": status}, "merge")
    await api.ask("GET", path, accept=TABLE)
    await api.ask("PATCH", f"{path}/q/status", {"status": {"used": {"services": "1.5"}}}, "merge")
    await api.ask("PATCH", f"{path}/q/status", {"status": {"hard": {"odd": "x"}}}, "merge")
    await api.ask("PATCH", f"{path}/q", {"status": {"hard": None}, "spec": {"hard": None}}, "merge")
    await api.ask("DELETE", f"{path}/q")


@CASES.case("a limit range fills in what it leaves open")
async def _(api: Api) -> None:
    path = api.path("v1", "limitranges")
    for item in objects(
        {"type": "Container", "max": {"cpu": "2", "memory": "1Gi"}, "min": {"cpu": "100m"}},
        {"type": "Container", "default": {"cpu": "1"}}, {"type": "Container", "min": {"cpu": "100m"}},
        {"type": "Pod", "max": {"cpu": "2"}}, {"type": "PersistentVolumeClaim", "max": {"storage": "5Gi"}},
        {"type": "Container", "defaultRequest": {"memory": "64Mi"}, "max": {"memory": "1Gi"}},
    ):  # fmt: skip
        await api.ask("POST", path, ranges(**item), dryRun="All")


@CASES.case("a limit range is checked")
async def _(api: Api) -> None:
    path = api.path("v1", "limitranges")
    for item in objects(
        {}, {"type": "Odd", "max": {"cpu": "1"}}, {"type": "Container", "max": {"cpu": "1"}, "min": {"cpu": "2"}},
        {"type": "Container", "max": {"cpu": "1"}, "default": {"cpu": "2"}},
        {"type": "Container", "min": {"cpu": "1"}, "default": {"cpu": "500m"}},
        {"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "2"}},
        {"type": "Container", "min": {"cpu": "1"}, "defaultRequest": {"cpu": "500m"}},
        {"type": "Container", "max": {"cpu": "1"}, "defaultRequest": {"cpu": "2"}},
        {"type": "Pod", "default": {"cpu": "1"}}, {"type": "Pod", "defaultRequest": {"cpu": "1"}},
        {"type": "Container", "maxLimitRequestRatio": {"cpu": "0.5"}}, {"type": "Container", "max": {"odd": "1"}},
        {"type": "Container", "maxLimitRequestRatio": {"cpu": "4"}, "min": {"cpu": "1"}, "max": {"cpu": "2"}},
        {"type": "PersistentVolumeClaim", "max": {"cpu": "1"}}, {"type": "PersistentVolumeClaim"},
        {"type": "Container", "max": {"a b": "1"}}, {"type": "Container", "max": {"cpu": "-1"}},
        {"type": "example.com/x", "max": {"cpu": "1"}},
        {"type": "Container", "max": {"hugepages-2Mi": "1"}, "default": {"example.com/a": "1"}},
    ):  # fmt: skip
        await api.ask("POST", path, ranges(**item), dryRun="All")
    await api.ask("POST", path, {"metadata": {"name": "r"}, "spec": {"limits": [{"type": "Pod"}, {"type": "Pod"}]}})
    await api.ask("POST", path, {"metadata": {"name": "r"}, "spec": {"limits": [{"type": "Pod"}]}})
    await api.ask("GET", path, accept=TABLE)
    await api.ask("PUT", f"{path}/new", {**ranges(type="Pod", max={"cpu": "1"}), "metadata": {"name": "new"}})
    await api.ask("PATCH", f"{path}/new", {"spec": {"limits": [{"type": "Pod", "max": {"cpu": "2"}}]}}, "strategic")
    await api.ask("DELETE", f"{path}/new")


@CASES.case("a priority class has its value for good")
async def _(api: Api) -> None:
    name = api.unique("c")
    await api.ask("POST", CLASSES, {"metadata": {"name": name}, "value": 1000, "description": "d"})
    await api.ask("GET", f"{CLASSES}/{name}", accept=TABLE)
    for change in objects(
        {"value": 2}, {"preemptionPolicy": "Never"}, {"preemptionPolicy": "Odd"}, {"description": "e"},
        {"globalDefault": False},
        {"metadata": {"labels": {"a": "b"}}},
    ):  # fmt: skip
        await api.ask("PATCH", f"{CLASSES}/{name}", change, "merge")
    await api.ask("GET", f"{CLASSES}/{name}", accept=TABLE)
    await api.ask("DELETE", f"{CLASSES}/{name}")


@CASES.case("a priority class is checked")
async def _(api: Api) -> None:
    for name, body in (
        ("system-mine", {"value": 1}), (api.unique("high"), {"value": 1000000001}), (api.unique("odd"),
        {"preemptionPolicy": "Odd"}),
        ("Bad", {"value": 1}), (api.unique("none"), {}), (api.unique("never"),
        {"value": -5, "preemptionPolicy": "Never"}),
        ("system-cluster-critical", {"value": 1}), ("system-cluster-critical", {"value": 2000000000}),
    ):  # fmt: skip
        await api.ask("POST", CLASSES, {"metadata": {"name": name}, **body}, dryRun="All")


@CASES.case("the system's priority classes are there from the start")
async def _(api: Api) -> None:
    api.scrub(r"^\d+[smhd](\d+[smh])?$", "<age>")
    for name in ("system-cluster-critical", "system-node-critical"):
        await api.ask("GET", f"{CLASSES}/{name}")
        await api.ask("GET", f"{CLASSES}/{name}", accept=TABLE)
        await api.ask("PATCH", f"{CLASSES}/{name}", {"value": 1}, "merge", dryRun="All")
