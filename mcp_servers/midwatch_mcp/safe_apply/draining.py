"""Which pods of a node a drain makes go, and which it leaves (pure)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from midwatch_mcp.safe_apply.errors import RefusedChangeError
from midwatch_mcp.safe_apply.operations.nodes import DrainedPod
from midwatch_mcp.safe_apply.pods import controller_of

_MIRROR = "kubernetes.io/config.mirror"
_ENDED = ("Succeeded", "Failed")

Json = dict[str, Any]


@dataclass(frozen=True)
class ToGo:
    """The pods that go, in order of their names, and those that stay with the reason."""

    pods: tuple[DrainedPod, ...]
    left: tuple[str, ...]


def pods_to_go(pods: Sequence[Mapping[str, Any]], *, unmanaged: bool) -> ToGo:
    """Choose as `kubectl drain` does: DaemonSet and mirror pods stay; pods that nobody makes again are refused.

    Raises:
        RefusedChangeError: pods without a controller, and `unmanaged` is not given.
    """
    go: list[DrainedPod] = []
    left: list[str] = []
    bare: list[str] = []
    for pod in sorted(pods, key=_name):
        metadata = cast("Json", pod["metadata"])
        owner = controller_of(metadata)
        ended = cast("Json", pod.get("status") or {}).get("phase") in _ENDED
        if _MIRROR in cast("Json", metadata.get("annotations") or {}):
            left.append(f"{_name(pod)} (a mirror pod: the node itself makes it)")
        elif owner.get("kind") == "DaemonSet" and not ended:
            left.append(f"{_name(pod)} (of the DaemonSet {owner.get('name')})")
        elif metadata.get("deletionTimestamp"):
            left.append(f"{_name(pod)} (going already)")
        else:
            if not owner and not ended:
                bare.append(_name(pod))
            go.append(_drained(pod))
    if bare and not unmanaged:
        raise RefusedChangeError(
            "state", f"nobody would make {', '.join(bare)} again (no controller): give unmanaged: true to let them go"
        )
    return ToGo(tuple(go), tuple(left))


def _name(pod: Mapping[str, Any]) -> str:
    return f"{pod['metadata'].get('namespace', '')}/{pod['metadata']['name']}"


def _drained(pod: Mapping[str, Any]) -> DrainedPod:
    volumes = cast("list[Json]", cast("Json", pod.get("spec") or {}).get("volumes") or [])
    loses = tuple(str(volume.get("name")) for volume in volumes if "emptyDir" in volume)
    metadata = cast("Json", pod["metadata"])
    return DrainedPod(
        namespace=str(metadata.get("namespace", "")), name=str(metadata["name"]), uid=str(metadata["uid"]), loses=loses
    )
