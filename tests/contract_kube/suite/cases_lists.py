"""get and list: label and field selectors, pages, and the version that a list is to stand for."""

import base64
import json
from functools import partial
from typing import Any, Final

from contract_harness import Api, Cases

CASES: Final = Cases()


def token(**fields: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")


async def three(api: Api) -> list[str]:
    """Make ConfigMaps a, b and c; returns their versions."""
    home = api.path("v1", "configmaps")
    made = [
        await api.setup(
            "POST", home, {"metadata": {"name": name, "labels": {"n": name, "kind": "test", "num": str(i)}}}
        )
        for i, name in enumerate(("a", "b", "c"))
    ]
    await api.setup("GET", home)  # Until then the original's cache, which answers at version 0, may lag behind.
    return [obj["metadata"]["resourceVersion"] for obj in made]


async def listed(api: Api, *, query: dict[str, Any]) -> None:
    await three(api)
    await api.ask("GET", api.path("v1", "configmaps"), query={"labelSelector": "kind=test"} | query)


LABELS: Final = (
    "n=a", "n==a", "n!=a", "n", "!n", "n in (a, b)", "n notin (a)", "n in ()", "n in (a,)", "num>0", "num<2", "num>x",
    "num>1.5", "n=", "n in (a),num>0", " n = a ", "n=a,", ",n=a", "=a", "n=a b", "a/b/c=d", "A_/n=a", "n=%", "n in a)",
    "n in (a", "n notin", "(n)", "n=a,,kind", "n>", "!", "n in (a b)", "n=" + "x" * 64, "n==", "n=!a", "!n=a", "n a",
)  # fmt: skip
FIELDS: Final = (
    "metadata.name=b", "metadata.name==b", "metadata.name!=b", "metadata.namespace=x",
    "metadata.name=b,metadata.name=c",
    "metadata.name", "=b", "spec.x=1", "metadata.labels=x", "metadata.name=a\\,b", "metadata.name=a\\", "a b=c",
    "metadata.name=b,", ",metadata.name=b", "metadata.name=a=b", "metadata.name>a", "!metadata.name", "",
)  # fmt: skip
for selector in LABELS:
    CASES.many(f"a list by the labels {selector[:20]!r}", partial(listed, query={"labelSelector": selector}))
for selector in FIELDS:
    CASES.many(f"a list by the fields {selector!r}", partial(listed, query={"fieldSelector": selector}))

SELECTABLE: Final[dict[str, tuple[str, str, tuple[str, ...]]]] = {
    "pods": (
        "v1",
        "pods",
        (
            "spec.nodeName=x", "spec.restartPolicy=Always", "spec.schedulerName=x", "spec.serviceAccountName=x",
            "spec.hostNetwork=false", "status.phase=Running", "status.podIP=1.1.1.1", "status.podIPs=1.1.1.1",
            "status.nominatedNodeName=x", "spec.priority=0",
        ),
    ),
    "services": ("v1", "services", ("spec.clusterIP=None", "spec.type=ClusterIP", "spec.x=1")),
    "secrets": ("v1", "secrets", ("type=Opaque", "data=x")),
    "events": (
        "v1",
        "events",
        (
            "involvedObject.kind=Pod", "involvedObject.namespace=x", "involvedObject.name=x", "involvedObject.uid=x",
            "involvedObject.apiVersion=v1", "involvedObject.resourceVersion=1", "involvedObject.fieldPath=x",
            "reason=x", "reportingComponent=x", "source=x", "type=Warning", "action=x",
        ),
    ),
    "replica sets": ("apps/v1", "replicasets", ("status.replicas=0", "spec.replicas=0")),
    "deployments": ("apps/v1", "deployments", ("status.replicas=0", "metadata.name=x")),
}  # fmt: skip


async def selected(api: Api, *, api_version: str, plural: str, selectors: tuple[str, ...]) -> None:
    for selector in selectors:
        await api.ask("GET", api.path(api_version, plural), fieldSelector=selector)


for kind, (api_version, plural, selectors) in SELECTABLE.items():
    CASES.many(
        f"the fields by which {kind} are selected",
        partial(selected, api_version=api_version, plural=plural, selectors=selectors),
    )


@CASES.case("the fields by which nodes and namespaces are selected")
async def _(api: Api) -> None:
    await api.ask("GET", "/api/v1/nodes", fieldSelector=f"spec.unschedulable=true,metadata.name={api.unique('n')}")
    await api.ask("GET", "/api/v1/nodes", fieldSelector="spec.podCIDR=x")
    await api.ask("GET", "/api/v1/namespaces", fieldSelector=f"status.phase=Active,metadata.name={api.namespace}")
    await api.ask("GET", "/api/v1/namespaces", fieldSelector="spec.x=1")


@CASES.case("pods are selected by phase, node and restart policy")
async def _(api: Api) -> None:
    home = api.path("v1", "pods")
    for name, policy in (("a", "Always"), ("b", "Never")):
        spec = {"containers": [{"name": "x", "image": "y"}], "restartPolicy": policy, "nodeName": f"node-{name}"}
        await api.setup("POST", home, {"metadata": {"name": name}, "spec": spec})
    for selector in ("spec.restartPolicy=Never", "status.phase!=Pending", "spec.nodeName=node-a,status.phase=Pending"):
        await api.ask("GET", home, fieldSelector=selector)


QUERIES: Final[dict[str, dict[str, Any]]] = {
    "a limit of one": {"limit": "1"},
    "a limit of zero": {"limit": "0"},
    "a limit below zero": {"limit": "-1"},
    "a limit beyond 64 bits": {"limit": str(2**64)},
    "a limit that is no number": {"limit": "x"},
    "an empty limit": {"limit": ""},
    "a limit without a selector": {"limit": "2", "labelSelector": ""},
    "a forged continue token": {"continue": "abc", "limit": "1"},
    "a continue token of the future": {"continue": token(v="meta.k8s.io/v1", rv=999999999, start="a\0")},
    "a continue token in no base64": {"continue": "a=!", "limit": "1"},
    "a continue token of another version": {"continue": token(v="v9", rv=1, start="a")},
    "a continue token that leads elsewhere": {"continue": token(v="meta.k8s.io/v1", rv=1, start="../../secrets")},
    "a continue token without a start": {"continue": token(v="meta.k8s.io/v1", rv=1)},
    "a continue token without a version": {"continue": token(v="meta.k8s.io/v1", start="a")},
    "a continue token with a resourceVersion": {"continue": "abc", "resourceVersion": "5"},
    "a resourceVersion of zero": {"resourceVersion": "0"},
    "a resourceVersion that is no number": {"resourceVersion": "x"},
    "a resourceVersion below zero": {"resourceVersion": "-1"},
    "a resourceVersion in the future": {"resourceVersion": "999999999"},
    "a match without a resourceVersion": {"resourceVersionMatch": "Exact"},
    "a match that is no word": {"resourceVersionMatch": "Some", "resourceVersion": "1"},
    "an exact match at zero": {"resourceVersionMatch": "Exact", "resourceVersion": "0"},
    "a match not older than zero": {"resourceVersionMatch": "NotOlderThan", "resourceVersion": "0"},
    "an exact match in the future": {"resourceVersionMatch": "Exact", "resourceVersion": "999999999"},
    "an exact match long ago": {"resourceVersionMatch": "Exact", "resourceVersion": "1"},
    "initial events without a watch": {"sendInitialEvents": "true"},
    "a timeout of a list": {"timeoutSeconds": "5"},
    "a timeout that is no number": {"timeoutSeconds": "x"},
    "a watch that is no truth": {"watch": "maybe", "resourceVersion": "x"},
    "bookmarks of a list": {"allowWatchBookmarks": "true"},
    "an unknown option": {"foo": "bar"},
}
for sentence, query in QUERIES.items():
    CASES.many(f"{sentence}, in a list", partial(listed, query=query))


@CASES.case("pages follow each other, count what remains, and stand for one version")
async def _(api: Api) -> None:
    await three(api)
    home = api.path("v1", "configmaps")
    first = await api.ask("GET", home, limit=1)
    await api.setup("POST", home, {"metadata": {"name": "bb"}})
    second = await api.ask("GET", home, query={"limit": 1, "continue": first.body["metadata"]["continue"]})
    await api.ask("GET", home, query={"limit": 1, "continue": second.body["metadata"]["continue"]})
    await api.ask("GET", home, query={"continue": first.body["metadata"]["continue"], "resourceVersion": "1"})
    await api.ask(
        "GET", home, query={"continue": first.body["metadata"]["continue"], "resourceVersionMatch": "NotOlderThan"}
    )


@CASES.case("a list at an exact version is that of then")
async def _(api: Api) -> None:
    versions = await three(api)
    home = api.path("v1", "configmaps")
    await api.setup("DELETE", f"{home}/a")
    await api.setup("PATCH", f"{home}/b", {"data": {"x": "y"}}, "merge")
    for version in versions:
        await api.ask("GET", home, resourceVersion=version, resourceVersionMatch="Exact")
    await api.ask("GET", home, resourceVersion=versions[0], resourceVersionMatch="NotOlderThan")
    await api.ask("GET", home, resourceVersion=versions[1], resourceVersionMatch="Exact", limit=1)
    await api.ask("GET", home, resourceVersion=versions[2])


GETS: Final[dict[str, dict[str, Any]]] = {
    "a get at version zero": {"resourceVersion": "0"},
    "a get at a bad version": {"resourceVersion": "x"},
    "a get in the future": {"resourceVersion": "999999999"},
    "a get with a pretty body": {"pretty": "true"},
    "a get with an unknown option": {"export": "true", "exact": "true"},
}


async def got(api: Api, *, query: dict[str, Any]) -> None:
    await three(api)
    await api.ask("GET", api.path("v1", "configmaps", "a"), query=query)


for sentence, query in GETS.items():
    CASES.many(sentence, partial(got, query=query))


@CASES.case("an empty list has items")
async def _(api: Api) -> None:
    await api.ask("GET", api.path("v1", "configmaps"))
    await api.ask("GET", api.path("apps/v1", "deployments"))


@CASES.case("a list over all namespaces finds those selected")
async def _(api: Api) -> None:
    home = api.path("v1", "configmaps")
    await api.setup("POST", home, {"metadata": {"name": "a", "labels": {"home": api.namespace}}})
    await api.ask("GET", "/api/v1/configmaps", labelSelector=f"home={api.namespace}")
    await api.ask("GET", "/api/v1/configmaps", fieldSelector=f"metadata.namespace={api.namespace}")
    await api.ask("GET", "/api/v1/configmaps/a")
    await api.ask("POST", "/api/v1/configmaps", {"metadata": {"name": "a"}})


@CASES.case("a list in a namespace that is not there is empty")
async def _(api: Api) -> None:
    await api.ask("GET", f"/api/v1/namespaces/{api.unique('none')}/configmaps")
    await api.ask("GET", f"/api/v1/namespaces/{api.unique('none')}/configmaps/a")
