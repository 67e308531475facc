"""DaemonSets: defaults, what is refused, what may change, and the count of templates in an annotation."""

from functools import partial
from typing import Any, Final

from contract_harness import Api, Cases

CASES: Final = Cases()

GENERATION: Final = "deprecated.daemonset.template.generation"
TEMPLATE: Final[dict[str, Any]] = {
    "metadata": {"labels": {"app": "agent"}},
    "spec": {"containers": [{"name": "agent", "image": "agent:1"}]},
}
SPEC: Final[dict[str, Any]] = {"selector": {"matchLabels": {"app": "agent"}}, "template": TEMPLATE}


def manifest(name: str = "agent", annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, **({"annotations": annotations} if annotations else {})}
    return {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": metadata, "spec": SPEC | spec}


def sets(api: Api, *rest: str) -> str:
    return api.path("apps/v1", "daemonsets", *rest)


def rolling(**limits: Any) -> dict[str, Any]:
    return manifest(updateStrategy={"rollingUpdate": limits})


MADE: Final[dict[str, dict[str, Any]]] = {
    "a small one": manifest(),
    "one with dots in its name": manifest("a.b"),
    "one that counts from seven": manifest(annotations={GENERATION: "7"}),
    "one that waits for deletions": manifest(updateStrategy={"type": "OnDelete"}),
    "one that waits and has limits": manifest(updateStrategy={"type": "OnDelete", "rollingUpdate": {}}),
    "one that surges": rolling(maxUnavailable=0, maxSurge="10%"),
    "one with everything": manifest(
        minReadySeconds=3, revisionHistoryLimit=1, updateStrategy={"rollingUpdate": {"maxUnavailable": "50%"}}
    ),
}
REFUSED: Final[dict[str, dict[str, Any]]] = {
    "nothing": {"metadata": {"name": "agent"}, "spec": {}},
    "a name in capitals": manifest("Abc"),
    "a count that is no number": manifest(annotations={GENERATION: "xx"}),
    "an unknown strategy": manifest(updateStrategy={"type": "X"}),
    "limits of nothing": rolling(maxUnavailable=0),
    "both limits": rolling(maxUnavailable=1, maxSurge=1),
    "a surge beside the default": rolling(maxSurge=1),
    "more than all": rolling(maxUnavailable="120%"),
    "less than none": rolling(maxUnavailable=-1),
    "no percentage": rolling(maxUnavailable="abc"),
    "negative numbers": manifest(minReadySeconds=-1, revisionHistoryLimit=-1),
    "an empty selector": manifest(selector={}),
    "a selector of others": manifest(selector={"matchLabels": {"x": "y"}}),
    "a selector with a bad operator": manifest(selector={"matchExpressions": [{"key": "a", "operator": "Foo"}]}),
    "a selector with a bad key": manifest(
        selector={"matchLabels": {"a b": "c"}}, template=TEMPLATE | {"spec": {"containers": [{"name": "A_"}]}}
    ),
    "pods that end": manifest(
        template=TEMPLATE | {"spec": TEMPLATE["spec"] | {"restartPolicy": "OnFailure", "activeDeadlineSeconds": 5}}
    ),
}
CHANGES: Final[dict[str, Any]] = {
    "its selector": {"spec": {"selector": {"matchLabels": {"app": "x"}}}},
    "its selector to none": {"spec": {"selector": None}},
    "its template": {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 3}}}},
    "its strategy": {"spec": {"updateStrategy": {"type": "OnDelete"}}},
    "its patience to less than none": {"spec": {"minReadySeconds": -2}},
    "its patience": {"spec": {"minReadySeconds": 2}},
    "the count of its templates": {"metadata": {"annotations": {GENERATION: "9"}}},
    "the count of its templates to none": {"metadata": {"annotations": {GENERATION: None}}},
    "a label that is none": {"metadata": {"labels": {"a b": "c"}}},
}


async def _make(api: Api, body: dict[str, Any]) -> None:
    await api.ask("POST", sets(api), body, dryRun="All", fieldManager="m")


async def _change(api: Api, change: dict[str, Any]) -> None:
    await api.setup("POST", sets(api), manifest(), fieldManager="m")
    await api.ask("PATCH", sets(api, "agent"), change, "merge", fieldManager="n")


for word, body in MADE.items():
    CASES.many(f"daemon set: {word} is made", partial(_make, body=body))
for word, body in REFUSED.items():
    CASES.many(f"daemon set: {word} is refused", partial(_make, body=body))
for word, change in CHANGES.items():
    CASES.many(f"daemon set: a change of {word}", partial(_change, change=change))


@CASES.case("daemon set: a replacement keeps the count of templates, another template raises it")
async def _(api: Api) -> None:
    await api.setup("POST", sets(api), manifest(), fieldManager="m")
    await api.ask("PUT", sets(api, "agent"), manifest(), fieldManager="p")
    other = TEMPLATE | {"spec": {"containers": [{"name": "agent", "image": "agent:2"}]}}
    await api.ask("PUT", sets(api, "agent"), manifest(template=other), fieldManager="p")


@CASES.case("daemon set: apply makes one and changes its template")
async def _(api: Api) -> None:
    await api.ask("PATCH", sets(api, "agent"), manifest(), "apply", fieldManager="a")
    other = TEMPLATE | {"spec": {"containers": [{"name": "agent", "image": "agent:2"}]}}
    await api.ask("PATCH", sets(api, "agent"), manifest(template=other), "apply", fieldManager="a")
    await api.ask("PATCH", sets(api, "agent"), manifest(minReadySeconds=3), "apply", fieldManager="b")


@CASES.case("daemon set: it has no scale")
async def _(api: Api) -> None:
    await api.setup("POST", sets(api), manifest(), fieldManager="m")
    await api.ask("GET", sets(api, "agent", "scale"))
    await api.ask("DELETE", sets(api, "agent"))
