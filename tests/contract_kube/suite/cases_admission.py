"""Admission: what limit ranges, quotas and classes make of a write, and refuse it for."""

import asyncio
from typing import Any, Final

from contract_harness import Api, Cases, objects

CASES: Final = Cases()
CLASSES: Final = "/apis/scheduling.k8s.io/v1/priorityclasses"
STORAGE: Final = "/apis/storage.k8s.io/v1/storageclasses"
_TRIES: Final = 200


def pod(name: str = "p", *, requests: Any = None, limits: Any = None, **spec: Any) -> dict[str, Any]:
    resources = {key: value for key, value in (("requests", requests), ("limits", limits)) if value is not None}
    container = {"name": "c", "image": "x:1", **({"resources": resources} if resources else {})}
    return {"metadata": {"name": name}, "spec": {"containers": [container], **spec}}


async def heard(api: Api, path: str, body: dict[str, Any], code: int) -> None:
    """Wait until the original's admission has heard of what was set up: a dry run is answered so."""
    for _ in range(_TRIES):
        answer = await api.ask("POST", path, body, dryRun="All", record=False)
        if answer.code == code:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{api.side}: {path}: never {code}")


async def ranged(api: Api, *limits: dict[str, Any]) -> str:
    """Make a limit range, and return the path of pods once it holds: no pod may ask for 999 cores."""
    bound = {"type": "Container", "max": {"cpu": "900"}, "default": {"cpu": "1"}, "defaultRequest": {"cpu": "100m"}}
    items = limits or (bound,)
    await api.setup("POST", api.path("v1", "limitranges"), {"metadata": {"name": "r"}, "spec": {"limits": list(items)}})
    path = api.path("v1", "pods")
    await heard(api, path, pod("probe", requests={"cpu": "999"}, limits={"cpu": "999"}), 403)
    return path


async def counted(api: Api, hard: dict[str, str], used: dict[str, str], **spec: Any) -> None:
    """Make a quota with a status, since nobody counts here."""
    path = api.path("v1", "resourcequotas")
    await api.setup("POST", path, {"metadata": {"name": "q"}, "spec": {"hard": hard, **spec}})
    await api.setup(
        "PATCH", f"{path}/q/status", {"status": {"hard": hard, "used": used}}, "merge", fieldManager="counter"
    )


@CASES.case("a pod gets the limits of its namespace's range, and says so")
async def _(api: Api) -> None:
    path = await ranged(api, {"type": "Container", "max": {"cpu": "900", "memory": "1Gi"}, "default": {"cpu": "1"},
                              "defaultRequest": {"cpu": "100m", "memory": "64Mi"}})  # fmt: skip
    await api.ask("POST", path, pod("bare"))
    await api.ask("POST", path, pod("own", requests={"cpu": "50m"}, limits={"memory": "128Mi"}))
    await api.ask(
        "POST", path, pod("full", requests={"cpu": "1", "memory": "1Mi"}, limits={"cpu": "1", "memory": "2Mi"})
    )
    more = [{"name": "i", "image": "x:1"}]
    await api.ask("POST", path, pod("init", initContainers=more))
    await api.ask("PATCH", f"{path}/bare", {"metadata": {"annotations": {"a": "b"}}}, "merge")


@CASES.case("a pod beyond its namespace's range is refused, with every reason")
async def _(api: Api) -> None:
    path = await ranged(
        api, {"type": "Container", "max": {"cpu": "2"}, "min": {"cpu": "100m"}, "default": {"cpu": "1"}}
    )
    for amounts in objects(
        {"limits": {"cpu": "3"}}, {"requests": {"cpu": "50m"}},
        {"requests": {"cpu": "50m"}, "limits": {"cpu": "60m"}},
        {"requests": {"cpu": "3"}, "limits": {"cpu": "4"}}, {"requests": {"cpu": "1"}}, {},
    ):  # fmt: skip
        await api.ask("POST", path, pod(**amounts), dryRun="All")
    named = {"metadata": {"generateName": "gen-"}, "spec": pod(limits={"cpu": "3"})["spec"]}
    api.scrub(r'"gen-\w{5}"', '"gen-x"')
    answer = await api.ask("POST", path, named, record=False)
    api.note(code=answer.code, kind=answer.body["details"]["kind"], message=answer.body["message"])


@CASES.case("a pod must not let its limits lie too far over its requests")
async def _(api: Api) -> None:
    path = await ranged(api, {"type": "Container", "max": {"cpu": "900"}, "maxLimitRequestRatio": {"memory": "2"}})
    for amounts in objects(
        {"requests": {"memory": "1Gi"}, "limits": {"memory": "2Gi"}},
        {"requests": {"memory": "1Gi"}, "limits": {"memory": "3Gi"}},
        {"limits": {"memory": "1Gi"}}, {"requests": {"memory": "1Gi"}}, {},
    ):  # fmt: skip
        await api.ask("POST", path, pod(**amounts), dryRun="All")


@CASES.case("a range holds all containers of a pod together, too")
async def _(api: Api) -> None:
    path = await ranged(api, {"type": "Pod", "max": {"cpu": "2"}, "min": {"memory": "1Mi"}})
    two = [{"name": name, "image": "x:1", "resources": {"limits": {"cpu": "1500m", "memory": "1Mi"}}} for name in "ab"]
    await api.ask("POST", path, {"metadata": {"name": "p"}, "spec": {"containers": two}}, dryRun="All")
    await api.ask("POST", path, {"metadata": {"name": "p"}, "spec": {"containers": two[:1]}}, dryRun="All")
    await api.ask("POST", path, pod(), dryRun="All")
    init = {"initContainers": [{**two[0], "name": "i", "resources": {"limits": {"cpu": "3", "memory": "1Mi"}}}]}
    await api.ask("POST", path, {"metadata": {"name": "p"}, "spec": {"containers": two[:1], **init}}, dryRun="All")


@CASES.case("a claim beyond its namespace's range is refused")
async def _(api: Api) -> None:
    bounds = {"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}}
    await ranged(api, {"type": "Container", "max": {"cpu": "900"}}, bounds)
    path = api.path("v1", "persistentvolumeclaims")
    for size in ("500Mi", "3Gi", "2Gi"):
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, "storageClassName": "x"}
        await api.ask("POST", path, {"metadata": {"name": "c"}, "spec": spec}, dryRun="All")


@CASES.case("a quota counts what is made, and refuses what is too much")
async def _(api: Api) -> None:
    hard = {"pods": "2", "requests.cpu": "1", "limits.memory": "1Gi", "count/pods": "5"}
    await counted(api, hard, {"pods": "0", "requests.cpu": "0", "limits.memory": "0", "count/pods": "0"})
    path, quota = api.path("v1", "pods"), api.path("v1", "resourcequotas", "q")
    await heard(api, path, pod("probe", requests={"cpu": "9"}, limits={"memory": "9Gi", "cpu": "9"}), 403)
    await api.ask("POST", path, pod("bare"))
    await api.ask("POST", path, pod("cpu", requests={"cpu": "1"}))
    await api.ask("POST", path, pod("one", requests={"cpu": "600m"}, limits={"memory": "300Mi"}))
    await api.ask("GET", quota)
    await api.ask("POST", path, pod("dry", requests={"cpu": "1m"}, limits={"memory": "1Mi"}), dryRun="All")
    await api.ask("GET", quota)
    await api.ask("POST", path, pod("two", requests={"cpu": "600m"}, limits={"memory": "800Mi"}))
    await api.ask("POST", path, pod("three", requests={"cpu": "100m"}, limits={"memory": "100Mi"}))
    await api.ask("POST", path, pod("four", requests={"cpu": "100m"}, limits={"memory": "100Mi"}))
    await api.ask("GET", quota)
    await api.ask("DELETE", f"{path}/one", gracePeriodSeconds=0)
    await api.ask("GET", quota)


@CASES.case("a quota that nobody has counted yet is in the way of nothing, one half counted of all")
async def _(api: Api) -> None:
    path = api.path("v1", "resourcequotas")
    await api.setup("POST", path, {"metadata": {"name": "q"}, "spec": {"hard": {"configmaps": "0"}}})
    await api.ask("POST", api.path("v1", "configmaps"), {"metadata": {"name": "a"}})
    await api.setup("PATCH", f"{path}/q/status", {"status": {"hard": {"configmaps": "0", "secrets": "1"}}}, "merge")
    await heard(api, api.path("v1", "configmaps"), {"metadata": {"name": "b"}}, 403)
    await api.ask("POST", api.path("v1", "configmaps"), {"metadata": {"name": "b"}})


@CASES.case("objects of any kind are counted by name")
async def _(api: Api) -> None:
    hard = {"configmaps": "1", "count/configmaps": "1", "count/deployments.apps": "0", "count/services": "9"}
    hard |= {"services": "1", "services.nodeports": "1", "services.loadbalancers": "0"}
    await counted(api, hard, dict.fromkeys(hard, "0"))
    await heard(api, api.path("v1", "services"), service("probe", 2, type="NodePort"), 403)
    for name in ("a", "b"):
        await api.ask("POST", api.path("v1", "configmaps"), {"metadata": {"name": name}})
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod()["spec"]}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    await api.ask("POST", api.path("apps/v1", "deployments"), {"metadata": {"name": "d"}, "spec": spec})
    await api.ask("POST", api.path("v1", "services"), service("two", 2, type="NodePort"))
    await api.ask("POST", api.path("v1", "services"), service("lb", 1, type="LoadBalancer"))
    await api.ask("POST", api.path("v1", "services"), service("one", 1, type="NodePort"))
    await api.ask(
        "PATCH", api.path("v1", "services", "one"), {"spec": {"ports": service("one", 2)["spec"]["ports"]}}, "merge"
    )
    await api.setup("PATCH", api.path("v1", "services", "one"), {"spec": {"type": "ClusterIP"}}, "merge")
    await api.ask("GET", api.path("v1", "resourcequotas", "q"))


def service(name: str, ports: int, **spec: Any) -> dict[str, Any]:
    found = [{"name": f"p{number}", "port": 80 + number} for number in range(ports)]
    return {"metadata": {"name": name}, "spec": {"ports": found, "selector": {"a": "b"}, **spec}}


@CASES.case("a quota with scopes counts the pods in them alone")
async def _(api: Api) -> None:
    await counted(api, {"pods": "0"}, {"pods": "0"}, scopes=["BestEffort", "NotTerminating"])
    path = api.path("v1", "pods")
    await heard(api, path, pod("probe"), 403)
    await api.ask("POST", path, pod("best"))
    await api.ask("POST", path, pod("some", requests={"cpu": "1m"}))
    await api.ask("POST", path, pod("brief", activeDeadlineSeconds=5))


@CASES.case("a quota of a priority class counts the pods of the class")
async def _(api: Api) -> None:
    name = api.unique("high")
    await api.setup("POST", CLASSES, {"metadata": {"name": name}, "value": 7})
    chosen = {"operator": "In", "scopeName": "PriorityClass", "values": [name]}
    await counted(api, {"pods": "0"}, {"pods": "0"}, scopeSelector={"matchExpressions": [chosen]})
    path = api.path("v1", "pods")
    await heard(api, path, pod("probe", priorityClassName=name), 403)
    await api.ask("POST", path, pod("high", priorityClassName=name))
    await api.ask("POST", path, pod("low"))


@CASES.case("claims are counted by number and size, and by class")
async def _(api: Api) -> None:
    hard = {
        "persistentvolumeclaims": "2",
        "requests.storage": "3Gi",
        "gold.storageclass.storage.k8s.io/requests.storage": "1Gi",
    }
    await counted(api, hard, dict.fromkeys(hard, "0"))
    path = api.path("v1", "persistentvolumeclaims")

    def claim(name: str, size: str, storage: str) -> dict[str, Any]:
        spec = {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": size}},
            "storageClassName": storage,
        }
        return {"metadata": {"name": name}, "spec": spec}

    await heard(api, path, claim("probe", "9Gi", "x"), 403)
    await api.ask("POST", path, claim("a", "2Gi", "gold"))
    await api.ask("POST", path, claim("b", "1Gi", "gold"))
    await api.ask("POST", path, claim("c", "5Gi", "iron"))
    await api.ask("GET", api.path("v1", "resourcequotas", "q"))


@CASES.case("a pod has the priority of its class")
async def _(api: Api) -> None:
    name, path = api.unique("never"), api.path("v1", "pods")
    await api.setup("POST", CLASSES, {"metadata": {"name": name}, "value": -3, "preemptionPolicy": "Never"})
    await heard(api, path, pod("probe", priorityClassName=name), 201)
    await api.ask("POST", path, pod("plain"))
    await api.ask("POST", path, pod("never", priorityClassName=name))
    await api.ask("POST", path, pod("critical", priorityClassName="system-node-critical"))
    for spec in objects({"priorityClassName": "none"}, {"priority": 5}, {"priorityClassName": name, "priority": 5},
                        {"priority": 0}, {"preemptionPolicy": "Never"}, {"runtimeClassName": "kata"}):  # fmt: skip
        await api.ask("POST", path, pod("odd", **spec), dryRun="All")


@CASES.case("there is one global default among the priority classes, and pods get it")
async def _(api: Api) -> None:
    name, path = api.unique("usual"), api.path("v1", "pods")
    await api.ask("POST", CLASSES, {"metadata": {"name": name}, "value": 42, "globalDefault": True})
    for _ in range(_TRIES):
        answer = await api.ask("POST", path, pod("probe"), dryRun="All", record=False)
        if answer.body["spec"]["priority"] == 42:
            break
        await asyncio.sleep(0.02)
    await api.ask("POST", path, pod("usual"))
    await api.ask("POST", CLASSES, {"metadata": {"name": api.unique("two")}, "value": 43, "globalDefault": True})
    await api.ask("PATCH", f"{CLASSES}/{name}", {"globalDefault": False}, "merge")
    await api.setup("DELETE", f"{CLASSES}/{name}")


@CASES.case("a claim without a class gets the default one")
async def _(api: Api) -> None:
    name, path = api.unique("usual"), api.path("v1", "persistentvolumeclaims")
    mark = {"storageclass.kubernetes.io/is-default-class": "true"}
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    await api.ask("POST", path, {"metadata": {"name": "before"}, "spec": spec})
    await api.setup("POST", STORAGE, {"metadata": {"name": name, "annotations": mark}, "provisioner": "example.com/p"})
    for _ in range(_TRIES):
        answer = await api.ask("POST", path, {"metadata": {"name": "probe"}, "spec": spec}, dryRun="All", record=False)
        if answer.body["spec"].get("storageClassName"):
            break
        await asyncio.sleep(0.02)
    await api.ask("POST", path, {"metadata": {"name": "after"}, "spec": spec}, fieldManager="m")
    await api.ask("POST", path, {"metadata": {"name": "none"}, "spec": {**spec, "storageClassName": ""}})
    await api.ask("PATCH", f"{path}/before", {"spec": {"storageClassName": name}}, "merge")
    await api.setup("DELETE", f"{STORAGE}/{name}")
