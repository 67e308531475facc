"""What the kubelet says of its nodes: a Node object to register, and conditions that it posts again."""

import platform
from typing import Final

from midwatch_contracts.times import unix_seconds
from midwatch_lab.network.addresses import KUBELET_PORT
from midwatch_lab.objects import Object, dig
from midwatch_lab.schemas.schema import schemas

_ROOM: Final = {"cpu": "16", "memory": "64Gi", "pods": "110", "ephemeral-storage": "100Gi"}
_POST_S: Final = 300.0
"""How often conditions are posted though nothing changed."""
_WORDS: Final = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
)


def node(name: str, address: str, now: str) -> Object:
    """Return a node as it registers itself."""
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": _architecture(),
        "midwatch.lab/node": "true",
    }
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {},
        "status": {
            "capacity": _ROOM,
            "allocatable": _ROOM,
            "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
            "conditions": conditions([], now),
            "daemonEndpoints": {"kubeletEndpoint": {"Port": KUBELET_PORT}},
            "nodeInfo": _info(),
        },
    }


def conditions(before: list[Object], now: str) -> list[Object]:
    """Return a node's conditions as they are, with the times at which each came to be; others are left as they are."""
    known: dict[str, Object] = {item["type"]: item for item in before}
    found: list[Object] = []
    for kind, word, reason, message in _WORDS:
        old = known.pop(kind, {})
        since = old.get("lastTransitionTime", now) if old.get("status") == word else now
        times = {"lastHeartbeatTime": now, "lastTransitionTime": since}
        found.append({"type": kind, "status": word, "reason": reason, "message": message, **times})
    return [*found, *known.values()]


def is_to_be_posted(found: Object, now: float) -> bool:
    """Tell whether a node says something else than it should, or nothing since five minutes."""
    known: dict[str, Object] = {item["type"]: item for item in dig(found, "status", "conditions", default=[])}
    for kind, word, reason, _ in _WORDS:
        old = known.get(kind, {})
        beat = old.get("lastHeartbeatTime")
        if (old.get("status"), old.get("reason")) != (word, reason) or beat is None:
            return True
        if now - unix_seconds(beat) >= _POST_S:
            return True
    return False


def _info() -> Object:
    return {
        "machineID": "",
        "systemUUID": "",
        "bootID": "",
        "kernelVersion": platform.release(),
        "osImage": "midwatch lab",
        "containerRuntimeVersion": "midwatch-lab://0.1",
        "kubeletVersion": f"{schemas().version}+midwatch",
        "kubeProxyVersion": "",
        "operatingSystem": "linux",
        "architecture": _architecture(),
    }


def _architecture() -> str:
    return "amd64" if platform.machine() == "x86_64" else platform.machine()
