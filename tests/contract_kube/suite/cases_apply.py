"""Server-side apply: who owns what after each step, and who conflicts with whom."""

from functools import partial
from typing import Any, Final

from contract_harness import Api, Cases

CASES: Final = Cases()


def config(**data: str) -> dict[str, Any]:
    body: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    return {**body, "data": data} if data else body


async def apply(api: Api, body: Any, manager: str, **query: Any) -> None:
    await api.ask("PATCH", api.path("v1", "configmaps", "c"), body, "apply", fieldManager=manager, **query)


@CASES.case("an apply creates, and its manager owns what it states")
async def _(api: Api) -> None:
    await apply(api, config(a="1", b="2"), "one")


@CASES.case("another manager's apply of another value conflicts, and with force takes the field")
async def _(api: Api) -> None:
    await apply(api, config(a="1", b="2"), "one")
    await apply(api, config(a="3"), "two")
    await apply(api, config(a="3"), "two", force="true")
    await apply(api, config(b="2"), "one")
    await apply(api, config(), "two")


@CASES.case("an apply needs a field manager")
async def _(api: Api) -> None:
    await api.ask("PATCH", api.path("v1", "configmaps", "c"), config(a="1"), "apply")


LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"


@CASES.case("an apply that changes nothing is no new version, and a second manager shares what it states too")
async def _(api: Api) -> None:
    await apply(api, config(a="1"), "one")
    await apply(api, config(a="1"), "one")
    await apply(api, config(a="1"), "two")
    await apply(api, config(a="1", b="2"), "two")
    await apply(api, config(b="2"), "two")
    await apply(api, config(a="1"), "one")


@CASES.case("a field that is applied no more goes, unless somebody else owns it")
async def _(api: Api) -> None:
    await apply(api, config(a="1", b="2", c="3"), "one")
    await apply(api, config(b="2"), "two")
    await apply(api, config(a="1"), "one")
    await apply(api, config(), "one")
    await apply(api, config(), "two")


@CASES.case("an update takes a field from who applied it, and an apply takes it back by force")
async def _(api: Api) -> None:
    path = api.path("v1", "configmaps", "c")
    await apply(api, config(a="1", b="2"), "one")
    await api.ask("PATCH", path, {"data": {"a": "9"}}, "merge", fieldManager="two")
    await apply(api, config(a="1", b="2"), "one")
    await apply(api, config(a="9", b="2"), "one")
    await apply(api, config(a="1", b="2"), "one", force="true")
    await api.ask("PATCH", path, {"data": {"b": None}}, "merge", fieldManager="two")
    await apply(api, config(a="1", b="2"), "one")


@CASES.case("an apply conflicts with two managers in one message")
async def _(api: Api) -> None:
    await apply(api, config(a="1", b="2"), "one")
    await apply(api, config(c="3"), "two")
    await apply(api, config(a="7", b="8"), "three")


@CASES.case("an apply over an object that nobody applied takes what it states alike")
async def _(api: Api) -> None:
    await api.setup("POST", api.path("v1", "configmaps"), {"metadata": {"name": "c"}, "data": {"a": "1"}})
    await apply(api, config(a="1", b="2"), "one")
    await apply(api, config(a="2"), "one")


@CASES.case("owners that were taken away come back as before-first-apply")
async def _(api: Api) -> None:
    path = api.path("v1", "configmaps", "c")
    await api.setup("POST", api.path("v1", "configmaps"), {"metadata": {"name": "c"}, "data": {"a": "1"}})
    await api.ask("PATCH", path, {"metadata": {"managedFields": [{}]}}, "merge")
    await api.ask("PATCH", path, {"data": {"z": "1"}}, "merge", fieldManager="two")
    await apply(api, config(a="1", b="2"), "one")
    await apply(api, config(a="3"), "one")


@CASES.case("a JSON patch of managedFields hands fields over")
async def _(api: Api) -> None:
    path = api.path("v1", "configmaps", "c")
    made = await api.setup(
        "POST", api.path("v1", "configmaps"), {"metadata": {"name": "c"}, "data": {"a": "1"}}, fieldManager="csa"
    )
    entry = {**made["metadata"]["managedFields"][0], "manager": "kubectl", "operation": "Apply"}
    await api.ask("PATCH", path, [{"op": "replace", "path": "/metadata/managedFields", "value": [entry]}], "json")
    await apply(api, config(b="2"), "kubectl")


@CASES.case("kubectl takes over what it applied on its own side before")
async def _(api: Api) -> None:
    text = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"data":{"a":"1","b":"2"}}\n'
    body = {"metadata": {"name": "c", "annotations": {LAST_APPLIED: text}}, "data": {"a": "1", "b": "2"}}
    await api.setup("POST", api.path("v1", "configmaps"), body, fieldManager="kubectl-client-side-apply")
    await apply(api, config(a="3", b="2"), "one")
    await apply(api, config(a="3", b="2"), "kubectl")
    await api.ask("GET", api.path("v1", "configmaps", "c"))


@CASES.case("the eleventh updater sends the oldest into ancient-changes")
async def _(api: Api) -> None:
    path = api.path("v1", "configmaps", "c")
    await api.setup(
        "POST", api.path("v1", "configmaps"), {"metadata": {"name": "c"}, "data": {"k0": "1"}}, fieldManager="m00"
    )
    for number in range(1, 13):
        await api.setup("PATCH", path, {"data": {f"k{number}": "1"}}, "merge", fieldManager=f"m{number:02}")
    found = await api.ask("GET", path, record=False)
    managers = sorted(entry["manager"] for entry in found.body["metadata"]["managedFields"])
    api.note(count=len(managers), ancient="ancient-changes" in managers)


@CASES.case("a dry run of an apply leaves nothing, and conflicts all the same")
async def _(api: Api) -> None:
    await apply(api, config(a="1"), "one", dryRun="All")
    await api.ask("GET", api.path("v1", "configmaps", "c"))
    await apply(api, config(a="1"), "one")
    await apply(api, config(a="2"), "two", dryRun="All")
    await apply(api, config(a="2"), "two", dryRun="All", force="true")
    await api.ask("GET", api.path("v1", "configmaps", "c"))


REFUSED: Final[dict[str, tuple[Any, dict[str, str]]]] = {
    "bytes that are no YAML": (b"a: [", {}),
    "a list": (b"[]", {}),
    "a text": (b"x", {}),
    "an empty body": (b"", {}),
    "an object without a kind": ({"metadata": {"name": "c"}}, {}),
    "an object without a version": ({"kind": "ConfigMap", "metadata": {"name": "c"}}, {}),
    "another kind": ({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "c"}}, {}),
    "another version": ({"apiVersion": "v2", "kind": "ConfigMap", "metadata": {"name": "c"}}, {}),
    "another name": ({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "d"}}, {}),
    "another namespace": ({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "x"}}, {}),
    "no name": ({"apiVersion": "v1", "kind": "ConfigMap"}, {}),
    "managedFields": ({**config(a="1"), "metadata": {"name": "c", "managedFields": [{}]}}, {}),
    "a resourceVersion": ({**config(a="1"), "metadata": {"name": "c", "resourceVersion": "1"}}, {}),
    "a uid": ({**config(a="1"), "metadata": {"name": "c", "uid": "00000000-0000-0000-0000-000000000000"}}, {}),
    "a number for a text": ({**config(), "data": {"a": 1}}, {}),
    "a text for a map": ({**config(), "data": "x"}, {}),
    "an unknown field": ({**config(a="1"), "foo": 1}, {}),
    "an unknown field, strictly": ({**config(a="1"), "foo": 1}, {"fieldValidation": "Strict"}),
    "an unknown field, ignored": ({**config(a="1"), "foo": 1}, {"fieldValidation": "Ignore"}),
    "a null": ({**config(), "data": {"a": None, "b": "1"}}, {}),
    "an empty map": ({**config(), "data": {}}, {}),
    "bad labels": ({**config(), "metadata": {"name": "c", "labels": {"a b": "c"}}}, {}),
    "a bad key": ({**config(), "data": {"a/b": "c"}}, {}),
    "a bad force": (config(a="1"), {"force": "maybe"}),
    "labels and annotations": (
        {**config(), "metadata": {"name": "c", "labels": {"a": "b"}, "annotations": {"c": "d"}}}, {},
    ),
    "finalizers": ({**config(), "metadata": {"name": "c", "finalizers": ["x.io/a", "x.io/b"]}}, {}),
}  # fmt: skip


async def applied(api: Api, *, body: Any, query: dict[str, str], exists: bool) -> None:
    if exists:
        await api.setup("POST", api.path("v1", "configmaps"), {"metadata": {"name": "c"}, "data": {"z": "1"}})
    path = api.path("v1", "configmaps", "c")
    await api.ask("PATCH", path, body, "apply", query={"fieldManager": "one", **query})


for name, (body, query) in REFUSED.items():
    CASES.many(f"an apply that makes an object, of {name}", partial(applied, body=body, query=query, exists=False))
    CASES.many(f"an apply to what is there, of {name}", partial(applied, body=body, query=query, exists=True))


@CASES.case("an apply in JSON and in YAML is one")
async def _(api: Api) -> None:
    await apply(api, "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c\ndata:\n  a: '1'\n", "one")
    await apply(api, config(a="1"), "one")
