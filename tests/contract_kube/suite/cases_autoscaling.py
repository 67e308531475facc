"""Autoscalers and disruption budgets: their defaults, their rules, and their cells."""

from typing import Any, Final

from contract_harness import Api, Cases, objects

CASES: Final = Cases()
V2: Final = "autoscaling/v2"
HPAS: Final = "horizontalpodautoscalers"
TABLE: Final = "application/json;as=Table;v=v1;g=meta.k8s.io"
TARGET: Final = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "chat"}


def autoscaler(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "a"}, "spec": {"scaleTargetRef": TARGET, "maxReplicas": 4, **spec}}


def source(kind: str, field: str, **values: Any) -> dict[str, Any]:
    return {"type": kind, field: values}


def budget(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "b"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, **spec}}


USED: Final = {"type": "Utilization", "averageUtilization": 50}
AVERAGE: Final = {"type": "AverageValue", "averageValue": "5"}
QPS: Final = {"name": "qps"}


@CASES.case("what a behaviour leaves open is filled in")
async def _(api: Api) -> None:
    for behavior in objects({}, {"scaleUp": {}}, {"scaleDown": {"stabilizationWindowSeconds": 0}},
                     {"scaleUp": {"selectPolicy": "Disabled"}}, {"scaleDown": {"tolerance": "0.05"}}):  # fmt: skip
        await api.ask("POST", api.path(V2, HPAS), autoscaler(behavior=behavior), dryRun="All")


@CASES.case("metrics of an autoscaler are checked source by source")
async def _(api: Api) -> None:
    for metric in objects(
        {}, {"type": "Odd"}, {"type": "Resource"}, source("Resource", "resource", name="", target={}),
        source("Resource", "resource", name="cpu", target={"type": "Odd", "averageUtilization": 0}),
        source("Resource", "resource", name="cpu", target={**USED, **AVERAGE}),
        source("Resource", "resource", name="cpu", target={"type": "Value", "value": "0"}),
        source("Pods", "pods", metric={}, target={"type": "AverageValue", "averageValue": "0"}),
        source("Pods", "pods", metric={"name": "a/b%"}, target={}),
        source("Object", "object", describedObject={}, metric={"name": "."}, target={}),
        source("Object", "object", describedObject={"kind": "a/b", "name": "..", "apiVersion": "a/b/c"}, metric=QPS,
               target={**AVERAGE, "value": "1"}),
        source("External", "external", metric=QPS, target={"type": "Value"}),
        source("External", "external", metric=QPS, target={**AVERAGE, "value": "1"}),
        source("ContainerResource", "containerResource", name="", container="", target={}),
        source("ContainerResource", "containerResource", name="cpu", container="x", target={**AVERAGE, **USED}),
        {**source("Resource", "resource", name="cpu", target=USED), "pods": {"metric": QPS, "target": AVERAGE}},
        {**source("Resource", "external", metric=QPS, target=AVERAGE)},
    ):  # fmt: skip
        await api.ask("POST", api.path(V2, HPAS), autoscaler(metrics=[metric]), dryRun="All")


@CASES.case("a behaviour of an autoscaler is checked")
async def _(api: Api) -> None:
    policy = {"type": "Pods", "value": 1, "periodSeconds": 30}
    for rules in objects(
        {"stabilizationWindowSeconds": -1}, {"stabilizationWindowSeconds": 3601}, {"selectPolicy": "Odd"},
        {"policies": [{}]}, {"policies": [{**policy, "type": "Odd", "value": -1}]},
        {"policies": [{**policy, "periodSeconds": 1801}]}, {"tolerance": "-1"}, {"policies": [policy, policy]},
    ):  # fmt: skip
        await api.ask("POST", api.path(V2, HPAS), autoscaler(behavior={"scaleUp": rules}), dryRun="All")
        await api.ask("POST", api.path(V2, HPAS), autoscaler(behavior={"scaleDown": rules}), dryRun="All")


@CASES.case("what an autoscaler scales must be said in full")
async def _(api: Api) -> None:
    for target in objects(
        {}, {"kind": "Deployment", "name": "x"}, {"kind": "Deployment", "name": "x", "apiVersion": "v1"},
        {"kind": "ReplicationController", "name": "x", "apiVersion": "v1"},
        {"kind": "a/b", "name": "x%y", "apiVersion": "apps/v1"}, {"kind": "K", "name": "x", "apiVersion": "a/b/c"},
    ):  # fmt: skip
        await api.ask("POST", api.path(V2, HPAS), autoscaler(scaleTargetRef=target), dryRun="All")
    for spec in objects({"maxReplicas": -1}, {"minReplicas": -1}, {"minReplicas": 0, "metrics": [
        source("External", "external", metric=QPS, target=AVERAGE)
    ]}):  # fmt: skip
        await api.ask("POST", api.path(V2, HPAS), autoscaler(**spec), dryRun="All")


@CASES.case("an autoscaler's status is its own door, and its cells say what is known")
async def _(api: Api) -> None:
    external = source("External", "external", metric=QPS, target=AVERAGE)
    value = source("External", "external", metric=QPS, target={"type": "Value", "value": "7"})
    pods = source("Pods", "pods", metric=QPS, target=AVERAGE)
    thing = source("Object", "object", describedObject={"kind": "Service", "name": "s"}, metric=QPS, target=AVERAGE)
    inner = source("ContainerResource", "containerResource", name="cpu", container="x", target=USED)
    metrics = [external, value, pods, thing, inner, source("Resource", "resource", name="memory", target=AVERAGE)]
    await api.ask("POST", api.path(V2, HPAS), autoscaler(metrics=metrics))
    path = api.path(V2, HPAS, "a")
    await api.ask("GET", path, accept=TABLE)
    current = [
        source("External", "external", metric=QPS, current={"averageValue": "3"}),
        source("External", "external", metric=QPS, current={"value": "4"}),
        source("Pods", "pods", metric=QPS, current={"averageValue": "5"}),
    ]
    status = {
        "currentReplicas": 2,
        "desiredReplicas": 3,
        "currentMetrics": current,
        "lastScaleTime": "2026-01-02T03:04:05Z",
    }
    await api.ask("PATCH", f"{path}/status", {"spec": {"maxReplicas": 9}, "status": status}, "merge")
    await api.ask("GET", path, accept=TABLE)
    await api.ask("PATCH", f"{path}/status", {"status": {"currentReplicas": -1}}, "merge")
    await api.ask(
        "PATCH", path, {"spec": {"maxReplicas": 9, "metrics": metrics[:1]}, "status": {"desiredReplicas": 7}}, "merge"
    )
    await api.ask("GET", path, accept=TABLE)
    await api.ask("PATCH", path, {"spec": {"metrics": [metrics[4], *metrics[:3]]}}, "merge")
    await api.ask("GET", path, accept=TABLE)


@CASES.case("a disruption budget is checked")
async def _(api: Api) -> None:
    path = api.path("policy/v1", "poddisruptionbudgets")
    for spec in objects(
        {"minAvailable": 1, "maxUnavailable": 1}, {"minAvailable": -1}, {"maxUnavailable": "101%"},
        {"minAvailable": "x"}, {"unhealthyPodEvictionPolicy": "Odd"}, {"minAvailable": "-5%"}, {},
        {"selector": {"matchExpressions": [{"key": "a", "operator": "Odd"}]}}, {"selector": None, "minAvailable": 1},
        {"unhealthyPodEvictionPolicy": "AlwaysAllow", "maxUnavailable": "100%"},
        {"selector": {}, "minAvailable": "50%"},
        {"selector": {"matchLabels": {"a b": "c d"}}},
    ):  # fmt: skip
        await api.ask("POST", path, budget(**spec), dryRun="All")


@CASES.case("a disruption budget can be changed, and its status is its own door")
async def _(api: Api) -> None:
    path = api.path("policy/v1", "poddisruptionbudgets")
    await api.ask("POST", path, budget(minAvailable=1))
    await api.ask(
        "PATCH", f"{path}/b", {"spec": {"minAvailable": "20%", "selector": {"matchLabels": {"c": "d"}}}}, "merge"
    )
    await api.ask("PATCH", f"{path}/b", {"spec": {"selector": {"matchLabels": {"e": "f"}}}}, "strategic")
    await api.ask("GET", path, accept=TABLE)
    status = {
        "currentHealthy": 3,
        "desiredHealthy": 2,
        "expectedPods": 3,
        "disruptionsAllowed": 1,
        "observedGeneration": 1,
    }
    await api.ask("PATCH", f"{path}/b/status", {"status": status}, "merge")
    await api.ask("PATCH", f"{path}/b/status", {"status": {"currentHealthy": -1, "disruptionsAllowed": -2}}, "merge")
    conditions = [
        {
            "type": "DisruptionAllowed",
            "status": "Odd",
            "reason": "",
            "message": "m",
            "lastTransitionTime": "2026-01-02T03:04:05Z",
        }
    ]
    await api.ask("PATCH", f"{path}/b/status", {"status": {"conditions": conditions}}, "merge")
    await api.ask("GET", f"{path}/b", accept=TABLE)
