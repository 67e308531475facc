"""Server-side apply of a Scale: its one field is the workload's replicas, and so are its owners."""

from dataclasses import dataclass, replace
from typing import Any, Final, cast

from midwatch_lab import status
from midwatch_lab.api.bodies import parse_yaml
from midwatch_lab.api.call import Call
from midwatch_lab.api.writing import check_place
from midwatch_lab.objects import Object, dig, meta
from midwatch_lab.registry import managed_fields
from midwatch_lab.registry.managed_fields import APPLY, Key, Managers, Owned
from midwatch_lab.registry.server_side_apply import conflict_of
from midwatch_lab.registry.typed import Path

_API_VERSION: Final = "autoscaling/v1"
_REPLICAS: Final = ("f:spec", "f:replicas")


@dataclass(frozen=True)
class AppliedScale:
    """The replicas that a configuration asks for (None where it says nothing of them), and the owners after it."""

    replicas: int | None
    managers: Managers


def read_config(call: Call, body: bytes) -> Object:
    """Read the configuration of an apply.

    Raises:
        ApiError: 400 or 422.
    """
    if not call.query("fieldManager"):
        fault = status.required("fieldManager", "is required for apply patch")
        raise status.invalid("PatchOptions", "meta.k8s.io", "", [fault])
    applied: Any = parse_yaml(body)
    wanted = cast("Object", applied) if isinstance(applied, dict) else {}
    version, kind = str(wanted.get("apiVersion") or ""), str(wanted.get("kind") or "")
    if (version, kind) != (_API_VERSION, "Scale"):
        shown = version if "/" in version else f"/{version}"
        raise status.bad_request(f"invalid object type: {shown}, Kind={kind}")
    check_place(call, wanted)
    return wanted


def apply(call: Call, old: Object, config: Object) -> AppliedScale:
    """Return what an apply makes of a workload.

    Raises:
        ApiError: 409 when another manager owns the replicas and they would change, without `force`.
    """
    wanted = dig(config, "spec", "replicas")
    managers = managed_fields.read(meta(old).get("managedFields", []))
    key = managed_fields.key_of(call.origin(), APPLY, _API_VERSION)
    if wanted is None:
        managers.pop(key, None)
        return AppliedScale(None, managers)
    others = {other: owned for other, owned in managers.items() if other != key and _REPLICAS in owned.paths}
    changes = wanted != dig(old, "spec", "replicas")
    if changes and others and not call.flag("force"):
        shown: dict[Key, frozenset[Path]] = {
            (operation, manager, _API_VERSION, under): frozenset([_REPLICAS]) for operation, manager, _, under in others
        }
        raise conflict_of(shown)
    if changes:
        for other, owned in others.items():
            managers[other] = replace(owned, paths=owned.paths - {_REPLICAS})
    found = {other: owned for other, owned in managers.items() if owned.paths}
    # The original translates owners between a Scale and its workload, and loses the time on the way.
    found[key] = Owned(frozenset([_REPLICAS]), str(old["apiVersion"]), None)
    return AppliedScale(wanted, found)
