"""watch: where it begins, what comes, and how it ends."""

from functools import partial
from typing import Any, Final

from contract_harness import Api, Cases

CASES: Final = Cases()
END: Final = {"timeoutSeconds": "1"}


async def make(api: Api, name: str, **labels: str) -> str:
    body = {"metadata": {"name": name, "labels": labels}}
    made = await api.setup("POST", api.path("v1", "configmaps"), body)
    return str(made["metadata"]["resourceVersion"])


async def change(api: Api, name: str, patch: Any) -> None:
    await api.setup("PATCH", api.path("v1", "configmaps", name), patch, "merge")


@CASES.case("a watch from a version gives what came after, once and in order")
async def _(api: Api) -> None:
    version = await make(api, "a")
    await make(api, "b")
    async with api.watch(api.path("v1", "configmaps"), resourceVersion=version) as watch:
        await watch.events(1)
        await change(api, "a", {"data": {"x": "y"}})
        await api.setup("DELETE", api.path("v1", "configmaps", "b"))
        await make(api, "c")
        await watch.events(3)


@CASES.case("a watch without a version begins with what is there")
async def _(api: Api) -> None:
    await make(api, "a")
    async with api.watch(api.path("v1", "configmaps")) as watch:
        await watch.events(1)
        await make(api, "b")
        await watch.events(1)


@CASES.case("a watch from version zero begins with what is there")
async def _(api: Api) -> None:
    await make(api, "a")
    await api.setup("GET", api.path("v1", "configmaps"))  # So that the original's cache has it.
    async with api.watch(api.path("v1", "configmaps"), resourceVersion="0") as watch:
        await watch.events(1)
        await change(api, "a", {"data": {"x": "y"}})
        await watch.events(1)


@CASES.case("objects enter and leave the selector of a watch")
async def _(api: Api) -> None:
    version = await make(api, "a", on="no")
    async with api.watch(api.path("v1", "configmaps"), resourceVersion=version, labelSelector="on=yes") as watch:
        await change(api, "a", {"metadata": {"labels": {"on": "yes"}}})
        await watch.events(1)
        await change(api, "a", {"data": {"x": "y"}})
        await watch.events(1)
        await change(api, "a", {"metadata": {"labels": {"on": "no"}}})
        await watch.events(1)
        await change(api, "a", {"metadata": {"labels": {"on": "yes"}}})
        await api.setup("DELETE", api.path("v1", "configmaps", "a"))
        await watch.events(2)


@CASES.case("a watch of one name by a field selector sees only that")
async def _(api: Api) -> None:
    version = await make(api, "a")
    home = api.path("v1", "configmaps")
    async with api.watch(home, resourceVersion=version, fieldSelector="metadata.name=b") as watch:
        await make(api, "c")
        await make(api, "b")
        await watch.events(1)


@CASES.case("a pod leaves the watch of a phase")
async def _(api: Api) -> None:
    home = api.path("v1", "pods")
    spec = {"containers": [{"name": "x", "image": "y"}]}
    made = await api.setup("POST", home, {"metadata": {"name": "p"}, "spec": spec})
    version = made["metadata"]["resourceVersion"]
    async with api.watch(home, resourceVersion=version, fieldSelector="status.phase=Pending") as watch:
        await api.setup("PATCH", f"{home}/p/status", {"status": {"phase": "Running"}}, "merge")
        await watch.events(1)


@CASES.case("initial events end in a bookmark that says so")
async def _(api: Api) -> None:
    await make(api, "a")
    await make(api, "b")
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    async with api.watch(api.path("v1", "configmaps"), **query) as watch:
        await watch.events(3)
        await make(api, "c")
        await watch.events(1)


@CASES.case("initial events end in a bookmark of the form that was asked for")
async def _(api: Api) -> None:
    await make(api, "a")
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    for accept in ("Table", "PartialObjectMetadata"):
        form = f"application/json;as={accept};v=v1;g=meta.k8s.io"
        async with api.watch(api.path("v1", "configmaps"), accept=form, **query) as watch:
            await watch.events(2)


@CASES.case("a watch as a Table sends its columns once")
async def _(api: Api) -> None:
    await make(api, "a")
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io"
    for include in ({}, {"includeObject": "None"}, {"includeObject": "Object"}):
        async with api.watch(api.path("v1", "configmaps"), accept=accept, **include) as watch:
            await watch.events(1)
            await change(api, "a", {"data": {"x": include.get("includeObject", "")}})
            await watch.events(1)


@CASES.case("a watch as metadata sends metadata")
async def _(api: Api) -> None:
    await make(api, "a")
    accept = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
    async with api.watch(api.path("v1", "configmaps"), accept=accept) as watch:
        await watch.events(1)
        await api.setup("DELETE", api.path("v1", "configmaps", "a"))
        await watch.events(1)


@CASES.case("a watch from the first version goes on from there, as long as the history reaches back")
async def _(api: Api) -> None:
    # Of a resource that few cases write: the original forgets after a hundred changes.
    async with api.watch(api.path("v1", "limitranges"), resourceVersion="1", **END) as watch:
        taken = await watch.events(1)
        api.note(code=taken[0]["object"].get("code") if taken else None)


REFUSED: Final[dict[str, dict[str, str]]] = {
    "a watch from a bad version": {"resourceVersion": "x"},
    "a watch with a bad selector": {"labelSelector": "a=b=c"},
    "a watch with a bad field": {"fieldSelector": "spec.x=1"},
    "a watch with a bad timeout": {"timeoutSeconds": "x"},
    "initial events without a match": {"sendInitialEvents": "true"},
    "initial events with an exact match": {"sendInitialEvents": "true", "resourceVersionMatch": "Exact"},
    "initial events without bookmarks": {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", **END},
    "no initial events": {
        "sendInitialEvents": "false", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true", **END,
    },
    "a match without initial events": {"resourceVersionMatch": "NotOlderThan", "resourceVersion": "0"},
    "initial events that are no truth": {"sendInitialEvents": "x", "resourceVersionMatch": "NotOlderThan", **END},
    "a watch with a limit": {"limit": "1", **END},
    "a watch with a continue token": {"continue": "abc", **END},
}  # fmt: skip


async def begun(api: Api, *, query: dict[str, str]) -> None:
    await make(api, "a")
    async with api.watch(api.path("v1", "configmaps"), **query) as watch:
        await watch.rest()


for sentence, query in REFUSED.items():
    CASES.many(sentence, partial(begun, query=query))


@CASES.case("a watch of one object by its path is that of its name")
async def _(api: Api) -> None:
    await make(api, "a")
    await make(api, "b")
    async with api.watch(api.path("v1", "configmaps", "a")) as watch:
        await watch.events(1)


@CASES.case("the old path of watches still answers")
async def _(api: Api) -> None:
    await make(api, "a")
    async with api.watch(f"/api/v1/watch/namespaces/{api.namespace}/configmaps") as watch:
        await watch.events(1)
    async with api.watch(f"/api/v1/watch/namespaces/{api.namespace}/configmaps/a") as watch:
        await watch.events(1)


@CASES.case("a reader may watch what it may list")
async def _(api: Api) -> None:
    async with api.watch(api.path("v1", "secrets"), user="viewer", **END) as watch:
        await watch.rest()


@CASES.case("an update that changes nothing is no event and no new version")
async def _(api: Api) -> None:
    version = await make(api, "a")
    async with api.watch(api.path("v1", "configmaps"), resourceVersion=version) as watch:
        await api.ask("PATCH", api.path("v1", "configmaps", "a"), {}, "merge")
        await change(api, "a", {"data": {"x": "y"}})
        await api.ask("PATCH", api.path("v1", "configmaps", "a"), {"data": {"x": "y"}}, "merge")
        await make(api, "b")
        await watch.events(2)


@CASES.case("a watch sees the finalizer, the deletion's mark and the end")
async def _(api: Api) -> None:
    home = api.path("v1", "configmaps")
    made = await api.setup("POST", home, {"metadata": {"name": "a", "finalizers": ["x.io/y"]}})
    async with api.watch(home, resourceVersion=made["metadata"]["resourceVersion"]) as watch:
        await api.setup("DELETE", f"{home}/a")
        await watch.events(1)
        await change(api, "a", {"metadata": {"finalizers": None}})
        await watch.events(1)
