"""Evictions as bodies: what may stand in one, and who may send it."""

from typing import Any, Final

from contract_harness import Api, Cases

CASES: Final = Cases()
SPEC: Final = {"nodeName": "n", "containers": [{"name": "a", "image": "i"}]}
POLICY: Final = {"apiVersion": "policy/v1", "kind": "Eviction"}


async def pod(api: Api) -> str:
    home = api.path("v1", "pods")
    await api.setup("POST", home, {"metadata": {"name": "p"}, "spec": SPEC})
    return f"{home}/p/eviction"


async def refused(api: Api, *bodies: Any, **options: Any) -> None:
    """Send each body; none of them may touch the pod."""
    path = await pod(api)
    for body in bodies:
        await api.ask("POST", path, body, **options)
    await api.ask("GET", path.removesuffix("/eviction"))


@CASES.case("an eviction names its pod, by the same name as the path")
async def _(api: Api) -> None:
    await refused(api, {}, {"metadata": {}}, {"metadata": {"name": "q"}}, {"metadata": {"name": ""}})


@CASES.case("an eviction in another namespace than the path's is refused")
async def _(api: Api) -> None:
    await refused(api, {"metadata": {"name": "p", "namespace": "other"}})


@CASES.case("an eviction of another kind or version is refused")
async def _(api: Api) -> None:
    named = {"metadata": {"name": "p"}}
    await refused(
        api,
        {"apiVersion": "v1", "kind": "Pod", **named},
        {"apiVersion": "v1", "kind": "Eviction", **named},
        {"apiVersion": "policy/v2", "kind": "Eviction", **named},
        {"apiVersion": "policy/v1", "kind": "Binding", **named},
        {"apiVersion": "x/v1", "kind": "Eviction", **named},
    )


@CASES.case("an eviction in the version that is no longer served")
async def _(api: Api) -> None:
    path = await pod(api)
    await api.ask("POST", path, {"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": "p"}})
    await api.ask("GET", path.removesuffix("/eviction"))


@CASES.case("an eviction that says its kind, and one that says none")
async def _(api: Api) -> None:
    path = await pod(api)
    await api.ask("POST", path, {**POLICY, "metadata": {"name": "p"}})
    await api.ask("POST", path, {"metadata": {"name": "p", "namespace": api.namespace}})


@CASES.case("an eviction whose fields have the wrong types is refused")
async def _(api: Api) -> None:
    named = {"metadata": {"name": "p"}}
    await refused(
        api,
        {"metadata": "p"},
        {"metadata": {"name": 3}},
        {**named, "deleteOptions": "x"},
        {**named, "deleteOptions": {"gracePeriodSeconds": "x"}},
        {**named, "deleteOptions": {"preconditions": []}},
        {**named, "deleteOptions": {"dryRun": "All"}},
        b"",
        b"[]",
        b"{",
        "null",
    )


@CASES.case("unknown fields of an eviction are refused, warned of or ignored")
async def _(api: Api) -> None:
    path = await pod(api)
    body = {"metadata": {"name": "p"}, "x": 1, "deleteOptions": {"y": 2}}
    await api.ask("POST", path, body, fieldValidation="Strict")
    await api.ask("POST", path, body, fieldValidation="x")
    await api.ask("POST", path, body, fieldValidation="Ignore", dryRun="All")
    await api.ask("POST", path, body, dryRun="All")
    await api.ask("POST", path, b'{"metadata":{"name":"p"},"metadata":{"name":"p"}}', dryRun="All")


@CASES.case("delete options of an eviction that contradict each other")
async def _(api: Api) -> None:
    named = {"metadata": {"name": "p"}}
    await refused(
        api,
        {**named, "deleteOptions": {"propagationPolicy": "x"}},
        {**named, "deleteOptions": {"propagationPolicy": "Background", "orphanDependents": True}},
        {**named, "deleteOptions": {"kind": "Pod"}},
        {**named, "deleteOptions": {"apiVersion": "policy/v9", "kind": "DeleteOptions"}},
        dryRun="All",
    )


@CASES.case("an eviction in the foreground leaves the pod its finalizer")
async def _(api: Api) -> None:
    path = await pod(api)
    await api.ask("POST", path, {"metadata": {"name": "p"}, "deleteOptions": {"propagationPolicy": "Foreground"}})
    await api.ask("GET", path.removesuffix("/eviction"))


@CASES.case("an eviction of a pod that is not there is not found")
async def _(api: Api) -> None:
    await api.ask("POST", api.path("v1", "pods", "p", "eviction"), {"metadata": {"name": "p"}})
    await api.ask("POST", api.path("v1", "pods", "p", "eviction"), {"metadata": {"name": "p"}}, dryRun="All")
    await api.ask("POST", api.path("v1", "pods", "p", "eviction"), {"metadata": {"name": "q"}})


@CASES.case("an eviction can only be posted, and only by who may")
async def _(api: Api) -> None:
    path = await pod(api)
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        await api.ask(method, path)
    for user in ("viewer", None):
        await api.ask("POST", path, {"metadata": {"name": "p"}}, user=user)


@CASES.case("an eviction in YAML, in a type nobody reads, and asked for in YAML")
async def _(api: Api) -> None:
    path = await pod(api)
    await api.ask("POST", path, "metadata: {name: p}", "application/yaml", dryRun="All")
    await api.ask("POST", path, "x", "text/plain")
    await api.ask("POST", path, {"metadata": {"name": "p"}}, accept="application/yaml", dryRun="All")
    await api.ask("POST", path, {"metadata": {"name": "p"}}, accept="text/html", dryRun="All")
    table = "application/json;as=Table;v=v1;g=meta.k8s.io"
    await api.ask("POST", path, {"metadata": {"name": "p"}}, accept=table, dryRun="All")
