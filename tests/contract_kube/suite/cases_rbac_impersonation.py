"""Acting as somebody else: the headers, whose rights count, and who may."""

from typing import Any, Final

from contract_harness import Api, Cases
from contract_harness.access import AUTHENTICATION, WHOAMI, Account, account, rule

CASES: Final = Cases()
GROUP: Final = "authentication.k8s.io"
ON: Final = rule(
    "impersonate-on:user-info:create impersonate-on:serviceaccount:create impersonate-on:arbitrary-node:create",
    "selfsubjectreviews",
    GROUP,
)
NODE: Final = "system:node:n1"
ROBOT: Final = "system:serviceaccount:default:x"


def acting(name: str, **more: str) -> dict[str, str]:
    return {"Impersonate-User": name, **{f"Impersonate-{key.replace('_', '-')}": text for key, text in more.items()}}


@CASES.case("an administrator acts as anybody, with the groups that they would have")
async def _(api: Api) -> None:
    for headers in (
        acting("jane"), acting("jane", Group="devs", Uid="7", Extra_Scopes="view"), acting(ROBOT),
        acting(ROBOT, Group="g"), acting("system:anonymous"), acting("system:anonymous", Group="g"), acting(NODE),
        acting("x", Group="system:unauthenticated"), acting("x", Group="system:masters"),
        acting("x", Group="system:authenticated"), acting(""),
        {**acting("x"), "Impersonate-Extra-acme.com%2Fproject": "p"},
    ):  # fmt: skip
        await api.ask("POST", WHOAMI, {}, headers=headers)


@CASES.case("groups, uid or extras alone are no user to act as")
async def _(api: Api) -> None:
    for headers in ({"Impersonate-Group": "g"}, {"Impersonate-Uid": "g"}, {"Impersonate-Extra-A": "g"}):
        await api.ask("POST", WHOAMI, {}, headers=headers)


@CASES.case("who acts as somebody has their rights and their name in refusals")
async def _(api: Api) -> None:
    path = api.path("v1", "configmaps")
    await api.ask("GET", path, headers=acting("jane"))
    await api.ask("GET", "/nope", headers=acting("jane"))
    await api.ask("GET", "/nope", headers=acting("jane", Group="system:masters"))
    await api.ask("GET", path, headers=acting("jane", Group="viewers"))
    await api.ask("POST", path, {"metadata": {"name": "c"}}, headers=acting("jane", Group="viewers"))
    await api.ask("POST", path, {"metadata": {"name": "c"}}, headers=acting("jane", Group="midwatch"))


@CASES.case("nobody acts as somebody without leave")
async def _(api: Api) -> None:
    for headers in (acting("jane"), acting("jane", Group="g"), acting(ROBOT), acting(NODE), acting("system:anonymous")):
        await api.ask("POST", WHOAMI, {}, user="nobody", headers=headers)
        await api.ask("GET", "/version", user=None, headers=headers)
    await api.ask("GET", api.path("v1", "pods", "p", "log"), user="nobody", headers=acting("jane"))


async def each(bot: Account, *headers: dict[str, str]) -> None:
    for one in headers:
        await bot.ask("POST", WHOAMI, {}, headers=one)


@CASES.case("the verb impersonate names the users and groups, and its last success says which refusal is told")
async def _(api: Api) -> None:
    bot = await account(api)
    extra: Any = rule("impersonate", "userextras/scopes", GROUP, resourceNames=["view"])
    await bot.may(rule("impersonate", "users groups", resourceNames=["jane", "g"]), extra, everywhere=True)
    await each(
        bot, acting("jack"), acting("jane"), acting("jack"), acting("jane", Group="g"), acting("jane", Group="h")
    )
    await each(bot, acting("jane", Uid="3"), acting("jane", Extra_Scopes="view"), acting("jane", Extra_Scopes="edit"))
    await each(bot, acting("jane", Extra_Other="edit"), acting(NODE), acting(ROBOT))
    await bot.ask("GET", api.path("v1", "configmaps"), headers=acting("jane"))


@CASES.case("constrained impersonation needs leave for the user and for the request")
async def _(api: Api) -> None:
    bot = await account(api)
    await bot.may(ON, everywhere=True)
    await each(bot, acting("jane"), acting(ROBOT), acting(NODE), acting("jane", Group="system:masters"))
    whom = rule("impersonate:user-info", "users groups", GROUP, resourceNames=["jane", "g"])
    robots = rule("impersonate:serviceaccount", "serviceaccounts", GROUP)
    await bot.may(whom, robots, rule("impersonate:arbitrary-node", "nodes", GROUP), everywhere=True, name="whom")
    await each(
        bot,
        acting("jane"),
        acting("jane", Group="g"),
        acting("jane", Group="h"),
        acting("jane", Uid="7"),
        acting("jack"),
    )
    await each(bot, acting("jane", Extra_Foo="g"), acting("jane", Group="system:masters"))
    await each(bot, acting(ROBOT), acting(ROBOT, Group="g"), acting(NODE), acting(NODE, Uid="3"))
    await bot.ask("GET", api.path("v1", "configmaps"), headers=acting("jane"))
    await bot.ask("GET", "/version", headers=acting("jane"))


@CASES.case("who may do everything acts as a node with a node's groups")
async def _(api: Api) -> None:
    bot = await account(api)
    await bot.may(rule("*", "*", "*"), everywhere=True)
    await each(bot, acting(NODE), acting("jane"), acting(NODE), acting(ROBOT), acting(NODE, Group="g"))


@CASES.case("a token review needs the rights of the one who is acted as")
async def _(api: Api) -> None:
    await api.ask("POST", f"{AUTHENTICATION}/tokenreviews", {"spec": {"token": "x"}}, headers=acting("jane"))
