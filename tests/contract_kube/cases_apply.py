"""Server-side apply: who owns what after each step, and who conflicts with whom."""

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
