"""Reviews: what somebody may do, by which binding, and who they are."""

import asyncio
import json
from functools import partial
from typing import Any, Final

from contract_harness import Api, Cases
from contract_harness.access import (
    AUTHENTICATION,
    AUTHORIZATION,
    CLUSTER_BINDINGS,
    CLUSTER_ROLES,
    RBAC,
    RULES_REVIEWS,
    WHOAMI,
    account,
    binding,
    named,
    role,
    rule,
)

CASES: Final = Cases()
SELF: Final = f"{AUTHORIZATION}/selfsubjectaccessreviews"
SUBJECT: Final = f"{AUTHORIZATION}/subjectaccessreviews"
GET_PODS: Final = {"resourceAttributes": {"verb": "get", "resource": "pods"}}
GET_API: Final = {"nonResourceAttributes": {"verb": "get", "path": "/api"}}
VERSION: Final = f"{RBAC}/v1"


@CASES.case("everyone is told what they may do, and by which binding")
async def _(api: Api) -> None:
    whole = {"verb": "get", "group": "g", "version": "v9", "resource": "pods", "subresource": "log", "name": "x"}
    for user in ("admin", "midwatch", "nobody", "viewer", None):
        await api.ask("POST", SELF, {"spec": GET_PODS}, user=user)
        # What several bindings allow the original allows by any of them.
        await api.ask("POST", SELF, {"spec": GET_API}, user=user if user != "midwatch" else "nobody")
    await api.ask("POST", SELF, {"spec": {"resourceAttributes": {**whole, "namespace": "a"}}}, user="midwatch")
    await api.ask("POST", SELF, {"spec": {"nonResourceAttributes": {"verb": "get", "path": "/no"}}}, user="nobody")
    await api.ask("POST", SELF, {"spec": {"resourceAttributes": {}}}, user="nobody")
    await api.ask("POST", SELF, {"spec": GET_PODS, "colour": "red"}, user="nobody")
    await api.ask("POST", SELF, {"spec": GET_PODS}, user="nobody", dryRun="All")
    await api.ask("GET", SELF)
    await api.ask("POST", f"{SELF}/x", {"spec": GET_PODS})


FAULTY: Final[list[Any]] = [
    {},
    {"spec": {}},
    {"spec": {**GET_PODS, **GET_API}},
    {"metadata": {"name": "x", "labels": {"a": "b"}, "namespace": "q"}, "spec": GET_PODS},
    {"spec": {"resourceAttributes": {"verb": "list", "fieldSelector": {}, "labelSelector": {}}}},
    {
        "spec": {
            "resourceAttributes": {
                "fieldSelector": {"rawSelector": "a=b", "requirements": [{"key": "", "operator": "In"}]},
                "labelSelector": {
                    "rawSelector": "a=b",
                    "requirements": [{"key": "", "operator": "Exists", "values": ["x"]}],
                },
            }
        }
    },
    {"kind": "SubjectAccessReview", "spec": GET_PODS},
]


async def faulty(path: str, more: dict[str, Any], api: Api) -> None:
    for body in FAULTY:
        spec = {**body.get("spec", {}), **more}
        await api.ask("POST", path, {**body, "spec": spec} if spec else body)


CASES.many("a review of oneself that does not say of what is invalid", partial(faulty, SELF, {}))
CASES.many("a review of somebody that does not say of what is invalid", partial(faulty, SUBJECT, {"user": "jane"}))


@CASES.case("those who may ask are told what others may do")
async def _(api: Api) -> None:
    for subject in (
        {"user": "nobody"}, {"user": "x", "groups": ["system:masters"], "uid": "1", "extra": {"A": ["b"]}},
        {"groups": ["midwatch"]}, {"user": "nobody", "groups": ["system:authenticated"]}, {},
        {"user": "system:serviceaccount:kube-system:job-controller"},
    ):  # fmt: skip
        await api.ask("POST", SUBJECT, {"spec": {**GET_PODS, **subject}})
        await api.ask("POST", SUBJECT, {"spec": {**GET_API, **subject}})
    await api.ask("POST", SUBJECT, {"spec": {**GET_PODS, "user": "nobody"}}, user="nobody")


@CASES.case("a local review is about its own namespace")
async def _(api: Api) -> None:
    path = f"{AUTHORIZATION}/namespaces/{api.namespace}/localsubjectaccessreviews"
    own = {"metadata": {"namespace": api.namespace}}
    bodies: list[Any] = [
        {"spec": {"user": "nobody", **GET_PODS}}, {**own, "spec": {"user": "nobody", **GET_API}}, {"spec": {}},
        {"metadata": {"namespace": "other"}, "spec": {"user": "nobody", **GET_PODS}},
    ]  # fmt: skip
    for body in bodies:
        await api.ask("POST", path, body)
    here = {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": api.namespace}}
    await api.ask("POST", path, {**own, "spec": {"user": "nobody", **here}})
    await api.ask("POST", path, {"metadata": {"name": "x"}, "spec": {"user": "nobody", **GET_PODS}})
    elsewhere = path.replace(api.namespace, f"{api.namespace}-none")
    there = {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": f"{api.namespace}-none"}}
    await api.ask("POST", elsewhere, {"spec": {"user": "nobody", **there}})


@CASES.case("the reason names binding, role and subject of every kind")
async def _(api: Api) -> None:
    bot = await account(api)
    home, name = api.path(VERSION, "rolebindings"), api.unique("r")
    here = {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": api.namespace}}
    await bot.ask("POST", SELF, {"spec": here})
    await bot.may(rule("get", "pods"))
    await bot.ask("POST", SELF, {"spec": here})
    await api.setup("POST", CLUSTER_ROLES, role(name, rule("get", "pods")))
    user, group, other = (api.unique(word) for word in ("jane", "devs", "other"))
    subjects = [named("User", "nobody-else"), named("Group", group), {"kind": "ServiceAccount", "name": other}]
    await api.setup("POST", home, binding("local", name, *subjects))
    await api.setup("POST", CLUSTER_BINDINGS, binding(name, name, named("User", user), bot.subject))
    for subject in (
        {"user": "somebody", "groups": ["a", group]}, {"user": f"system:serviceaccount:{api.namespace}:{other}"},
        {"user": user}, {"user": f"{user}-not"}, {"user": f"system:serviceaccount:{api.namespace}:"},
    ):  # fmt: skip
        await told(api, {**here, **subject}, allowed="not" not in str(subject) and not str(subject).endswith(":'}"))


async def told(api: Api, spec: dict[str, Any], *, allowed: bool) -> None:
    """Ask once the answer is as it will stay: the original hears of bindings a little later."""
    for _ in range(200):
        answer = await api.ask("POST", SUBJECT, {"spec": spec}, record=False)
        if answer.body["status"]["allowed"] is allowed:
            break
        await asyncio.sleep(0.01)
    await api.ask("POST", SUBJECT, {"spec": spec})


def as_text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


async def rules(user: str, api: Api) -> None:
    answer = await api.ask("POST", RULES_REVIEWS, {"spec": {"namespace": api.namespace}}, user=user, record=False)
    status = answer.body["status"]
    # The original finds bindings in the order of a Go map.
    for key in ("resourceRules", "nonResourceRules"):
        status[key].sort(key=as_text)
    api.note(code=answer.code, body=answer.body)


for _user in ("admin", "midwatch", "viewer", "editor", "nobody"):
    CASES.many(f"the rules that {_user} holds are listed", partial(rules, _user))


@CASES.case("rules that are held are listed for a namespace, with what is missing")
async def _(api: Api) -> None:
    bodies: list[Any] = [{"spec": {}}, {}, {"metadata": {"name": "a"}, "spec": {"namespace": ""}}]
    for body in bodies:
        await api.ask("POST", RULES_REVIEWS, body)
    bot = await account(api)
    await bot.may(rule("get", "pods", resourceNames=["a"]))
    await api.setup("POST", CLUSTER_BINDINGS, binding(api.unique("gone"), api.unique("gone"), bot.subject))
    await api.setup("POST", api.path(VERSION, "rolebindings"), binding("x", "gone", bot.subject, kind="Role"))
    await bot.lacks(api.unique("gone"), "gone")
    answer = await bot.ask("POST", RULES_REVIEWS, {"spec": {"namespace": api.namespace}}, record=False)
    status = answer.body["status"]
    api.note(error=status["evaluationError"], incomplete=status["incomplete"])
    api.note(rules=[found for found in status["resourceRules"] if "pods" in found["resources"]])


@CASES.case("everyone is told who they are")
async def _(api: Api) -> None:
    for user in ("admin", "midwatch", "nobody", None):
        await api.ask("POST", WHOAMI, {}, user=user)
    filled = {"metadata": {"name": "a", "labels": {"x": "y"}}, "status": {"userInfo": {"username": "z"}}}
    await api.ask("POST", WHOAMI, filled)
    await api.ask("POST", WHOAMI, {"kind": "Foo", "apiVersion": "v1"})
    await api.ask("POST", f"{AUTHENTICATION}/selfsubjectreviews/x", {})
