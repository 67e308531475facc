"""ControllerRevisions and PodTemplates: what they need, what may change, and warnings about names of pods."""

import json
from functools import partial
from typing import Any, Final

from contract_harness import Api, Cases

CASES: Final = Cases()

POD: Final[dict[str, Any]] = {"containers": [{"name": "c", "image": "i"}]}


def revisions(api: Api, *rest: str) -> str:
    return api.path("apps/v1", "controllerrevisions", *rest)


def templates(api: Api, *rest: str) -> str:
    return api.path("v1", "podtemplates", *rest)


REVISIONS: Final[dict[str, Any]] = {
    "data and number": {"data": {"a": {"b": 1}}, "revision": 1},
    "no data": {"revision": 2},
    "no number": {"data": {"a": 1}},
    "a negative number": {"data": {"a": 1}, "revision": -1},
    "data that is text": {"data": "x", "revision": 1},
    "data that is a list": {"data": [1], "revision": 1},
    "data that is a number": {"data": 5, "revision": 1},
    "data that is null": {"data": None, "revision": 1},
    "data of nothing": {"data": {}, "revision": 1},
    "a number as text": {"data": {}, "revision": "1"},
}
TEMPLATES: Final[dict[str, Any]] = {
    "labels and a pod": {"template": {"metadata": {"labels": {"a": "b"}}, "spec": POD}},
    "nothing": {},
    "a pod that ends": {"template": {"spec": POD | {"restartPolicy": "Never"}}},
    "nonsense": {
        "template": {
            "metadata": {"labels": {"a b": "c"}}, "spec": {"containers": [{"name": "A_"}], "restartPolicy": "X"}
        }
    },
}  # fmt: skip


async def _make_revision(api: Api, body: dict[str, Any]) -> None:
    await api.ask("POST", revisions(api), {"metadata": {"name": "r"}} | body, dryRun="All", fieldManager="m")


async def _make_template(api: Api, body: dict[str, Any]) -> None:
    await api.ask("POST", templates(api), {"metadata": {"name": "t"}} | body, dryRun="All", fieldManager="m")


for word, body in REVISIONS.items():
    CASES.many(f"controller revision: one of {word}", partial(_make_revision, body=body))
for word, body in TEMPLATES.items():
    CASES.many(f"pod template: one of {word}", partial(_make_template, body=body))


@CASES.case("controller revision: its number may change, its data may not")
async def _(api: Api) -> None:
    # Compact: the original keeps data as it was sent, and a patch writes it anew without spaces.
    body = {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": {"name": "r"}}
    text = json.dumps(body | {"data": {"a": {"b": 1}}, "revision": 1}, separators=(",", ":"))
    made = await api.setup("POST", revisions(api), text, "application/json", fieldManager="m")
    for change in ({"revision": 7}, {"revision": -7, "data": None}, {"data": {"a": {"c": 2}}}):
        await api.ask("PATCH", revisions(api, "r"), change, "merge", fieldManager="n")
    await api.ask("PATCH", revisions(api, "r"), {"metadata": {"labels": {"a": "b"}}}, "strategic", fieldManager="n")
    await api.ask("PATCH", revisions(api, "r"), {"data": {"a": {"c": 2}}}, "strategic", fieldManager="n")
    del made["metadata"]["resourceVersion"]
    put = json.dumps(made | {"revision": 3}, separators=(",", ":"))
    await api.ask("PUT", revisions(api, "r"), put, "application/json", fieldManager="p")
    await api.ask("DELETE", revisions(api, "r"))


@CASES.case("controller revision: apply makes one")
async def _(api: Api) -> None:
    body = {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": {"name": "r"}, "revision": 3}
    await api.ask("PATCH", revisions(api, "r"), body | {"data": {"a": 1}}, "apply", fieldManager="a")
    await api.ask("PATCH", revisions(api, "r"), body | {"data": {"a": 2}}, "apply", fieldManager="a")
    await api.ask("PATCH", revisions(api, "r"), body | {"data": {"a": 2}}, "apply", fieldManager="b")


@CASES.case("pod template: a change of it makes a new generation")
async def _(api: Api) -> None:
    await api.setup("POST", templates(api), {"metadata": {"name": "t"}, "template": {"spec": POD}}, fieldManager="m")
    change = {"template": {"metadata": {"labels": {"a": "c"}}}}
    await api.ask("PATCH", templates(api, "t"), change, "merge", fieldManager="n")
    await api.ask("PATCH", templates(api, "t"), {"metadata": {"labels": {"a b": "c"}}}, "merge", fieldManager="n")
    await api.ask("DELETE", templates(api, "t"))


async def _dotted(api: Api, plural: str) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": POD}
    body = {"metadata": {"name": "a.b"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}
    await api.ask("POST", api.path("apps/v1", plural), body, fieldManager="m")
    await api.ask("PATCH", api.path("apps/v1", plural, "a.b"), {"spec": {"minReadySeconds": 1}}, "merge")


async def _mislabelled(api: Api, plural: str) -> None:
    labels = {"a": "b", "x y": "z"}
    template = {"metadata": {"labels": labels, "annotations": {"q q": "r"}}, "spec": POD | {"restartPolicy": "Never"}}
    for selector in ({"matchLabels": {"a": "b"}}, {"matchLabels": {"a b": "b"}}, {}):
        body = {"metadata": {"name": "w"}, "spec": {"selector": selector, "template": template}}
        await api.ask("POST", api.path("apps/v1", plural), body)


for plural in ("deployments", "replicasets", "daemonsets", "statefulsets"):
    CASES.many(f"{plural}: a name with dots is told of, or refused", partial(_dotted, plural=plural))
    CASES.many(f"{plural}: faults of the template, by selector", partial(_mislabelled, plural=plural))
