"""Who may do what: refusals in the original's words, rules of every form, service accounts and nobody at all."""

from functools import partial
from typing import Any, Final

from contract_harness import Api, Cases
from contract_harness.access import (
    CLUSTER_BINDINGS,
    CLUSTER_ROLES,
    RBAC,
    WHOAMI,
    account,
    binding,
    role,
    rule,
)

CASES: Final = Cases()
CONFIG: Final = {"metadata": {"name": "c"}, "data": {"a": "b"}}
PATHS: Final = (
    "/", "/api", "/apis", "/version", "/version/", "/healthz", "/livez", "/readyz", "/metrics", "/nope", "/logs/",
    "/apis/apps/v1", "/api/v1", "/api/v1/foo", "/apis/nope.io/v1/things", "/openapi/v3/api/v1?hash=0", "/a<b>&c",
)  # fmt: skip


async def paths(user: str | None, api: Api) -> None:
    for path in PATHS:
        answer = await api.ask("GET", path, user=user, record=False)
        refused = answer.body if answer.code in (401, 403) else None
        api.note(path=path, code=answer.code if refused else "let through", body=refused)
    await api.ask("POST", "/version", {}, user=user)


CASES.many("somebody without a token sees versions and health", partial(paths, None))
CASES.many("somebody without a role sees discovery", partial(paths, "nobody"))


@CASES.case("a token that nobody has is Unauthorized, and other credentials are none")
async def _(api: Api) -> None:
    path = api.path("v1", "configmaps")
    for header in ("Bearer nobodys", "Bearer", "Basic YTpi", "bearer nobodys", "Token x", "Bearer  t-admin"):
        answer = await api.ask("GET", path, user=None, headers={"Authorization": header}, record=False)
        api.note(header=header, code=answer.code, body=answer.body)


async def refused(user: str | None, api: Api) -> None:
    home, everywhere = api.path("v1", "configmaps"), "/api/v1/configmaps"
    await api.setup("POST", home, CONFIG)
    for method, path, body in (
        ("GET", f"{home}/c", None), ("GET", home, None), ("GET", everywhere, None), ("POST", home, CONFIG),
        ("PUT", f"{home}/c", CONFIG), ("DELETE", f"{home}/c", None), ("DELETE", home, None), ("PUT", home, CONFIG),
        ("GET", api.path("v1", "pods", "p", "log"), None), ("GET", api.path("v1", "pods", "p", "proxy", "a"), None),
        ("POST", api.path("v1", "pods", "p", "eviction"), {}),
        ("GET", api.path("apps/v1", "deployments", "d", "scale"), None),
        ("GET", f"/api/v1/namespaces/{api.namespace}", None), ("GET", "/api/v1/namespaces", None),
        ("PUT", f"/api/v1/namespaces/{api.namespace}/finalize", {}), ("GET", f"/api/v1/watch{home[7:]}", None),
        ("GET", f"/api/v1/watch{home[7:]}/c", None), ("GET", "/api/v1/nodes/n/status", None),
        ("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", {}),
        ("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {}), ("PATCH", f"{home}/c", {}),
    ):  # fmt: skip
        await api.ask(method, path, body, "merge" if method == "PATCH" else "", user=user)
    await api.ask("GET", home, user=user, watch="1")
    for selector in ("metadata.name=c", "metadata.name=c,metadata.namespace=x", "metadata.name!=c"):
        await api.ask("GET", home, user=user, fieldSelector=selector)
    for method in ("HEAD", "OPTIONS"):
        await api.ask(method, home, user=user)


CASES.many("somebody without a role is refused everything, whatever it is", partial(refused, "nobody"))
CASES.many("somebody without a token is refused by the name of anonymous", partial(refused, None))


@CASES.case("a viewer reads what the role view lists, and no more")
async def _(api: Api) -> None:
    await api.setup("POST", api.path("v1", "configmaps"), CONFIG)
    for method, path in (
        ("GET", api.path("v1", "configmaps", "c")), ("GET", "/api/v1/pods"), ("GET", api.path("v1", "secrets")),
        ("GET", api.path("v1", "pods", "p", "exec")), ("DELETE", api.path("v1", "configmaps", "c")),
        ("GET", "/api/v1/nodes"), ("GET", api.path(f"{RBAC}/v1", "roles")),
        ("GET", "/apis/storage.k8s.io/v1/storageclasses"),
    ):  # fmt: skip
        answer = await api.ask(method, path, user="viewer", record=False)
        api.note(asked=f"{method} {path}", code=answer.code, body=answer.body if answer.code == 403 else None)


@CASES.case("an editor writes what the role edit lists, but no roles")
async def _(api: Api) -> None:
    await api.ask("POST", api.path("v1", "configmaps"), CONFIG, user="editor")
    await api.ask("POST", api.path("v1", "secrets"), {"metadata": {"name": "s"}}, user="editor")
    await api.ask("GET", api.path("v1", "secrets", "s"), user="editor")
    await api.ask("POST", api.path(f"{RBAC}/v1", "roles"), role("r"), user="editor")
    await api.ask("POST", "/api/v1/namespaces", {"metadata": {"name": api.unique("n")}}, user="editor")


@CASES.case("a service account is known by its token and may do what its role says, in its namespace")
async def _(api: Api) -> None:
    bot = await account(api)
    home = api.path("v1", "configmaps")
    answer = await bot.ask("POST", WHOAMI, {}, record=False)
    known = answer.body["status"]["userInfo"]
    api.note(user={key: known[key] for key in ("username", "groups", "uid")}, extra=list(known["extra"]))
    await bot.ask("GET", home)
    await bot.may(rule("get list", "configmaps"))
    await api.setup("POST", home, CONFIG)
    await bot.ask("GET", f"{home}/c")
    await bot.ask("GET", home)
    await bot.ask("GET", "/api/v1/configmaps")
    await bot.ask("GET", "/api/v1/namespaces/default/configmaps")
    await bot.ask("DELETE", f"{home}/c")


RULES: Final[dict[str, tuple[Any, ...]]] = {
    "a rule names objects": (rule("get list update", "configmaps", resourceNames=["c"]),),
    "a rule names a subresource alone": (rule("get create", "pods/log pods/exec"),),
    "a rule names a resource without its subresources": (rule("get create", "pods"),),
    "a rule names a subresource of every resource": (rule("*", "*/status */scale", "*"),),
    "a rule names every resource of a group": (rule("get list", "*", "apps"),),
    "a rule names every group and one resource": (rule("list", "deployments", "*"),),
    "a rule names every verb": (rule("*", "secrets"),),
    "a rule gives watch alone": (rule("watch", "configmaps"),),
    "a rule gives deletecollection alone": (rule("deletecollection", "configmaps"),),
}


async def ruled(rules: tuple[Any, ...], api: Api) -> None:
    bot = await account(api)
    await bot.may(*rules)
    await api.setup("POST", api.path("v1", "configmaps"), CONFIG)
    configs, deployments, pods = (
        api.path("v1", "configmaps"),
        api.path("apps/v1", "deployments"),
        api.path("v1", "pods"),
    )
    for method, path in (
        ("GET", f"{configs}/c"), ("GET", f"{configs}/d"), ("GET", configs), ("PUT", f"{configs}/c"), ("POST", configs),
        ("GET", f"{configs}?fieldSelector=metadata.name%3Dc"),
        ("GET", f"{configs}?watch=1&timeoutSeconds=1&resourceVersion=1"),
        ("GET", f"{pods}/p"), ("GET", f"{pods}/p/log"), ("GET", f"{pods}/p/status"), ("GET", f"{pods}/p/exec"),
        ("GET", deployments), ("GET", f"{deployments}/d"), ("GET", f"{deployments}/d/scale"),
        ("GET", api.path("v1", "secrets")), ("DELETE", configs),
    ):  # fmt: skip
        answer = await bot.ask(method, path, "{" if method in ("PUT", "POST") else None, record=False)
        api.note(asked=f"{method} {path}", refused=answer.body["message"] if answer.code == 403 else None)


for _sentence, _rules in RULES.items():
    CASES.many(f"access: {_sentence}", partial(ruled, _rules))


@CASES.case("rules of paths stand for all below them, and only cluster roles have them")
async def _(api: Api) -> None:
    bot = await account(api)
    await bot.may({"verbs": ["get"], "nonResourceURLs": ["/metrics", "/logs/*", "/nope*"]}, everywhere=True)
    for path in ("/metrics", "/logs/", "/logs", "/nope", "/nopenope", "/openapi/v9", "/debug"):
        answer = await bot.ask("GET", path, record=False)
        api.note(path=path, refused=answer.body["message"] if answer.code == 403 else None)
    await bot.ask("POST", "/nope", {})


@CASES.case("a role that is not there is told in every refusal, for each binding")
async def _(api: Api) -> None:
    bot = await account(api)
    name = api.unique("gone")
    await api.setup("POST", CLUSTER_BINDINGS, binding(name, name, bot.subject))
    await api.setup("POST", api.path(f"{RBAC}/v1", "rolebindings"), binding("a", "no-role", bot.subject, kind="Role"))
    await bot.lacks(name, "no-role")
    await bot.ask("GET", "/api/v1/configmaps")
    await bot.ask("GET", api.path("v1", "configmaps"))
    await bot.ask("GET", "/nope")


@CASES.case("a binding counts from the moment it is there until it goes, and so does its role")
async def _(api: Api) -> None:
    bot = await account(api)
    path, name = api.path("v1", "configmaps"), api.unique("late")
    bindings = api.path(f"{RBAC}/v1", "rolebindings")
    await api.setup("POST", CLUSTER_ROLES, role(name, rule("get", "configmaps")))
    await api.setup("POST", bindings, binding("b", name, bot.subject))
    await bot.ask("GET", path)
    await api.setup("PATCH", f"{CLUSTER_ROLES}/{name}", {"rules": [rule("list", "configmaps")]}, "merge")
    await bot.wait("GET", path, 200)
    await api.setup("DELETE", f"{bindings}/b")
    await bot.wait("GET", path, 403)
    await bot.ask("GET", path)


@CASES.case("who may patch but not create is refused where a patch or a PUT would make the object")
async def _(api: Api) -> None:
    bot = await account(api)
    await bot.may(
        rule("get patch update", "configmaps services"), rule("get update patch", "leases", "coordination.k8s.io")
    )
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b"}}
    await bot.ask("PATCH", api.path("v1", "configmaps", "c"), config, "apply", fieldManager="bot")
    lease = {"metadata": {"name": "l"}, "spec": {"holderIdentity": "me"}}
    await bot.ask("PUT", api.path("coordination.k8s.io/v1", "leases", "l"), lease)
    await api.setup("POST", api.path("v1", "configmaps"), CONFIG)
    await bot.ask("PATCH", api.path("v1", "configmaps", "c"), config, "apply", fieldManager="bot", force="true")
    await bot.ask("PUT", api.path("v1", "services", "s"), {"metadata": {"name": "s"}})
    await bot.ask("PUT", f"/api/v1/namespaces/{api.namespace}-no/services/s", {"metadata": {"name": "s"}})
