"""Nodes: what a new one is given, and how cordon and taint change it."""

from typing import Final

from contract_harness import Api, Cases

CASES: Final = Cases()
TAINT: Final = {"key": "k", "value": "v", "effect": "NoExecute"}


@CASES.case("a new node is tainted as not ready, whoever makes it")
async def _(api: Api) -> None:
    for name, spec in (("a", {}), ("b", {"taints": [TAINT]}), ("c", {"unschedulable": True})):
        node = {"metadata": {"name": api.unique(name)}, "spec": spec}
        await api.ask("POST", "/api/v1/nodes", node, dryRun="All")
        await api.ask("POST", "/api/v1/nodes", node)
        await api.ask("PATCH", f"/api/v1/nodes/{api.unique(name)}", {"metadata": {"labels": {"a": "b"}}}, "merge")
        await api.ask("DELETE", f"/api/v1/nodes/{api.unique(name)}")


@CASES.case("a new node that is ready is tainted too, once")
async def _(api: Api) -> None:
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    path = f"/api/v1/nodes/{api.unique('a')}"
    await api.ask("POST", "/api/v1/nodes", {"metadata": {"name": api.unique("a")}, "status": ready})
    await api.ask("PATCH", path, {"spec": {"taints": None}}, "merge")
    await api.ask("PATCH", path, {"spec": {"taints": [TAINT]}}, "strategic")
    await api.ask("PATCH", path, {"spec": {"unschedulable": True}}, "strategic")
    await api.ask("PATCH", path, {"spec": {"unschedulable": None}}, "strategic")
    await api.setup("DELETE", path)
    not_ready = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
    await api.ask("POST", "/api/v1/nodes", {"metadata": {"name": api.unique("b")}, "spec": {"taints": [not_ready]}})
    await api.setup("DELETE", f"/api/v1/nodes/{api.unique('b')}")


@CASES.case("taints of a node that may not be")
async def _(api: Api) -> None:
    path = f"/api/v1/nodes/{api.unique('a')}"
    await api.setup("POST", "/api/v1/nodes", {"metadata": {"name": api.unique("a")}})
    bad = (
        {"key": "", "effect": "NoExecute"},
        {"key": "k", "effect": "Never"},
        {"key": "k"},
        {"key": "a b", "effect": "NoSchedule"},
        {"key": "k", "value": "a b", "effect": "NoSchedule"},
        {"key": "k", "effect": ""},
    )
    for taint in bad:
        await api.ask("PATCH", path, {"spec": {"taints": [taint]}}, "merge")
    await api.ask("PATCH", path, {"spec": {"taints": [TAINT, TAINT]}}, "merge")
    await api.ask("PATCH", path, {"spec": {"taints": [TAINT, {**TAINT, "effect": "NoSchedule"}]}}, "merge")
    await api.setup("DELETE", path)
