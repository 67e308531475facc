"""Discovery in all its forms, and paths that lead nowhere."""

from functools import partial
from itertools import groupby
from typing import Any, Final

from contract_harness import Answer, Api, Cases
from contract_harness.custom import define, definition, until
from midwatch_lab.kinds.resources import RESOURCES, Resource

CASES: Final = Cases()
AGGREGATED: Final = "application/json;g=apidiscovery.k8s.io;v={};as=APIGroupDiscoveryList"
JSON: Final = "application/json"


def trimmed(found: dict[str, Any], resource: Resource) -> dict[str, Any]:
    """Return an aggregated resource with the subresources that the lab has."""
    names = {sub.name for sub in resource.subresources}
    subs = [sub for sub in found.pop("subresources", []) if sub["subresource"] in names]
    return {**found, "subresources": subs}


async def group_of(api: Api, group: str, rows: list[Resource]) -> None:
    """Note a group as it is discovered, as far as the lab serves it."""
    version = rows[0].version
    root = f"/apis/{group}/{version}" if group else f"/api/{version}"
    whole = (await api.ask("GET", root, record=False)).body
    known = {name for row in rows for name in (row.plural, *(f"{row.plural}/{sub.name}" for sub in row.subresources))}
    listed = [one for one in whole["resources"] if one["name"] in known]
    api.note(**{**whole, "resources": listed})
    answer = await api.ask("GET", "/apis" if group else "/api", accept=AGGREGATED.format("v2"), record=False)
    items = [item for item in answer.body["items"] if item["metadata"].get("name", "") == group]
    for item in items:
        for one in item["versions"]:
            if one["version"] == version:
                by_name = {found["resource"]: found for found in one["resources"]}
                api.note(metadata=item["metadata"], freshness=one["freshness"])
                api.note(found=[trimmed(by_name[row.plural], row) for row in rows])


for (group, version), rows in groupby(sorted(RESOURCES, key=lambda row: (row.group, row.version)), key=lambda row: (
    row.group, row.version
)):  # fmt: skip
    if group != "metrics.k8s.io":
        # The metrics API is served by an add-on.
        sentence = f"discovery: {group or 'the core group'} {version}"
        CASES.many(sentence, partial(group_of, group=group, rows=sorted(rows, key=lambda row: row.plural)))

WELL_KNOWN: Final = ("apps", "events.k8s.io", "authentication.k8s.io", "authorization.k8s.io", "policy",
                     "apiextensions.k8s.io", "coordination.k8s.io", "discovery.k8s.io")  # fmt: skip


@CASES.case("discovery: groups come in the original's order")
async def _(api: Api) -> None:
    answer = await api.ask("GET", "/apis", record=False)
    api.note(kind=answer.body["kind"], version=answer.body["apiVersion"], headers=answer.headers)
    api.note(groups=[group for group in answer.body["groups"] if group["name"] in WELL_KNOWN])
    whole = await api.ask("GET", "/apis", accept=AGGREGATED.format("v2"), record=False)
    api.note(headers=whole.headers, names=[
        item["metadata"]["name"] for item in whole.body["items"] if item["metadata"]["name"] in WELL_KNOWN
    ])  # fmt: skip


@CASES.case("discovery: the core group has one version")
async def _(api: Api) -> None:
    api.scrub(r"^[\w.]+:\d+$|^lab$", "<host>")
    await api.ask("GET", "/api")
    await api.ask("GET", "/api/")


@CASES.case("discovery: one group")
async def _(api: Api) -> None:
    for path in ("/apis/apps", "/apis/apps/", "/apis/coordination.k8s.io", "/apis/nope", "/apis/apps/v9", "/api/v2"):
        await api.ask("GET", path)


@CASES.case("discovery: a version of the aggregated form that is gone is not acceptable")
async def _(api: Api) -> None:
    for accept in (AGGREGATED.format("v2beta1"), AGGREGATED.format("v9")):
        answer = await api.ask("GET", "/apis", accept=accept, record=False)
        api.note(code=answer.code, reason=answer.body["reason"])
    for accept in (f"{AGGREGATED.format('v9')},{JSON}", f"{JSON};q=0.5,{AGGREGATED.format('v2')}"):
        answer = await api.ask("GET", "/apis", accept=accept, record=False)
        api.note(code=answer.code, kind=answer.body["kind"], headers=answer.headers)


@CASES.case("discovery: who has the aggregated form already is told so")
async def _(api: Api) -> None:
    first = await api.ask("GET", "/api", accept=AGGREGATED.format("v2"), record=False)
    assert first.etag
    known = {"if-none-match": first.etag}
    again = await api.ask("GET", "/api", accept=AGGREGATED.format("v2"), headers=known, record=False)
    other = await api.ask("GET", "/api", accept=AGGREGATED.format("v2"), headers={"if-none-match": '"x"'}, record=False)
    api.note(codes=(first.code, again.code, other.code), length=len(first.etag), same=again.etag == first.etag)


@CASES.case("discovery: a new definition changes the hash of the groups, and its group comes last")
async def _(api: Api) -> None:
    before = await api.ask("GET", "/apis", accept=AGGREGATED.format("v2"), record=False)
    group = f"{api.unique('zz')}.example.com"
    wanted = definition(group, "Fresh")
    wanted["spec"]["names"] |= {"shortNames": ["fr"], "categories": ["all", "fresh"]}
    await define(api, wanted)

    def listed(answer: Answer) -> list[Any]:
        return [item for item in answer.body["items"] if item["metadata"]["name"] == group]

    after = await until(api, "/apis", lambda answer: bool(listed(answer)), accept=AGGREGATED.format("v2"))
    api.note(changed=before.etag != after.etag, found=listed(after))
    await api.ask("GET", f"/apis/{group}")
    await api.ask("GET", f"/apis/{group}/v1")
    await api.ask("GET", f"/apis/{group}/v2")
    await api.ask("GET", f"/apis/{group}/v1/nope")


@CASES.case("paths that lead nowhere")
async def _(api: Api) -> None:
    for path in (
        "/nope", "/apis/apps/v1/nope", "/api/v1/nope", api.path("v1", "nope"), api.path("v1", "pods", "x", "nope"),
        "/api/v1/pods/x", "/apis/nope.example.com/v1/things", api.path("nope.example.com/v1", "things"), "/openapi",
        "/openapi/v4", "/openapi/v3/apis/nope/v1", "/apis/apps/v1/deployments/x", "/healthz/nope",
    ):  # fmt: skip
        await api.ask("GET", path)


@CASES.case("methods that discovery does not have")
async def _(api: Api) -> None:
    for method, path in (("POST", "/api"), ("POST", "/apis/apps/v1"), ("DELETE", "/version"), ("POST", "/nope")):
        await api.ask(method, path)


@CASES.case("the version says whose API is spoken")
async def _(api: Api) -> None:
    answer = await api.ask("GET", "/version", record=False)
    names = ("major", "minor", "emulationMajor", "emulationMinor", "minCompatibilityMajor", "minCompatibilityMinor")
    api.note(keys=sorted(answer.body), release=answer.body["gitVersion"].partition("+")[0])
    api.note(**{name: answer.body[name] for name in names})


@CASES.case("the server is healthy")
async def _(api: Api) -> None:
    for path in ("/healthz", "/livez", "/readyz"):
        await api.ask("GET", path)
