"""Pages, versions and forms of lists and watches, where they meet: a client that pages, resumes and filters."""

from functools import partial
from typing import Any, Final

from contract_harness import Api, Cases

CASES: Final = Cases()
TABLE: Final = "application/json;as=Table;v=v1;g=meta.k8s.io"
METADATA: Final = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
END: Final = {"timeoutSeconds": "1"}


async def five(api: Api) -> list[str]:
    """Make ConfigMaps a to e, of which every other one is labelled; returns their versions."""
    home = api.path("v1", "configmaps")
    made = [
        await api.setup("POST", home, {"metadata": {"name": name, "labels": {"odd": str(index % 2)}}})
        for index, name in enumerate("abcde")
    ]
    await api.setup("GET", home)  # Until then the original's cache, which answers at version 0, may lag behind.
    return [obj["metadata"]["resourceVersion"] for obj in made]


async def paged(api: Api, *, accept: str, query: dict[str, Any]) -> None:
    await five(api)
    home, token = api.path("v1", "configmaps"), ""
    for _ in range(4):
        page = await api.ask("GET", home, accept=accept, query=query | {"continue": token} if token else query)
        token = page.body.get("metadata", {}).get("continue", "")
        if not token:
            break


PAGED: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "pages of a Table": (TABLE, {"limit": 2}),
    "pages of a Table without objects": (TABLE, {"limit": 2, "includeObject": "None"}),
    "pages of metadata": (METADATA, {"limit": 2}),
    "pages as YAML": ("application/yaml", {"limit": 3}),
    "pages of what a label selects": ("", {"limit": 1, "labelSelector": "odd=1"}),
    "pages of what a field selects": ("", {"limit": 1, "fieldSelector": "metadata.name!=b"}),
    "pages of what nothing selects": ("", {"limit": 1, "labelSelector": "odd=2"}),
    "pages of one name": ("", {"limit": 1, "fieldSelector": "metadata.name=b"}),
    "pages of one name and a label": ("", {"limit": 1, "fieldSelector": "metadata.name=b", "labelSelector": "odd=0"}),
    "pages from version zero that a label selects": (
        TABLE,
        {"limit": 1, "resourceVersion": "0", "labelSelector": "odd"},
    ),
    "a page as large as the list": ("", {"limit": 5}),
    "a page larger than the list": ("", {"limit": 500}),
    "pages from version zero": ("", {"limit": 2, "resourceVersion": "0"}),
}
for sentence, (accept, query) in PAGED.items():
    CASES.many(sentence, partial(paged, accept=accept, query=query))


@CASES.case("a page goes on by another limit and another selector, from where it was")
async def _(api: Api) -> None:
    await five(api)
    home = api.path("v1", "configmaps")
    first = await api.ask("GET", home, limit=2)
    token = first.body["metadata"]["continue"]
    await api.ask("GET", home, query={"continue": token, "limit": 1})
    await api.ask("GET", home, query={"continue": token})
    await api.ask("GET", home, query={"continue": token, "labelSelector": "odd=1"})
    await api.ask("GET", api.path("v1", "secrets"), query={"continue": token})


@CASES.case("pages over all namespaces go on where they were")
async def _(api: Api) -> None:
    await five(api)
    await api.setup("POST", "/api/v1/namespaces", {"metadata": {"name": api.unique("other")}})
    other = f"/api/v1/namespaces/{api.unique('other')}/configmaps"
    for name in "ab":
        await api.setup("POST", other, {"metadata": {"name": name, "labels": {"odd": "1", "here": api.namespace}}})
    await api.setup(
        "PATCH", api.path("v1", "configmaps", "c"), {"metadata": {"labels": {"here": api.namespace}}}, "merge"
    )
    token = ""
    for _ in range(4):
        query = {"limit": 1, "labelSelector": f"here={api.namespace}"} | ({"continue": token} if token else {})
        page = await api.setup("GET", "/api/v1/configmaps", query=query)
        api.note(names=[(item["metadata"]["name"]) for item in page["items"]], more="continue" in page["metadata"])
        token = page["metadata"].get("continue", "")
        if not token:
            break


@CASES.case("what is deleted between two pages is still on the second")
async def _(api: Api) -> None:
    await five(api)
    home = api.path("v1", "configmaps")
    first = await api.ask("GET", home, limit=3)
    await api.setup("DELETE", f"{home}/d")
    await api.setup("PATCH", f"{home}/e", {"data": {"x": "y"}}, "merge")
    await api.ask("GET", home, query={"continue": first.body["metadata"]["continue"], "limit": 3})
    await api.ask("GET", home)


@CASES.case("a list not older than a version, and one at exactly it, in pages")
async def _(api: Api) -> None:
    versions = await five(api)
    home = api.path("v1", "configmaps")
    await api.ask("GET", home, resourceVersion=versions[2], resourceVersionMatch="NotOlderThan", limit=2)
    exact = await api.ask("GET", home, resourceVersion=versions[2], resourceVersionMatch="Exact", limit=2)
    token = exact.body["metadata"]["continue"]
    await api.ask("GET", home, query={"continue": token, "limit": 2})
    await api.ask("GET", home, query={"continue": token, "resourceVersion": versions[2]})
    await api.ask("GET", home, query={"continue": token, "resourceVersion": "0"})


@CASES.case("a watch goes on from the version of each page alike")
async def _(api: Api) -> None:
    await five(api)
    home = api.path("v1", "configmaps")
    first = await api.setup("GET", home, query={"limit": 2})
    await api.setup("POST", home, {"metadata": {"name": "f"}})
    second = await api.setup("GET", home, query={"limit": 2, "continue": first["metadata"]["continue"]})
    api.note(one_version=first["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"])
    async with api.watch(home, resourceVersion=second["metadata"]["resourceVersion"]) as watch:
        await watch.events(1)


@CASES.case("a watch from the version of an object does not tell of that write again")
async def _(api: Api) -> None:
    versions = await five(api)
    home = api.path("v1", "configmaps")
    async with api.watch(home, resourceVersion=versions[2]) as watch:
        await watch.events(2)
    async with api.watch(home, resourceVersion=versions[4], **END) as watch:
        await watch.rest()


@CASES.case("a watch of labels from an old version tells what entered and left since")
async def _(api: Api) -> None:
    versions = await five(api)
    home = api.path("v1", "configmaps")
    await api.setup("PATCH", f"{home}/a", {"metadata": {"labels": {"odd": "1"}}}, "merge")
    await api.setup("PATCH", f"{home}/b", {"metadata": {"labels": {"odd": "0"}}}, "merge")
    await api.setup("DELETE", f"{home}/d")
    await api.setup("DELETE", f"{home}/c")
    async with api.watch(home, resourceVersion=versions[4], labelSelector="odd=1") as watch:
        await watch.events(3)


@CASES.case("one that is deleted and made again is two events and another uid")
async def _(api: Api) -> None:
    versions = await five(api)
    home = api.path("v1", "configmaps")
    await api.setup("DELETE", f"{home}/a")
    await api.setup("POST", home, {"metadata": {"name": "a"}})
    async with api.watch(home, resourceVersion=versions[4], fieldSelector="metadata.name=a") as watch:
        await watch.events(2)


@CASES.case("initial events of a selector, and the bookmark after them")
async def _(api: Api) -> None:
    await five(api)
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}
    for selector in ({"labelSelector": "odd=1"}, {"fieldSelector": "metadata.name=c"}, {"labelSelector": "odd=2"}):
        async with api.watch(api.path("v1", "configmaps"), **query, **selector) as watch:
            await watch.events({"odd=1": 3, "metadata.name=c": 2}.get(next(iter(selector.values())), 1))


@CASES.case("a deleted collection is one event for each, and gone from the next list")
async def _(api: Api) -> None:
    versions = await five(api)
    home = api.path("v1", "configmaps")
    async with api.watch(home, resourceVersion=versions[4]) as watch:
        await api.setup("DELETE", home, labelSelector="odd=0")
        seen = [event["object"]["metadata"]["name"] for event in await watch.events(3)]
        watch.seen.clear()
        api.note(names=sorted(seen))
    await api.ask("GET", home)


@CASES.case("a HEAD and an OPTIONS of a list and of one object")
async def _(api: Api) -> None:
    await five(api)
    for method in ("HEAD", "OPTIONS"):
        for path in (api.path("v1", "configmaps"), api.path("v1", "configmaps", "a")):
            await api.ask(method, path)
