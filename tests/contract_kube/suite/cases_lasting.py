"""What lasts: namespaces that cannot go, and what of a Pod cannot change, with the difference that is shown."""

from functools import partial
from typing import Any, Final

from contract_harness import Api, Cases

CASES: Final = Cases()


@CASES.case("the namespaces of every cluster may not be deleted")
async def _(api: Api) -> None:
    for name in ("default", "kube-system", "kube-public"):
        await api.ask("DELETE", f"/api/v1/namespaces/{name}")
        await api.ask("DELETE", f"/api/v1/namespaces/{name}", dryRun="All", propagationPolicy="Orphan")


POD: Final[dict[str, Any]] = {
    "metadata": {"name": "p"},
    "spec": {
        "containers": [{"name": "main", "image": "nginx:1", "env": [{"name": "A", "value": "<&>"}]}],
        "terminationGracePeriodSeconds": 30,
    },
}
CHANGES: Final[dict[str, dict[str, Any]]] = {
    "the network": {"hostNetwork": True},
    "an environment": {"containers": [{"name": "main", "env": [{"name": "B", "value": "2"}]}]},
    "a value that needs escapes": {"containers": [{"name": "main", "env": [{"name": "A", "value": "a<b>&c\u00fc\n"}]}]},
    "the node selector": {"nodeSelector": {"a": "b"}},
    "the grace period": {"terminationGracePeriodSeconds": 9},
    "a container more": {"containers": [{"name": "more", "image": "nginx:1"}]},
    "resources": {"containers": [{"name": "main", "resources": {"limits": {"cpu": "1"}}}]},
    "the node and much else": {
        "nodeName": "n", "restartPolicy": "Never", "hostname": "h", "tolerations": [{"operator": "Exists"}],
        "containers": [{"name": "main", "image": "x:2", "ports": [{"containerPort": 80}], "command": ["a"]}],
        "volumes": [{"name": "v", "emptyDir": {}}], "activeDeadlineSeconds": 60,
    },
}  # fmt: skip


async def _change(api: Api, change: dict[str, Any]) -> None:
    await api.setup("POST", api.path("v1", "pods"), POD)
    await api.ask("PATCH", api.path("v1", "pods", "p"), {"spec": change}, "strategic")


TOLERATIONS: Final[dict[str, list[dict[str, Any]]]] = {
    "everything": [{"operator": "Exists"}],
    "any effect": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists"}],
    "another effect": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoSchedule"}],
    "any key of an effect": [{"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}],
}


async def _tolerate(api: Api, tolerations: list[dict[str, Any]]) -> None:
    spec = {**POD["spec"], "tolerations": tolerations}
    await api.ask("POST", api.path("v1", "pods"), {**POD, "spec": spec})


for _name, _tolerations in TOLERATIONS.items():
    CASES.many(f"a pod that tolerates {_name} gets what it lacks", partial(_tolerate, tolerations=_tolerations))
for _name, _change_ in CHANGES.items():
    CASES.many(f"a pod refuses a change of {_name} and shows it", partial(_change, change=_change_))
