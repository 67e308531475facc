"""Node ports and cluster addresses of Services: what may be asked for, and what is taken."""

from functools import partial
from typing import Any, Final

from contract_harness import Api, Cases

CASES: Final = Cases()


def service(name: str = "s", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], "type": "NodePort", **spec}}


SPECS: Final[dict[str, dict[str, Any]]] = {
    "a node port below the range": {"ports": [{"port": 80, "nodePort": 80}]},
    "a node port above the range": {"ports": [{"port": 80, "nodePort": 32768}]},
    "a node port that is none": {"ports": [{"port": 80, "nodePort": -1}]},
    "a node port beyond all ports": {"ports": [{"port": 80, "nodePort": 70000}]},
    "the same node port twice": {
        "ports": [{"name": "a", "port": 80, "nodePort": 31999}, {"name": "b", "port": 81, "nodePort": 31999}],
    },
    "a node port without a type that has one": {"type": "ClusterIP", "ports": [{"port": 80, "nodePort": 31997}]},
    "a cluster address outside the range": {"type": "ClusterIP", "clusterIP": "192.0.2.1"},
    "a cluster address that is none": {"type": "ClusterIP", "clusterIP": "x"},
}  # fmt: skip


async def made(api: Api, spec: dict[str, Any]) -> None:
    home = api.path("v1", "services")
    await api.ask("POST", home, service(**spec), dryRun="All")
    await api.ask("POST", home, service(**spec))
    await api.ask("DELETE", f"{home}/s", record=False)


for sentence, spec in SPECS.items():
    CASES.many(f"services: {sentence}", partial(made, spec=spec))


@CASES.case("services: the same node port for two protocols")
async def _(api: Api) -> None:
    home = api.path("v1", "services")
    tcp = {"name": "a", "port": 80, "nodePort": 31998}
    await api.ask("POST", home, service(ports=[tcp, {**tcp, "name": "b", "protocol": "UDP"}]))
    await api.ask("DELETE", f"{home}/s", record=False)


@CASES.case("services: a node port that another has, and a name that another has")
async def _(api: Api) -> None:
    home = api.path("v1", "services")
    await api.setup("POST", home, service(ports=[{"port": 80, "nodePort": 31777}]))
    await api.ask("POST", home, service("t", ports=[{"port": 80, "nodePort": 31777}]))
    await api.ask("POST", home, service(ports=[{"port": 80, "nodePort": 31777}]))
    await api.ask("PATCH", f"{home}/s", {"spec": {"ports": [{"port": 80, "nodePort": 31778}]}}, "strategic")
    await api.ask("POST", home, service("t", ports=[{"port": 80, "nodePort": 31777}]))
    await api.ask("PATCH", f"{home}/t", {"spec": {"ports": [{"port": 80, "nodePort": 31778}]}}, "strategic")
    await api.ask("PATCH", f"{home}/t", {"spec": {"type": "ClusterIP"}}, "merge")
    await api.ask("PATCH", f"{home}/s", {"spec": {"type": "ClusterIP", "ports": None}}, "merge")
    for name in "st":
        await api.ask("DELETE", f"{home}/{name}", record=False)
