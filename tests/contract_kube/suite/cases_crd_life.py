"""The life of a definition: established, changed, served in several versions, and gone with its resources."""

from typing import Final

from cases_custom_resources import PLAIN, STRING, TABLE
from contract_harness import Api, Cases
from contract_harness.custom import DEFINITIONS, causes, define, definition, gone, until

CASES: Final = Cases()


@CASES.case("a definition is established, and its resources go with it")
async def _(api: Api) -> None:
    wanted = definition("short.example.com", "Brief")
    await api.ask("POST", DEFINITIONS, wanted)
    home = await define(api, wanted)
    await api.ask("GET", f"{DEFINITIONS}/briefs.short.example.com")
    await api.setup("POST", home, {"apiVersion": "short.example.com/v1", "kind": "Brief", "metadata": {"name": "a"}})
    async with api.watch(home) as watch:
        await watch.events(1)
        await api.ask("DELETE", f"{DEFINITIONS}/briefs.short.example.com")
        await watch.events(1)
        await watch.rest()
    await gone(api, f"{DEFINITIONS}/briefs.short.example.com")
    await gone(api, home)
    await api.ask("GET", home)
    await api.ask("GET", "/apis/short.example.com")


@CASES.case("what an established definition is called does not change")
async def _(api: Api) -> None:
    await define(api, PLAIN)
    name = "plains.plain.example.com"
    for spec in ({"scope": "Cluster"}, {"names": {"kind": "Other"}}, {"names": {"plural": "others"}}):
        answer = await api.ask("PATCH", f"{DEFINITIONS}/{name}", {"spec": spec}, "merge", record=False)
        api.note(code=answer.code, causes=causes(answer.body))
    current = await api.setup("GET", f"{DEFINITIONS}/{name}")
    bare = {**current, "metadata": {"name": name}}
    await api.ask("PUT", f"{DEFINITIONS}/{name}", bare)


@CASES.case("a definition remembers the versions in which objects may lie")
async def _(api: Api) -> None:
    wanted = definition("moved.example.com", "Moved")
    later = {**wanted["spec"]["versions"][0], "name": "v2", "storage": False}
    wanted["spec"]["versions"].append(later)
    await define(api, wanted)
    path = f"{DEFINITIONS}/moveds.moved.example.com"
    swap = [{"op": "replace", "path": f"/spec/versions/{index}/storage", "value": bool(index)} for index in (0, 1)]
    await api.ask("PATCH", path, swap, "json")
    drop = [{"op": "remove", "path": "/spec/versions/0"}]
    await api.ask("PATCH", path, drop, "json")
    await api.ask("PATCH", f"{path}/status", {"status": {"storedVersions": ["v2"]}}, "merge")
    await api.ask("PATCH", path, drop, "json")
    await api.ask("DELETE", path)
    await gone(api, path)


@CASES.case("a definition takes new names where they are free")
async def _(api: Api) -> None:
    wanted = definition("renamed.example.com", "Renamed")
    await define(api, wanted)
    path = f"{DEFINITIONS}/renameds.renamed.example.com"
    names = {"shortNames": ["rn"], "singular": "other", "listKind": "Others", "categories": ["all"]}
    await api.ask("PATCH", path, {"spec": {"names": names}}, "merge")
    await until(api, path, lambda answer: answer.body["status"]["acceptedNames"].get("singular") == "other")
    await api.ask("GET", path)
    await api.ask("GET", path, accept=TABLE, includeObject="None")
    await api.ask("DELETE", path)
    await gone(api, path)


@CASES.case("two definitions of a group do not share names")
async def _(api: Api) -> None:
    first = definition("shared.example.com", "First")
    first["spec"]["names"]["shortNames"] = ["fs"]
    await define(api, first)
    second = definition("shared.example.com", "Second")
    second["spec"]["names"] |= {"shortNames": ["fs"], "singular": "first"}
    await api.setup("POST", DEFINITIONS, second)
    path = f"{DEFINITIONS}/seconds.shared.example.com"
    await until(api, path, lambda answer: bool(answer.body["status"]["conditions"]))
    await api.ask("GET", path)
    await api.ask("GET", api.path("shared.example.com/v1", "seconds"))
    await api.ask("DELETE", path)


@CASES.case("a custom resource is served in each of its versions")
async def _(api: Api) -> None:
    wanted = definition("many.example.com", "Many", {"type": "object", "properties": {"spec": {
        "type": "object", "properties": {"a": STRING, "d": {"type": "string", "default": "one"}}}}})  # fmt: skip
    fields = {"a": STRING, "d": {"type": "string", "default": "two"}, "e": {"type": "integer", "default": 2}}
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": fields}}}
    later = {"name": "v2", "served": True, "storage": False, "schema": {"openAPIV3Schema": schema}}
    old = {
        "name": "v1beta1",
        "served": True,
        "storage": False,
        "deprecated": True,
        "schema": {"openAPIV3Schema": schema},
    }
    hidden = {**old, "name": "v1alpha1", "served": False, "deprecationWarning": "no more"}
    wanted["spec"]["versions"] += [later, {**old, "deprecationWarning": "use v2"}, hidden]
    home = await define(api, wanted)
    two, beta = home.replace("/v1/", "/v2/"), home.replace("/v1/", "/v1beta1/")
    await api.ask("GET", "/apis/many.example.com")
    await api.ask("POST", home, {
        "apiVersion": "many.example.com/v1", "kind": "Many", "metadata": {"name": "a"}, "spec": {"a": "x"},
    })  # fmt: skip
    for path in (home, two, beta):
        await api.ask("GET", f"{path}/a")
    await api.ask("POST", two, {
        "apiVersion": "many.example.com/v2", "kind": "Many", "metadata": {"name": "b"}, "spec": {"a": "x"},
    })  # fmt: skip
    await api.ask("GET", f"{home}/b")
    await api.ask("PATCH", f"{two}/b", {"spec": {"a": "y"}}, "merge")
    await api.ask("GET", f"{home}/b")
    await api.ask("GET", home.replace("/v1/", "/v1alpha1/"))
