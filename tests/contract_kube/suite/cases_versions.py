"""Two versions of one storage: autoscalers as v1 and v2, events as core v1 and events.k8s.io/v1."""

from typing import Any, Final

from contract_harness import Api, Cases, objects

CASES: Final = Cases()
V1, V2 = "autoscaling/v1", "autoscaling/v2"
HPAS: Final = "horizontalpodautoscalers"
CORE, GROUP = "v1", "events.k8s.io/v1"
TARGET: Final = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "chat"}
TABLE: Final = "application/json;as=Table;v=v1;g=meta.k8s.io"


def autoscaler(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"scaleTargetRef": TARGET, "maxReplicas": 4, **spec}}


def stated(version: str, name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": "HorizontalPodAutoscaler", **autoscaler(name, **spec)}


def source(kind: str, field: str, **values: Any) -> dict[str, Any]:
    return {"type": kind, field: values}


def target(kind: str, value: Any) -> dict[str, Any]:
    return {"type": kind, {"Utilization": "averageUtilization", "Value": "value"}.get(kind, "averageValue"): value}


QUEUE: Final = {"name": "queue", "selector": {"matchLabels": {"q": "x"}}}
SERVICE: Final = {"kind": "Service", "name": "chat", "apiVersion": "v1"}
HITS: Final = {"name": "hits"}
MEMORY: Final = source("Resource", "resource", name="memory", target=target("AverageValue", "1500Mi"))
CPU: Final = source("Resource", "resource", name="cpu", target=target("Utilization", 60))
CPU_VALUE: Final = source("Resource", "resource", name="cpu", target=target("AverageValue", "500m"))
PODS: Final = source("Pods", "pods", metric={**QUEUE, "name": "qps"}, target=target("AverageValue", "1k"))
OBJECT: Final = source("Object", "object", describedObject=SERVICE, metric=HITS, target=target("Value", "2k"))
OBJECT_AVERAGE: Final = source(
    "Object", "object", describedObject={"kind": "S", "name": "s"}, metric=HITS, target=target("AverageValue", "20")
)
EXTERNAL: Final = source("External", "external", metric=QUEUE, target=target("Value", "30"))
EXTERNAL_AVERAGE: Final = source("External", "external", metric=HITS, target=target("AverageValue", "30"))
CONTAINER: Final = source(
    "ContainerResource", "containerResource", name="cpu", container="engine", target=target("Utilization", 70)
)
POLICY: Final = {"type": "Pods", "value": 1, "periodSeconds": 30}
BEHAVIOR: Final = {"scaleDown": {"stabilizationWindowSeconds": 60, "policies": [POLICY]}}


async def both_versions(api: Api, name: str) -> None:
    for version in (V1, V2):
        await api.ask("GET", api.path(version, HPAS, name))


@CASES.case("an autoscaler made as v1 is read as v1 and as v2")
async def _(api: Api) -> None:
    await api.ask("POST", api.path(V1, HPAS), autoscaler("plain"), fieldManager="one")
    await api.ask("POST", api.path(V1, HPAS), autoscaler("cpu", targetCPUUtilizationPercentage=55, minReplicas=2))
    await both_versions(api, "plain")
    await both_versions(api, "cpu")


@CASES.case("an autoscaler made as v2 shows what v1 has no field for in annotations")
async def _(api: Api) -> None:
    metrics = [CPU, MEMORY, PODS, OBJECT, OBJECT_AVERAGE, EXTERNAL, EXTERNAL_AVERAGE, CONTAINER]
    await api.ask("POST", api.path(V2, HPAS), autoscaler("many", metrics=metrics, behavior=BEHAVIOR))
    await both_versions(api, "many")
    await api.ask("POST", api.path(V2, HPAS), autoscaler("memory", metrics=[MEMORY]))
    await api.ask("POST", api.path(V2, HPAS), autoscaler("value", metrics=[CPU_VALUE]))
    await api.ask("POST", api.path(V2, HPAS), autoscaler("late", metrics=[MEMORY, CPU]))
    for name in ("memory", "value", "late"):
        await api.ask("GET", api.path(V1, HPAS, name))


@CASES.case("an autoscaler's v1 form written back as it was changes nothing")
async def _(api: Api) -> None:
    await api.setup("POST", api.path(V2, HPAS), autoscaler("same", metrics=[CPU, PODS], behavior=BEHAVIOR))
    seen = await api.ask("GET", api.path(V1, HPAS, "same"))
    await api.ask("PUT", api.path(V1, HPAS, "same"), seen.body, fieldManager="back")
    await both_versions(api, "same")


@CASES.case("every type of patch takes an autoscaler in the version of its path")
async def _(api: Api) -> None:
    await api.setup("POST", api.path(V2, HPAS), autoscaler("h", metrics=[CPU, MEMORY]), fieldManager="maker")
    cpu = {"spec": {"targetCPUUtilizationPercentage": 71}}
    await api.ask("PATCH", api.path(V1, HPAS, "h"), cpu, "merge", fieldManager="one")
    await api.ask("PATCH", api.path(V1, HPAS, "h"), {"spec": {"targetCPUUtilizationPercentage": 72}}, "strategic")
    operations = [{"op": "replace", "path": "/spec/targetCPUUtilizationPercentage", "value": 73}]
    await api.ask("PATCH", api.path(V1, HPAS, "h"), operations, "json", fieldManager="two")
    await api.ask("PATCH", api.path(V2, HPAS, "h"), {"spec": {"metrics": [MEMORY]}}, "merge", fieldManager="three")
    await both_versions(api, "h")


@CASES.case("owners of an autoscaler's fields keep the version that they wrote in")
async def _(api: Api) -> None:
    as_v1 = stated(V1, "a", targetCPUUtilizationPercentage=50)
    as_v2 = stated(V2, "a", minReplicas=2)
    place = api.path(V1, HPAS, "a"), api.path(V2, HPAS, "a")
    await api.ask("PATCH", place[0], as_v1, "apply", fieldManager="one")
    await api.ask("PATCH", place[1], as_v2, "apply", fieldManager="two")
    await api.ask(
        "PATCH", place[1], {**as_v2, "spec": {**as_v2["spec"], "maxReplicas": 9}}, "apply", fieldManager="two"
    )
    await api.ask("PATCH", place[0], {"spec": {"targetCPUUtilizationPercentage": 66}}, "merge", fieldManager="three")
    await both_versions(api, "a")


@CASES.case("an apply in the other version takes the fields over under its name")
async def _(api: Api) -> None:
    as_v1 = stated(V1, "a", targetCPUUtilizationPercentage=50)
    as_v2 = stated(V2, "a", metrics=[CPU])
    await api.ask("PATCH", api.path(V1, HPAS, "a"), as_v1, "apply", fieldManager="one")
    await api.ask("PATCH", api.path(V2, HPAS, "a"), as_v2, "apply", fieldManager="one")
    await api.ask(
        "PATCH", api.path(V2, HPAS, "a"), {**as_v2, "spec": autoscaler("a")["spec"]}, "apply", fieldManager="one"
    )
    await both_versions(api, "a")


@CASES.case("a watch and a list of autoscalers speak the version of their path")
async def _(api: Api) -> None:
    await api.setup("POST", api.path(V2, HPAS), autoscaler("w", metrics=[CPU, MEMORY]))
    for version in (V1, V2):
        await api.ask("GET", api.path(version, HPAS))
        await api.ask("GET", api.path(version, HPAS), accept=TABLE)
        await api.ask("GET", api.path(version, HPAS), accept=TABLE, includeObject="Object")
        async with api.watch(api.path(version, HPAS), resourceVersion="0") as watch:
            await watch.events(1)


@CASES.case("a status of an autoscaler written as v1 is read as v2 and back")
async def _(api: Api) -> None:
    await api.setup("POST", api.path(V1, HPAS), autoscaler("s", targetCPUUtilizationPercentage=50))
    found = {"currentReplicas": 2, "desiredReplicas": 3, "currentCPUUtilizationPercentage": 90}
    await api.ask("PATCH", api.path(V1, HPAS, "s", "status"), {"status": found}, "merge", fieldManager="m")
    await both_versions(api, "s")
    used = {"averageUtilization": 80, "averageValue": "300m"}
    metrics = [
        source("Resource", "resource", name="cpu", current=used),
        source("Pods", "pods", metric={"name": "qps"}, current={"averageValue": "10"}),
    ]
    able = {"type": "AbleToScale", "status": "True", "reason": "r", "message": "m"}
    conditions = [{**able, "lastTransitionTime": "2026-01-02T03:04:05Z"}]
    newer = {"currentReplicas": 3, "desiredReplicas": 3, "currentMetrics": metrics, "conditions": conditions}
    await api.ask("PATCH", api.path(V2, HPAS, "s", "status"), {"status": newer}, "merge", fieldManager="m")
    await both_versions(api, "s")
    for version in (V1, V2):
        await api.ask("GET", api.path(version, HPAS, "s"), accept=TABLE)


@CASES.case("an autoscaler is refused for the same reasons in v1")
async def _(api: Api) -> None:
    for spec in objects(
        {"minReplicas": 0}, {"minReplicas": 5}, {"maxReplicas": 0}, {"targetCPUUtilizationPercentage": 0},
        {"targetCPUUtilizationPercentage": "x"}, {"scaleTargetRef": {"name": "chat"}}, {"metrics": []},
    ):  # fmt: skip
        await api.ask("POST", api.path(V1, HPAS), autoscaler("bad", **spec), fieldValidation="Strict")


@CASES.case("annotations of a conversion that do not fit are as if they were not there")
async def _(api: Api) -> None:
    prefix = "autoscaling.alpha.kubernetes.io/"
    for name, text in (
        ("metrics", "x"), ("metrics", '[{"type":"Pods","pods":{"metricName":1}}]'), ("metrics", '{"a":1}'),
        ("behavior", "[]"), ("behavior", '{"ScaleUp":{"Policies":"x"}}'), ("behavior", "{}"),
        ("current-metrics", "7"), ("conditions", '[{"type":3}]'), ("behavior", ""),
    ):  # fmt: skip
        body = autoscaler("odd", targetCPUUtilizationPercentage=50)
        body["metadata"]["annotations"] = {prefix + name: text}
        await api.ask("POST", api.path(V1, HPAS), body, dryRun="All")


def core_event(api: Api, name: str, **more: Any) -> dict[str, Any]:
    involved = {"kind": "Pod", "namespace": api.namespace, "name": "p", "apiVersion": "v1"}
    return {
        "metadata": {"name": name, "namespace": api.namespace}, "involvedObject": involved, "reason": "Started",
        "message": "it did", "type": "Normal", "source": {"component": "kubelet", "host": "n1"}, "count": 2,
        "firstTimestamp": "2026-01-02T03:04:05Z", "lastTimestamp": "2026-01-02T03:05:05Z", **more,
    }  # fmt: skip


def group_event(api: Api, name: str, **more: Any) -> dict[str, Any]:
    regarding = {"kind": "Pod", "namespace": api.namespace, "name": "p", "apiVersion": "v1"}
    return {
        "metadata": {"name": name, "namespace": api.namespace}, "regarding": regarding, "reason": "Started",
        "note": "it did", "type": "Normal", "action": "Binding", "eventTime": "2026-01-02T03:04:05.123456Z",
        "reportingController": "example.com/c", "reportingInstance": "c-1", **more,
    }  # fmt: skip


@CASES.case("an event made through either group is read through both")
async def _(api: Api) -> None:
    await api.ask("POST", api.path(CORE, "events"), core_event(api, "core"))
    await api.ask("POST", api.path(GROUP, "events"), group_event(api, "group"), fieldManager="g")
    series = {"count": 3, "lastObservedTime": "2026-01-02T03:04:06.000001Z"}
    related = {"kind": "Node", "name": "n1", "apiVersion": "v1"}
    await api.ask("POST", api.path(GROUP, "events"), group_event(api, "series", series=series, related=related))
    for name in ("core", "group", "series"):
        for version in (CORE, GROUP):
            await api.ask("GET", api.path(version, "events", name))
    for version in (CORE, GROUP):
        await api.ask("GET", api.path(version, "events"), accept=TABLE)


@CASES.case("an event is patched and replaced in either version")
async def _(api: Api) -> None:
    await api.setup("POST", api.path(CORE, "events"), core_event(api, "e"), fieldManager="one")
    await api.ask("PATCH", api.path(GROUP, "events", "e"), {"note": "other"}, "merge", fieldManager="two")
    await api.ask("PATCH", api.path(CORE, "events", "e"), {"count": 5}, "strategic", fieldManager="one")
    await api.setup("POST", api.path(GROUP, "events"), group_event(api, "g"), fieldManager="one")
    series = {"count": 2, "lastObservedTime": "2026-01-02T03:04:07.000000Z"}
    await api.ask("PATCH", api.path(GROUP, "events", "g"), {"series": series}, "merge", fieldManager="two")
    await api.ask("PATCH", api.path(GROUP, "events", "g"), {"note": "other"}, "merge")
    await api.ask("PATCH", api.path(CORE, "events", "g"), {"message": "other"}, "strategic")
    await api.ask("GET", api.path(GROUP, "events", "g"))


@CASES.case("a watch of events speaks the version of its path")
async def _(api: Api) -> None:
    await api.setup("POST", api.path(CORE, "events"), core_event(api, "e"))
    for version in (CORE, GROUP):
        async with api.watch(api.path(version, "events"), resourceVersion="0") as watch:
            await watch.events(1)
        await api.ask("GET", api.path(version, "events"))


@CASES.case("events of either group are selected by the fields of theirs")
async def _(api: Api) -> None:
    await api.setup("POST", api.path(CORE, "events"), core_event(api, "e"))
    for selector in ("involvedObject.name=p", "regarding.name=p", "reason=Started", "type=Warning", "source=kubelet",
                     "reportingController=x", "reportingComponent=x", "involvedObject.uid=", "regarding.fieldPath=x",
                     "note=x", "action=x", "metadata.name=e"):  # fmt: skip
        for version in (CORE, GROUP):
            await api.ask("GET", api.path(version, "events"), fieldSelector=selector)


@CASES.case("core events are refused as the original refuses them")
async def _(api: Api) -> None:
    path = api.path(CORE, "events")
    involved = {"kind": "Pod", "namespace": "elsewhere", "name": "p", "apiVersion": "v1"}
    await api.ask("POST", path, core_event(api, "one", involvedObject=involved))
    await api.ask(
        "POST", path, core_event(api, "two", involvedObject={"kind": "Node", "name": "n", "apiVersion": "v1"})
    )
    await api.ask(
        "POST", path, core_event(api, "three", involvedObject={"kind": "Thing", "name": "n", "apiVersion": "x.io/v1"})
    )
    await api.ask("POST", path, core_event(api, "four", eventTime="2026-01-02T03:04:05.123456Z"))
    await api.ask("POST", path, core_event(api, "five", type="Other", reason="", message=""))
    await api.ask("POST", path, core_event(api, "six", involvedObject={}))
    await api.ask("POST", path, core_event(api, "Seven"))
    await api.ask("POST", path, core_event(api, "eight", reportingComponent="x y", reportingInstance="z" * 200))
    long = {"reportingInstance": "z" * 129, "reason": "r" * 129, "message": "m" * 1025}
    timed = {"eventTime": "2026-01-02T03:04:05.123456Z", "reportingComponent": "a/b", "action": "", "type": "Odd"}
    await api.ask("POST", path, core_event(api, "nine", **long, **timed))


@CASES.case("events of the group are refused as the original refuses them")
async def _(api: Api) -> None:
    path = api.path(GROUP, "events")
    for wrong in objects(
        {"eventTime": None}, {"reportingController": ""}, {"reportingController": "a b"}, {"reportingInstance": ""},
        {"action": ""}, {"action": "a" * 129}, {"reason": ""}, {"reason": "r" * 129}, {"note": "n" * 1025},
        {"type": "Odd"}, {"type": ""}, {"series": {"count": 1, "lastObservedTime": "2026-01-02T03:04:07Z"}},
        {"series": {"count": 3}}, {"regarding": {"kind": "Pod", "namespace": "elsewhere", "name": "p"}},
        {"deprecatedCount": 3}, {"deprecatedSource": {"component": "x"}},
        {"deprecatedFirstTimestamp": "2026-01-02T03:04:05Z"}, {"deprecatedLastTimestamp": "2026-01-02T03:04:05Z"},
    ):  # fmt: skip
        await api.ask("POST", path, group_event(api, "bad", **wrong), fieldValidation="Strict")


@CASES.case("what an event of the group is about cannot be changed")
async def _(api: Api) -> None:
    await api.setup("POST", api.path(GROUP, "events"), group_event(api, "e"))
    path = api.path(GROUP, "events", "e")
    for change in objects(
        {"regarding": {"name": "q"}}, {"reason": "Other"}, {"type": "Warning"}, {"action": "x"},
        {"reportingController": "x"}, {"reportingInstance": "y"}, {"eventTime": "2026-01-02T03:04:05.123457Z"},
        {"related": {"name": "q"}}, {"metadata": {"labels": {"a": "b"}}}, {"deprecatedCount": 2},
    ):  # fmt: skip
        await api.ask("PATCH", path, change, "merge")
    await api.ask("GET", api.path(CORE, "events", "e"))
