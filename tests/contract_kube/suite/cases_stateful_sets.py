"""StatefulSets: defaults, what is refused, what may change, patches of each type, scale and tables."""

from functools import partial
from typing import Any, Final

from contract_harness import Api, Cases

CASES: Final = Cases()

TEMPLATE: Final[dict[str, Any]] = {
    "metadata": {"labels": {"app": "db"}},
    "spec": {"containers": [{"name": "db", "image": "db:1"}]},
}
CLAIM: Final[dict[str, Any]] = {
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}
SPEC: Final[dict[str, Any]] = {"selector": {"matchLabels": {"app": "db"}}, "serviceName": "db", "template": TEMPLATE}


def manifest(name: str = "db", **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": name}, "spec": SPEC | spec}


def template(**spec: Any) -> dict[str, Any]:
    return TEMPLATE | {"spec": TEMPLATE["spec"] | spec}


def sets(api: Api, *rest: str) -> str:
    return api.path("apps/v1", "statefulsets", *rest)


MADE: Final[dict[str, dict[str, Any]]] = {
    "a small one": manifest(),
    "one without a service": manifest(serviceName=""),
    "one that keeps its claims": manifest(volumeClaimTemplates=[CLAIM]),
    "one that mounts its claims": manifest(
        template=template(
            containers=[{"name": "db", "image": "db", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}]
        ),
        volumeClaimTemplates=[CLAIM],
    ),
    "one with everything": manifest(
        replicas=3, minReadySeconds=5, podManagementPolicy="Parallel", revisionHistoryLimit=2,
        updateStrategy={"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}, ordinals={"start": 2},
        persistentVolumeClaimRetentionPolicy={"whenDeleted": "Delete"},
    ),
    "one that keeps all its history": manifest(revisionHistoryLimit=-1),
    "one that waits for deletions": manifest(updateStrategy={"type": "OnDelete"}),
    "one whose limit is behind a gate": manifest(updateStrategy={"rollingUpdate": {"maxUnavailable": "120%"}}),
    "one whose template has a name": manifest(template=TEMPLATE | {"metadata": {"name": "x", "labels": {"app": "db"}}}),
    "one with ordinals that say nothing": manifest(ordinals={}),
    "one with unknown fields": manifest(replica=3, template=template(image="x")),
}  # fmt: skip
REFUSED: Final[dict[str, dict[str, Any]]] = {
    "nothing": {"metadata": {"name": "db"}, "spec": {}},
    "no spec": {"metadata": {"name": "db"}},
    "a service that is no label": manifest(serviceName="Bad_"),
    "a name with dots": manifest("a.b"),
    "a name too long": manifest("a" * 64),
    "a name in capitals": manifest("Abc"),
    "an unknown policy": manifest(podManagementPolicy="X"),
    "an unknown strategy": manifest(updateStrategy={"type": "X"}),
    "a strategy that rolls nothing": manifest(updateStrategy={"type": "OnDelete", "rollingUpdate": {"partition": 1}}),
    "a negative partition": manifest(updateStrategy={"rollingUpdate": {"partition": -1}}),
    "unknown retention": manifest(persistentVolumeClaimRetentionPolicy={"whenDeleted": "X", "whenScaled": "Y"}),
    "negative numbers": manifest(replicas=-1, minReadySeconds=-1, ordinals={"start": -1}),
    "an empty selector": manifest(selector={}),
    "a selector of others": manifest(selector={"matchLabels": {"x": "y"}}),
    "a selector with a bad key": manifest(selector={"matchLabels": {"a b": "y"}}),
    "a selector with a bad operator": manifest(selector={"matchExpressions": [{"key": "a", "operator": "Foo"}]}),
    "pods that end": manifest(template=template(restartPolicy="Never", activeDeadlineSeconds=5)),
    "a container without an image": manifest(template=template(containers=[{"name": "A_"}])),
    "bad labels in the template": manifest(
        template=TEMPLATE | {"metadata": {"labels": {"app": "db", "x y": "z"}, "annotations": {"q q": "r"}}}
    ),
    "a claim that asks for nothing": manifest(volumeClaimTemplates=[{"metadata": {"name": "Data_"}, "spec": {}}]),
    "claims of nonsense": manifest(
        volumeClaimTemplates=[
            {
                "metadata": {"name": "data"},
                "spec": {"accessModes": ["X"], "volumeMode": "Y", "resources": {"requests": {"storage": "-1"}}},
            },
            {"metadata": {"name": "data"}, "spec": CLAIM["spec"] | {"storageClassName": "A_"}},
        ]
    ),
    "replicas as text": manifest(replicas="three"),
    "a partition as text": manifest(updateStrategy={"rollingUpdate": {"partition": "1"}}),
}
CHANGES: Final[dict[str, Any]] = {
    "its selector": {"selector": {"matchLabels": {"app": "x"}}},
    "its service": {"serviceName": "other"},
    "its policy": {"podManagementPolicy": "Parallel"},
    "its policy to nonsense": {"podManagementPolicy": "X"},
    "its claims": {"volumeClaimTemplates": [CLAIM]},
    "its selector to none": {"selector": None},
    "its labels away from the selector": {"template": {"metadata": {"labels": {"app": "d"}}}},
    "its service and its replicas to less than none": {"serviceName": "other", "replicas": -1},
    "its strategy to nonsense": {"updateStrategy": {"type": "X"}},
    "what may change": {
        "replicas": 3, "minReadySeconds": 4, "ordinals": {"start": 3}, "revisionHistoryLimit": 2,
        "template": {"spec": {"terminationGracePeriodSeconds": 5}}, "updateStrategy": {"type": "OnDelete"},
        "persistentVolumeClaimRetentionPolicy": {"whenScaled": "Delete"},
    },
}  # fmt: skip


async def _make(api: Api, body: dict[str, Any]) -> None:
    await api.ask("POST", sets(api), body, dryRun="All", fieldManager="m")


async def _change(api: Api, spec: dict[str, Any]) -> None:
    await api.setup("POST", sets(api), manifest())
    await api.ask("PATCH", sets(api, "db"), {"spec": spec}, "merge", fieldManager="m")


for word, body in MADE.items():
    CASES.many(f"stateful set: {word} is made", partial(_make, body=body))
for word, body in REFUSED.items():
    CASES.many(f"stateful set: {word} is refused", partial(_make, body=body))
for word, change in CHANGES.items():
    CASES.many(f"stateful set: a change of {word}", partial(_change, spec=change))


@CASES.case("stateful set: every type of patch changes the template")
async def _(api: Api) -> None:
    await api.setup("POST", sets(api), manifest(), fieldManager="m")
    image = {"spec": {"template": {"spec": {"containers": [{"name": "db", "image": "db:2"}]}}}}
    await api.ask("PATCH", sets(api, "db"), image, "strategic", fieldManager="s")
    await api.ask("PATCH", sets(api, "db"), image, "merge", fieldManager="g")
    path = "/spec/template/spec/containers/0/image"
    await api.ask("PATCH", sets(api, "db"), [{"op": "replace", "path": path, "value": "x"}], "json", fieldManager="j")
    await api.ask("GET", sets(api, "db"))


@CASES.case("stateful set: apply makes, changes, conflicts and forces")
async def _(api: Api) -> None:
    await api.ask("PATCH", sets(api, "db"), manifest(replicas=2), "apply", fieldManager="a")
    await api.ask("PATCH", sets(api, "db"), manifest(replicas=3), "apply", fieldManager="b")
    await api.ask("PATCH", sets(api, "db"), manifest(replicas=3), "apply", fieldManager="b", force="true")
    await api.ask("PATCH", sets(api, "db"), manifest(volumeClaimTemplates=[CLAIM]), "apply", fieldManager="a")


@CASES.case("stateful set: scale reads and writes replicas")
async def _(api: Api) -> None:
    await api.setup("POST", sets(api), manifest(), fieldManager="m")
    await api.ask("GET", sets(api, "db", "scale"))
    await api.ask("PATCH", sets(api, "db", "scale"), {"spec": {"replicas": 4}}, "merge", fieldManager="s")
    body = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "db"}, "spec": {"replicas": -1}}
    await api.ask("PUT", sets(api, "db", "scale"), body)
    await api.ask("PATCH", sets(api, "db", "scale"), body | {"spec": {"replicas": 2}}, "apply", fieldManager="z")
    await api.ask("GET", sets(api, "db"))


@CASES.case("stateful set: a replacement without what is immutable is refused, a dry run changes nothing")
async def _(api: Api) -> None:
    made = await api.setup("POST", sets(api), manifest(volumeClaimTemplates=[CLAIM]), fieldManager="m")
    await api.ask("PUT", sets(api, "db"), manifest(), fieldManager="p")
    made["spec"]["replicas"] = 7
    await api.ask("PUT", sets(api, "db"), made, dryRun="All", fieldManager="p")
    await api.ask("GET", sets(api, "db"))
    await api.ask("DELETE", sets(api, "db"), propagationPolicy="Foreground")
