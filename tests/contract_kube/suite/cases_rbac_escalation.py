"""Nobody grants what they do not hold: roles, bindings, aggregation; `escalate` and `bind`."""

from typing import Any, Final

from contract_harness import Api, Cases
from contract_harness.access import (
    CLUSTER_BINDINGS,
    CLUSTER_ROLES,
    RBAC,
    Account,
    account,
    binding,
    named,
    role,
    rule,
)

CASES: Final = Cases()
WRITES: Final = rule("get list create update patch delete", "roles clusterroles rolebindings clusterrolebindings", RBAC)
SECRETS: Final = rule("get", "secrets")
AGGREGATED: Final = {"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]}}


async def granter(api: Api, *rules: Any) -> Account:
    bot = await account(api)
    await bot.may(WRITES, rule("get list", "pods services"), *rules, everywhere=True)
    return bot


@CASES.case("a role may not hold what its writer does not, part by part")
async def _(api: Api) -> None:
    bot = await granter(api)
    name = api.unique("r")
    await bot.ask("POST", CLUSTER_ROLES, role(name, SECRETS))
    several = rule("get delete", "secrets pods", resourceNames=["a", "b"])
    several["apiGroups"] = ["", "apps"]
    urls = {"verbs": ["*", "get"], "nonResourceURLs": ["/x", "/y/*", "/version", "/api/v1"]}
    await bot.ask("POST", CLUSTER_ROLES, role(name, several, urls, rule("get", "*", "*"), rule("list", "pods/log")))
    await bot.ask("POST", api.path(f"{RBAC}/v1", "roles"), role("r", SECRETS))
    await bot.ask("POST", api.path(f"{RBAC}/v1", "roles"), role("r", rule("get", "pods", resourceNames=["a"])))
    await bot.ask("POST", CLUSTER_ROLES, role(name, {"verbs": []}))
    await bot.ask("POST", CLUSTER_ROLES, {**role("", SECRETS), "metadata": {"generateName": name}})


@CASES.case("a role that holds more is not written by one who holds less, whatever changes in it")
async def _(api: Api) -> None:
    bot = await granter(api)
    name = api.unique("r")
    await bot.ask("POST", CLUSTER_ROLES, role(name, rule("get", "pods")))
    await bot.ask("PUT", f"{CLUSTER_ROLES}/{name}", role(name, rule("delete", "pods")))
    await bot.ask("PATCH", f"{CLUSTER_ROLES}/{name}", {"rules": [SECRETS]}, "merge")
    for path in (f"{CLUSTER_ROLES}/cluster-admin", f"{CLUSTER_BINDINGS}/cluster-admin"):
        await bot.ask("PATCH", path, {"metadata": {"labels": {"x": "y"}}}, "merge", dryRun="All")
        await bot.ask("PATCH", path, {"metadata": {"finalizers": ["a.b/c"]}}, "merge", dryRun="All")
    applied = {"apiVersion": f"{RBAC}/v1", "kind": "ClusterRole", **role(api.unique("a"), SECRETS)}
    await bot.ask("PATCH", f"{CLUSTER_ROLES}/{api.unique('a')}", applied, "apply", fieldManager="bot")
    await bot.ask("PUT", f"{CLUSTER_ROLES}/{api.unique('a')}", role(api.unique("a"), SECRETS))


@CASES.case("an aggregation rule is for those who hold everything")
async def _(api: Api) -> None:
    bot = await granter(api)
    name = api.unique("r")
    await bot.ask("POST", CLUSTER_ROLES, {"metadata": {"name": name}, **AGGREGATED})
    await bot.ask("POST", CLUSTER_ROLES, {**role(name, SECRETS), **AGGREGATED})
    await api.setup("POST", CLUSTER_ROLES, {"metadata": {"name": name}, **AGGREGATED})
    await bot.ask("PUT", f"{CLUSTER_ROLES}/{name}", {**role(name, rule("get", "pods")), **AGGREGATED})
    await bot.ask("PUT", f"{CLUSTER_ROLES}/{name}", role(name, rule("list", "pods")))
    await bot.ask("PATCH", f"{CLUSTER_ROLES}/{name}", AGGREGATED, "merge")
    await api.ask("POST", CLUSTER_ROLES, {"metadata": {"name": f"{name}2"}, **AGGREGATED}, user="midwatch")


@CASES.case("a binding may not give what its writer does not hold")
async def _(api: Api) -> None:
    bot = await granter(api)
    home, jane = api.path(f"{RBAC}/v1", "rolebindings"), named("User", "jane")
    for given in ("cluster-admin", "no-such-role", "system:discovery"):
        await bot.ask("POST", home, binding("a", given, jane))
        await bot.ask("POST", CLUSTER_BINDINGS, binding(api.unique("a"), given, jane))
    await bot.ask("POST", home, binding("b", "no-such-role", jane, kind="Role"))
    await bot.ask("POST", home, binding("b", "a", jane, kind="Foo"))
    await bot.ask("POST", home, {"metadata": {"name": "b"}})
    await api.setup("POST", api.path(f"{RBAC}/v1", "roles"), role("secrets", SECRETS))
    await api.setup("POST", home, binding("c", "secrets", jane, kind="Role"))
    await bot.ask("PATCH", f"{home}/c", {"subjects": [jane, bot.subject]}, "merge")
    await bot.ask("PATCH", f"{home}/c", {"metadata": {"labels": {"a": "b"}}}, "merge")
    await bot.ask("DELETE", f"{home}/c")


@CASES.case("who may bind a role gives it to anybody, and who may escalate writes any role")
async def _(api: Api) -> None:
    bind = rule("bind", "clusterroles", RBAC, resourceNames=["edit", "cluster-admin"])
    bot = await granter(api, bind, rule("escalate", "clusterroles", RBAC))
    home, jane = api.path(f"{RBAC}/v1", "rolebindings"), named("User", "jane")
    await bot.ask("POST", home, binding("a", "cluster-admin", jane))
    await bot.ask("POST", home, binding("b", "system:node", jane))
    await bot.ask("POST", CLUSTER_ROLES, role(api.unique("a"), SECRETS))
    await bot.ask("POST", CLUSTER_ROLES, {"metadata": {"name": api.unique("b")}, **AGGREGATED})
    await bot.ask("POST", api.path(f"{RBAC}/v1", "roles"), role("a", SECRETS))


@CASES.case("who may escalate one role writes that one, and makes none")
async def _(api: Api) -> None:
    name = api.unique("a")
    bot = await granter(api, rule("escalate", "clusterroles", RBAC, resourceNames=[name]))
    await bot.ask("POST", CLUSTER_ROLES, role(name, SECRETS))
    await bot.ask("PUT", f"{CLUSTER_ROLES}/{name}", role(name, SECRETS))
    await bot.ask("PUT", f"{CLUSTER_ROLES}/{name}", role(name, rule("delete", "secrets")))


@CASES.case("who holds a right in a namespace grants it there")
async def _(api: Api) -> None:
    bot = await account(api)
    await bot.may(WRITES, SECRETS)
    home = api.path(f"{RBAC}/v1", "roles")
    await bot.ask("POST", home, role("a", SECRETS))
    await bot.ask("POST", home, role("b", rule("list", "secrets")))
    await bot.ask("POST", CLUSTER_ROLES, role(api.unique("a"), SECRETS))
    await bot.ask("POST", api.path(f"{RBAC}/v1", "rolebindings"), binding("a", "a", bot.subject, kind="Role"))
    await bot.ask("POST", api.path(f"{RBAC}/v1", "rolebindings"), binding("b", "cluster-admin", bot.subject))


@CASES.case("what a role that is not there would give is told with the refusal")
async def _(api: Api) -> None:
    bot = await granter(api)
    await api.setup("POST", CLUSTER_BINDINGS, binding(api.unique("gone"), api.unique("gone"), bot.subject))
    await api.setup("POST", api.path(f"{RBAC}/v1", "rolebindings"), binding("x", "gone", bot.subject, kind="Role"))
    await bot.lacks(api.unique("gone"), "gone")
    await bot.ask("POST", CLUSTER_ROLES, role(api.unique("r"), SECRETS))
    await bot.ask("POST", api.path(f"{RBAC}/v1", "roles"), role("r", SECRETS))
    await bot.ask("POST", api.path(f"{RBAC}/v1", "rolebindings"), binding("y", "cluster-admin", bot.subject))
