"""What the registry does to objects around a write: the parts that only the server may set or must keep."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from midwatch_contracts.times import rfc3339
from midwatch_lab import status
from midwatch_lab.custom.resource import CustomResource
from midwatch_lab.custom.status import initial, stored_versions
from midwatch_lab.kinds.resources import (
    CUSTOM_RESOURCE_DEFINITIONS,
    DEPLOYMENTS,
    JOBS,
    NAMESPACES,
    NODES,
    PODS,
    PRIORITY_CLASSES,
    VOLUMES,
    Resource,
)
from midwatch_lab.objects import Object, annotations_of, copied, dig, is_terminating, meta, name_of, without

KEPT: Final = (
    "uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion",
    "managedFields", "generateName",
)  # fmt: skip
"""Metadata that an update takes from what is stored, whatever the client sent."""
_PROPAGATING: Final = frozenset({"foregroundDeletion", "orphan"})
SERVER_SET: Final = (
    "uid", "resourceVersion", "creationTimestamp", "selfLink", "managedFields", "deletionTimestamp",
    "deletionGracePeriodSeconds",
)  # fmt: skip
"""Metadata that a client cannot give to a new object."""


@dataclass(frozen=True)
class DeleteOptions:
    """How something is to be deleted; `grace` in seconds, None for the kind's default."""

    grace: int | None = None
    propagation: str = ""
    uid: str | None = None
    resource_version: str | None = None


@dataclass(frozen=True)
class ResetFields:
    """Which fields a door of a resource does not write, and whose owners it therefore leaves alone."""

    has_status: bool
    subresource: str

    def covers(self, path: tuple[str, ...]) -> bool:
        """Tell whether a path (in FieldsV1 elements) lies in such a field."""
        if not self.has_status:
            return False
        if self.subresource == "status":
            return path[0] not in ("f:status", "f:metadata")
        return path[0] == "f:status"


def begin_status(resource: Resource, obj: Object, blank: Object) -> None:
    """Give a new object the status of a blank one, since its creator cannot set it (a Node describes itself)."""
    if isinstance(resource, CustomResource):
        obj.pop("status", None)
    elif resource is CUSTOM_RESOURCE_DEFINITIONS:
        obj["status"] = initial(obj)
    elif resource in (NODES, NAMESPACES):
        obj.setdefault("status", {})
    else:
        obj["status"] = copied(dig(blank, "status", default={}))


def divide(resource: Resource, new: Object, old: Object, subresource: str) -> None:
    """Keep what this door does not write: status on the main one, all but status on the other (in place)."""
    if not resource.has_status:
        return
    if subresource == "status":
        kept = {key: copied(old[key]) for key in old if key not in ("status", "metadata", "apiVersion")}
        for key in set(new) - {"status", "metadata", "apiVersion"}:
            del new[key]
        new.update(kept)
        if resource is DEPLOYMENTS:
            keep_labels(new, old)
        if isinstance(resource, CustomResource):
            new["metadata"] = {**meta(old), "managedFields": meta(new).get("managedFields", [])}
    elif "status" in old:
        new["status"] = copied(old["status"])
        if resource is CUSTOM_RESOURCE_DEFINITIONS:
            new["status"]["storedVersions"] = stored_versions(new, new["status"]["storedVersions"])
    else:
        new.pop("status", None)


def stamp_phase(resource: Resource, new: Object, old: Object, now: str) -> None:
    """Note when a volume's phase changed (in place)."""
    if resource is VOLUMES and dig(new, "status", "phase") != dig(old, "status", "phase"):
        new["status"]["lastPhaseTransitionTime"] = now


def settle_metadata(resource: Resource, new: Object, old: Object) -> None:
    """Give an update the metadata that the server keeps (in place).

    Raises:
        ApiError: 409 (it carries another resourceVersion), 422 (it changes what is fixed) or 500 (it carries none).
    """
    sent, stored = meta(new), meta(old)
    version = str(sent.get("resourceVersion") or "")
    if version and not version.isdigit():
        raise status.internal(f'strconv.ParseUint: parsing "{version}": invalid syntax')
    if version and version != stored.get("resourceVersion"):
        raise status.conflict(resource, name_of(old))
    for key in ("uid", "deletionTimestamp", "deletionGracePeriodSeconds"):
        if sent.get(key) in (None, "") or sent[key] == stored.get(key) or (key != "uid" and is_terminating(old)):
            continue
        # Twice, as every fault of an update's metadata.
        fault = status.invalid_value(f"metadata.{key}", sent[key], "field is immutable")
        raise status.invalid(resource.kind, resource.group, name_of(old), [fault, fault])
    kept = {key: stored[key] for key in KEPT if key in stored}
    new["metadata"] = {**without(sent, (*KEPT, "selfLink")), **kept}
    if resource.namespaced:
        new["metadata"].setdefault("namespace", dig(old, "metadata", "namespace"))


def keep_labels(new: Object, old: Object) -> None:
    """Give an object the labels that it has (in place)."""
    new["metadata"].pop("labels", None)
    if "labels" in meta(old):
        new["metadata"]["labels"] = meta(old)["labels"]


def spec_part(obj: Object) -> Object:
    """Return what `metadata.generation` counts the changes of."""
    return {key: value for key, value in obj.items() if key not in ("metadata", "status", "apiVersion", "kind")}


def counts_as_change(resource: Resource, new: Object, old: Object, subresource: str) -> bool:
    """Tell whether an update makes a new generation; new annotations of a Deployment do (its ReplicaSets copy them)."""
    if not resource.generation or subresource == "status" or resource is PRIORITY_CLASSES:
        return False
    if isinstance(resource, CustomResource) and not resource.has_status:
        return spec_part(new) != spec_part(old) or new.get("status") != old.get("status")
    if resource is DEPLOYMENTS and annotations_of(new) != annotations_of(old):
        return True
    return spec_part(new) != spec_part(old)


def fold_string_data(obj: Object) -> None:
    """Move a Secret's `stringData` into `data` (in place)."""
    if obj.get("kind") != "Secret":
        return
    texts: dict[str, str] = obj.pop("stringData", None) or {}
    if texts:
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in texts.items()}
        obj["data"] = obj.get("data", {}) | encoded


def keep_addresses(new: Object, old: Object) -> None:
    """Give an updated Service the addresses that it has, where the update leaves them out (in place)."""
    spec, before = new.get("spec", {}), old.get("spec", {})
    if "ExternalName" in (spec.get("type"), before.get("type")):
        return
    for key in ("clusterIP", "clusterIPs"):
        if not spec.get(key) and key in before:
            spec[key] = before[key]
    numbers = {(port.get("port"), port.get("protocol")): port.get("nodePort") for port in before.get("ports", [])}
    if spec.get("type") in ("NodePort", "LoadBalancer"):
        for port in spec.get("ports", []):
            kept = numbers.get((port.get("port"), port.get("protocol")))
            if not port.get("nodePort") and kept:
                port["nodePort"] = kept
    elif [port.get("nodePort") for port in spec.get("ports", [])] == [
        port.get("nodePort") for port in before.get("ports", [])
    ]:
        for port in spec.get("ports", []):
            port.pop("nodePort", None)
    policy = "externalTrafficPolicy"
    if spec.get("type") == "ClusterIP" and policy in before and spec.get(policy) == before[policy]:
        del spec[policy]


def check_preconditions(resource: Resource, old: Object, options: DeleteOptions) -> None:
    """Refuse a deletion that was meant for another object, or another version of it.

    Raises:
        ApiError: 409.
    """
    uid, version = meta(old).get("uid"), meta(old).get("resourceVersion")
    if options.uid is not None and options.uid != uid:
        why = (
            f"the UID in the precondition ({options.uid}) does not match the UID in record ({uid}). The object might "
            "have been deleted and then recreated"
        )
        raise status.precondition(resource, name_of(old), why)
    if options.resource_version is not None and options.resource_version != version:
        why = (
            f"the ResourceVersion in the precondition ({options.resource_version}) does not match the ResourceVersion "
            f"in record ({version}). The object might have been modified"
        )
        raise status.precondition(resource, name_of(old), why)


def marked(resource: Resource, obj: Object, at: str, grace: int) -> Object:
    """Return an object that is to go at a time, after the seconds that it is given."""
    metadata = {**meta(obj), "deletionTimestamp": at}
    if resource is not NAMESPACES:
        metadata["deletionGracePeriodSeconds"] = grace
    if resource.generation and not is_terminating(obj):
        metadata["generation"] = int(metadata.get("generation", 0)) + 1
    return {**obj, "metadata": metadata}


def finalizers_after(resource: Resource, propagation: str, finalizers: Sequence[str]) -> list[str]:
    """Return the finalizers that a policy leaves to an object that is deleted; Jobs leave their pods unless asked."""
    if not propagation and resource is JOBS and not _PROPAGATING.intersection(finalizers):
        propagation = "Orphan"
    wanted = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}.get(propagation)
    if not propagation or wanted in finalizers:
        return list(finalizers)
    kept = [finalizer for finalizer in finalizers if finalizer not in _PROPAGATING]
    return [*kept, wanted] if wanted else kept


def grace_of(resource: Resource, old: Object, options: DeleteOptions) -> int:
    """Return the seconds that a deletion leaves to the object; only a Pod that is on a node gets any."""
    if resource is not PODS or not dig(old, "spec", "nodeName"):
        return 0
    if dig(old, "status", "phase") in ("Succeeded", "Failed"):
        return 0
    if options.grace is not None:
        return max(0, options.grace)
    return int(dig(old, "spec", "terminationGracePeriodSeconds", default=30))


def is_held(resource: Resource, obj: Object, finalizers: Sequence[str]) -> bool:
    """Tell whether finalizers keep the object after its deletion was asked for."""
    return bool(finalizers) or (resource is NAMESPACES and bool(dig(obj, "spec", "finalizers")))


def doomed(resource: Resource, old: Object, options: DeleteOptions, now: float) -> Object | None:
    """Return what a deletion at a time (Unix seconds) leaves of an object for now; None where nothing holds it."""
    metadata = dict(meta(old))
    finalizers = finalizers_after(resource, options.propagation, metadata.get("finalizers", []))
    metadata["finalizers"] = finalizers
    if not finalizers:
        del metadata["finalizers"]
    left = {**old, "metadata": metadata}
    grace = grace_of(resource, old, options)
    if not grace and not is_held(resource, old, finalizers):
        return None
    if not is_terminating(old) or grace < metadata.get("deletionGracePeriodSeconds", grace + 1):
        left = marked(resource, left, rfc3339(now + grace).partition(".")[0] + "Z", grace)
    if resource is NAMESPACES:
        left["status"] = {**old.get("status", {}), "phase": "Terminating"}
    return left
