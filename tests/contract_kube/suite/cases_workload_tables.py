"""Tables of the workload kinds: the columns, and the cells of objects in several states."""

from typing import Any, Final

from contract_harness import Api, Cases

CASES: Final = Cases()

TABLE: Final = "application/json;as=Table;v=v1;g=meta.k8s.io"
AT: Final = "2026-01-01T00:00:00Z"
POD: Final[dict[str, Any]] = {"containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "j"}]}
TASK: Final[dict[str, Any]] = {"template": {"spec": POD | {"restartPolicy": "Never"}}}
CONTROLLED: Final[dict[str, Any]] = {"selector": {"matchLabels": {"a": "b"}}}
TEMPLATE: Final[dict[str, Any]] = {"metadata": {"labels": {"a": "b", "c": "d"}}, "spec": POD}


def _conditions(*kinds: str) -> list[dict[str, Any]]:
    return [{"type": kind, "status": "True", "lastTransitionTime": AT, "lastProbeTime": AT} for kind in kinds]


async def _shown(api: Api, path: str, *, age: bool) -> None:
    if age:
        api.scrub(r"^\d+(y\d*d?|d)$", "<long ago>")
    await api.ask("GET", path, accept=TABLE)
    await api.ask("GET", path, accept=TABLE, includeObject="None")


@CASES.case("table of jobs: by their conditions, completions and times")
async def _(api: Api) -> None:
    path = api.path("batch/v1", "jobs")
    jobs: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "new": ({}, {}),
        "many": ({"completions": 5, "parallelism": 2}, {"startTime": AT, "active": 2, "succeeded": 1}),
        "open": ({"parallelism": 5}, {"startTime": AT, "active": 5}),
        "one": ({"parallelism": 1}, {}),
        "done": (
            {},
            {
                "startTime": AT, "completionTime": "2026-01-01T00:01:05Z", "succeeded": 1,
                "conditions": _conditions("Complete", "SuccessCriteriaMet"),
            },
        ),
        "lost": ({}, {"startTime": AT, "conditions": _conditions("Failed", "FailureTarget")}),
        "losing": ({}, {"startTime": AT, "active": 1, "conditions": _conditions("FailureTarget")}),
        "winning": ({}, {"startTime": AT, "active": 1, "conditions": _conditions("SuccessCriteriaMet")}),
        "paused": ({"suspend": True}, {"conditions": _conditions("Suspended")}),
    }  # fmt: skip
    for name, (spec, status) in jobs.items():
        await api.setup("POST", path, {"metadata": {"name": name}, "spec": TASK | spec})
        # Even an empty report would make a version of a Job's first state in the original.
        await api.setup("PATCH", f"{path}/{name}/status", {"status": status or {"ready": 0}}, "merge")
    await api.setup("POST", path, {"metadata": {"name": "going", "finalizers": ["a.b/c"]}, "spec": TASK})
    await api.setup("DELETE", f"{path}/going", propagationPolicy="Background")
    await _shown(api, path, age=True)


@CASES.case("table of cron jobs: by zone, suspension and last run")
async def _(api: Api) -> None:
    path = api.path("batch/v1", "cronjobs")
    spec = {"schedule": "@daily", "jobTemplate": {"spec": TASK}}
    await api.setup("POST", path, {"metadata": {"name": "new"}, "spec": spec})
    await api.setup("POST", path, {"metadata": {"name": "old"}, "spec": spec | {"timeZone": "UTC", "suspend": True}})
    status = {"lastScheduleTime": AT, "active": [{"kind": "Job", "name": "a"}, {"kind": "Job", "name": "b"}]}
    await api.setup("PATCH", f"{path}/old/status", {"status": status}, "merge")
    await _shown(api, path, age=True)


@CASES.case("table of stateful sets and daemon sets: by their counts")
async def _(api: Api) -> None:
    stateful, daemons = api.path("apps/v1", "statefulsets"), api.path("apps/v1", "daemonsets")
    for path in (stateful, daemons):
        for name in ("new", "old"):
            pod = TEMPLATE if name == "new" else TEMPLATE | {"spec": POD | {"nodeSelector": {"x": "y", "p": "q"}}}
            await api.setup("POST", path, {"metadata": {"name": name}, "spec": CONTROLLED | {"template": pod}})
    counts: dict[str, Any] = {"replicas": 3, "readyReplicas": 2, "availableReplicas": 1}
    await api.setup("PATCH", f"{stateful}/old/status", {"status": counts}, "merge")
    words = (
        "desiredNumberScheduled", "currentNumberScheduled", "numberReady", "updatedNumberScheduled", "numberAvailable",
    )  # fmt: skip
    status = {word: 5 - number for number, word in enumerate(words)}
    await api.setup("PATCH", f"{daemons}/old/status", {"status": status}, "merge")
    for path in (stateful, daemons):
        await _shown(api, path, age=False)


@CASES.case("table of controller revisions and pod templates: by owner, containers and labels")
async def _(api: Api) -> None:
    revisions, templates = api.path("apps/v1", "controllerrevisions"), api.path("v1", "podtemplates")
    owner: dict[str, Any] = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "z", "uid": "q"}
    for name, owners in (("free", []), ("held", [owner | {"controller": True}]), ("known", [owner])):
        body = {"metadata": {"name": name, "ownerReferences": owners}, "data": {}, "revision": 3}
        await api.setup("POST", revisions, body)
    await api.setup("POST", templates, {"metadata": {"name": "t"}, "template": TEMPLATE})
    await api.setup("POST", templates, {"metadata": {"name": "u"}, "template": {"spec": POD}})
    for path in (revisions, templates):
        await _shown(api, path, age=False)
