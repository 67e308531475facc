"""Server-side apply of a custom resource that is served in several versions: each manager owns at its own."""

from typing import Any, Final

import orjson

from contract_harness import Api, Cases
from contract_harness.custom import DEFINITIONS, define, definition, gone

CASES: Final = Cases()
GROUP: Final = "manyversions.example.com"
STRING: Final = {"type": "string"}
LIST: Final = {"type": "array", "items": STRING, "x-kubernetes-list-type": "set"}


def version(name: str, spec: dict[str, Any], *, storage: bool = False, served: bool = True) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": spec}}}
    return {"name": name, "served": served, "storage": storage, "schema": {"openAPIV3Schema": schema}}


BOTH: Final = {"a": STRING, "b": STRING, "m": {"type": "object", "additionalProperties": STRING}}
V1: Final = {**BOTH, "list": {"type": "array", "items": STRING}, "old": STRING}
V2: Final = {**BOTH, "list": LIST, "new": STRING}


def sheets(*versions: dict[str, Any]) -> dict[str, Any]:
    found = definition(GROUP, "Sheet", {"type": "object"})
    return {**found, "spec": {**found["spec"], "versions": list(versions)}}


TWO: Final = sheets(version("v1", V1, storage=True), version("v2", V2))


def sheet(number: int, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": f"{GROUP}/v{number}", "kind": "Sheet", "metadata": {"name": "s"}, "spec": spec}


def homes(home: str) -> tuple[str, str]:
    """Return the collection at v1 and at v2."""
    return home, home.replace(f"{GROUP}/v1/", f"{GROUP}/v2/")


async def apply(api: Api, home: str, number: int, spec: dict[str, Any], manager: str, **more: Any) -> None:
    path, body = homes(home)[number - 1], {**sheet(number, spec), "kind": more.pop("kind", "Sheet")}
    await api.ask("PATCH", f"{path}/s", body, "apply", fieldManager=manager, **more)


@CASES.case("apply over versions: two managers own at two versions")
async def _(api: Api) -> None:
    home = await define(api, TWO)
    await apply(api, home, 1, {"a": "1", "list": ["x"], "m": {"k": "v"}}, "one")
    await apply(api, home, 2, {"b": "1", "m": {"l": "v"}}, "two")
    await api.ask("GET", f"{homes(home)[0]}/s")
    await api.ask("GET", f"{homes(home)[1]}/s")


@CASES.case("apply over versions: a conflict across versions names the field")
async def _(api: Api) -> None:
    home = await define(api, TWO)
    await apply(api, home, 1, {"a": "1", "list": ["x"]}, "one")
    await apply(api, home, 2, {"a": "2", "list": ["y"]}, "two")
    await apply(api, home, 2, {"a": "2", "list": ["y"]}, "two", force="true")
    await apply(api, home, 1, {"a": "1"}, "one")


@CASES.case("apply over versions: a manager goes from one version to the next")
async def _(api: Api) -> None:
    home = await define(api, TWO)
    await apply(api, home, 1, {"a": "1", "b": "1", "list": ["x", "y"], "old": "o"}, "one")
    await apply(api, home, 2, {"a": "1", "list": ["x"], "new": "n"}, "one")
    await apply(api, home, 1, {"b": "2"}, "one")


@CASES.case("apply over versions: an update at the other version takes what it changes")
async def _(api: Api) -> None:
    home = await define(api, TWO)
    await apply(api, home, 1, {"a": "1", "b": "1", "list": ["x", "y"]}, "one")
    _, second = homes(home)
    await api.ask("PATCH", f"{second}/s", {"spec": {"a": "2", "list": ["x", "z"]}}, "merge", fieldManager="two")
    await api.ask("PATCH", f"{home}/s", {"spec": {"b": "2"}}, "merge", fieldManager="two")
    await apply(api, home, 1, {"b": "1"}, "one", force="true")


@CASES.case("apply over versions: what only the storage version knows is lost on the way")
async def _(api: Api) -> None:
    home = await define(api, TWO)
    await apply(api, home, 2, {"new": "n", "a": "1"}, "two")
    await apply(api, home, 1, {"old": "o"}, "one")
    await api.ask("GET", f"{homes(home)[1]}/s")
    await api.ask("PATCH", f"{homes(home)[1]}/s", {"spec": {"b": "2"}}, "merge", fieldManager="three")
    await api.ask("GET", f"{home}/s")


@CASES.case("apply over versions: a version shows the fields that it knows")
async def _(api: Api) -> None:
    home = await define(api, TWO)
    await api.ask("POST", home, sheet(1, {"a": "1", "old": "o"}))
    for path in homes(home):
        await api.ask("GET", f"{path}/s")
    await api.ask("PATCH", f"{homes(home)[1]}/s", {"spec": {"new": "n"}}, "merge", fieldManager="two")
    await api.ask("PATCH", f"{home}/s", {"spec": {"old": "p"}}, "merge", fieldManager="three")
    await api.ask("GET", f"{home}/s")


@CASES.case("apply over versions: what one version lets by is no field of the other")
async def _(api: Api) -> None:
    home = await define(api, TWO)
    await apply(api, home, 2, {"new": "n", "a": "1"}, "two")
    await apply(api, home, 2, {"new": "m", "b": "1"}, "three")
    await apply(api, home, 1, {"b": "2"}, "one", force="true")
    await apply(api, home, 2, {"a": "2"}, "two")


async def narrowed(api: Api, plural: str) -> str:
    """Return where objects lie that managers own at a version which is no more."""
    kind = plural.title()[:-1]
    text = orjson.dumps(TWO).replace(b"sheet", kind.lower().encode()).replace(b"Sheet", kind.encode())
    wanted = orjson.loads(text)
    home = await define(api, wanted)
    await apply(api, home, 2, {"a": "1"}, "two", kind=kind)
    await apply(api, home, 1, {"b": "1"}, "one", kind=kind)
    path = f"{DEFINITIONS}/{wanted['metadata']['name']}"
    live = (await api.ask("GET", path, record=False)).body
    live["spec"]["versions"] = [version("v1", V1, storage=True)]
    await api.setup("PUT", path, live)
    await gone(api, homes(home)[1])
    return home


@CASES.case("apply over versions: an apply cannot judge owners at a version that is gone")
async def _(api: Api) -> None:
    home = await narrowed(api, "stems")
    await apply(api, home, 1, {"a": "3"}, "one", kind="Stem")
    await apply(api, home, 1, {"a": "3"}, "one", kind="Stem", force="true")
    await api.ask("GET", f"{home}/s")


@CASES.case("apply over versions: owners at a version that is gone are forgotten")
async def _(api: Api) -> None:
    home = await narrowed(api, "leaves")
    await api.ask("PATCH", f"{home}/s", {"spec": {"b": "2"}}, "merge", fieldManager="three")
    await apply(api, home, 1, {"a": "3"}, "one", kind="Leave")
