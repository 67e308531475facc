"""Rules of each kind: what is invalid, field by field, with the original's reasons. Types are checked in decoding."""

import base64
from collections.abc import Callable
from typing import Final

from midwatch_lab import names
from midwatch_lab.custom import definition_rules, objects
from midwatch_lab.custom.resource import CustomResource
from midwatch_lab.kinds import (
    access_validation,
    autoscaling_validation,
    cron_job_validation,
    event_validation,
    job_updates,
    job_validation,
    network_validation,
    node_rules,
    pod_changes,
    pod_validation,
    policy_validation,
    rules,
    service_validation,
    storage_validation,
    workload_status,
    workload_validation,
)
from midwatch_lab.kinds.resources import CUSTOM_RESOURCE_DEFINITIONS, EVENTS, EVENTS_V1, Resource
from midwatch_lab.kinds.rules import Faults
from midwatch_lab.objects import Object, dig, is_terminating, meta
from midwatch_lab.status import FieldFault, forbidden_field, invalid, invalid_value

_CHECKED_TWICE: Final = frozenset({"ConfigMap", "ControllerRevision", "Job"})
"""Kinds whose metadata the original checks once more in an update."""
_DATA_MAX: Final = 1024 * 1024
_IMMUTABLE: Final = "field is immutable"


def check(
    resource: Resource, obj: Object, old: Object | None = None, subresource: str = "", *, asked: Resource | None = None
) -> None:
    """Check an object before it is stored; with `old`, also that nothing changes that may not.

    `asked` is the version that the client spoke, where it is another.

    Raises:
        ApiError: 422, with one cause a fault.
    """
    faults: list[FieldFault] = []
    if old is not None:
        # The original checks the metadata of an update by itself, as an update of the kind, and as the kind.
        faults.extend([*_metadata_update(obj, old), *rules.keys_and_values(obj)] * 2)
    if isinstance(resource, CustomResource):
        faults.extend(objects.check(resource, obj, old, subresource))
        if faults:
            raise invalid(resource.kind, resource.group, str(meta(obj).get("name", "")), faults)
        return
    if resource is EVENTS:
        faults = [*(event_validation.group(obj, old) if asked is EVENTS_V1 else event_validation.core(obj))]
        if faults:
            raise invalid(resource.kind, resource.group, str(meta(obj).get("name", "")), faults)
        return
    own = [*rules.metadata(obj, _name_rule(resource.kind)), *rules.standard_finalizers(obj)]
    faults.extend(own * (2 if old is not None and resource.kind in _CHECKED_TWICE else 1))
    faults.extend(_own(resource, obj, old, subresource))
    if faults:
        raise invalid(resource.kind, resource.group, str(meta(obj).get("name", "")), faults)


def _own(resource: Resource, obj: Object, old: Object | None, subresource: str) -> Faults:
    """Check what the kind itself asks for."""
    kind = resource.kind
    if old is not None and subresource == "status" and kind in _STATUS:
        yield from _STATUS[kind](obj, old)
        return
    if old is not None and kind in _WHOLE_UPDATES:
        yield from _WHOLE_UPDATES[kind](obj, old)
        return
    rule = _RULES.get(kind)
    if rule is not None and not (resource is CUSTOM_RESOURCE_DEFINITIONS and subresource == "status"):
        yield from rule(obj)
    update = _UPDATES.get(kind)
    if old is not None and update is not None:
        yield from update(obj, old)


def _name_rule(kind: str) -> Callable[[str], str | None]:
    match kind:
        case "Service" | "Namespace":
            return names.dns_label_fault
        case "StatefulSet":
            return workload_validation.stateful_set_name
        case "Role" | "ClusterRole" | "RoleBinding" | "ClusterRoleBinding":
            return names.path_segment_fault
        case _:
            return names.dns_subdomain_fault


def _metadata_update(obj: Object, old: Object) -> Faults:
    if is_terminating(old):
        new = [name for name in meta(obj).get("finalizers", []) if name not in meta(old).get("finalizers", [])]
        if new:
            shown = "[]string{" + ", ".join(f'"{name}"' for name in sorted(new)) + "}"
            detail = f"no new finalizers can be added if the object is being deleted, found new finalizers {shown}"
            yield forbidden_field("metadata.finalizers", detail)
    for key in ("name", "namespace", "uid", "creationTimestamp"):
        new_value, old_value = meta(obj).get(key), meta(old).get(key)
        if new_value != old_value:
            yield invalid_value(f"metadata.{key}", new_value, _IMMUTABLE)


def _pod(obj: Object) -> Faults:
    yield from pod_validation.pod_spec(obj.get("spec", {}), "spec")


def _config_map(obj: Object) -> Faults:
    data, binary = dig(obj, "data", default={}), dig(obj, "binaryData", default={})
    for path, found in (("data", data), ("binaryData", binary)):
        for key in found:
            if not key or any(not (c.isalnum() or c in "-_.") for c in key):
                detail = (
                    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
                    "'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
                )
                yield invalid_value(f"{path}[{key}]", key, detail)
    for key in binary.keys() & data.keys():
        yield invalid_value(f"data[{key}]", key, "duplicate of key present in binaryData")
    size = sum(len(value.encode()) for value in data.values())
    size += sum(len(base64.b64decode(value)) for value in binary.values())
    if size > _DATA_MAX:
        yield FieldFault("[]", "FieldValueTooLong", f"Too long: may not be more than {_DATA_MAX} bytes")


def _same_selector(new: Object, old: Object) -> Faults:
    if dig(new, "spec", "selector") != dig(old, "spec", "selector"):
        yield invalid_value("spec.selector", dig(new, "spec", "selector"), _IMMUTABLE)


def _unlocked(new: Object, old: Object) -> Faults:
    if not old.get("immutable"):
        return
    if not new.get("immutable"):
        yield forbidden_field("immutable", "field is immutable when `immutable` is set")
    for key in ("data", "binaryData", "stringData"):
        if new.get(key) != old.get(key):
            yield forbidden_field(key, "field is immutable when `immutable` is set")


def _same_secret_type(new: Object, old: Object) -> Faults:
    if new.get("type") != old.get("type"):
        yield invalid_value("type", new.get("type"), _IMMUTABLE)
    yield from _unlocked(new, old)


_RULES: Final[dict[str, Callable[[Object], Faults]]] = {
    "Deployment": workload_validation.deployment,
    "ReplicaSet": workload_validation.replica_set,
    "StatefulSet": workload_validation.stateful_set,
    "DaemonSet": workload_validation.daemon_set,
    "ControllerRevision": workload_validation.controller_revision,
    "PodTemplate": workload_validation.pod_template,
    "Job": job_validation.job,
    "CronJob": cron_job_validation.cron_job,
    "Node": node_rules.taints,
    "Pod": _pod,
    "Service": service_validation.service,
    "ConfigMap": _config_map,
    "HorizontalPodAutoscaler": autoscaling_validation.autoscaler,
    "PodDisruptionBudget": policy_validation.budget,
    "ResourceQuota": policy_validation.quota,
    "LimitRange": policy_validation.limit_range,
    "PriorityClass": policy_validation.priority_class,
    "PersistentVolumeClaim": storage_validation.claim,
    "PersistentVolume": storage_validation.volume,
    "StorageClass": storage_validation.storage_class,
    "Ingress": network_validation.ingress,
    "IngressClass": network_validation.ingress_class,
    "NetworkPolicy": network_validation.network_policy,
    "CustomResourceDefinition": definition_rules.check,
    "Role": access_validation.role,
    "ClusterRole": access_validation.cluster_role,
    "RoleBinding": access_validation.binding,
    "ClusterRoleBinding": access_validation.binding,
}
_UPDATES: Final[dict[str, Callable[[Object, Object], Faults]]] = {
    "Deployment": _same_selector,
    "ReplicaSet": _same_selector,
    "StatefulSet": workload_validation.stateful_set_update,
    "Node": node_rules.update,
    "Pod": pod_changes.pod_update,
    "Service": service_validation.same_cluster_ip,
    "ConfigMap": _unlocked,
    "Secret": _same_secret_type,
    "ResourceQuota": policy_validation.quota_update,
    "PersistentVolumeClaim": storage_validation.claim_update,
    "PersistentVolume": storage_validation.volume_update,
    "CustomResourceDefinition": definition_rules.check_update,
    "RoleBinding": access_validation.binding_update,
    "ClusterRoleBinding": access_validation.binding_update,
}
_WHOLE_UPDATES: Final[dict[str, Callable[[Object, Object], Faults]]] = {
    "DaemonSet": workload_validation.daemon_set_update,
    "ControllerRevision": workload_validation.controller_revision_update,
    "Job": job_updates.job_update,
    "PriorityClass": policy_validation.priority_class_update,
    "StorageClass": storage_validation.storage_class_update,
    "IngressClass": network_validation.ingress_class_update,
}
"""Updates that are not checked as the kind and then as an update, but in an order of their own."""
_STATUS: Final[dict[str, Callable[[Object, Object], Faults]]] = {
    "Deployment": workload_status.deployment,
    "ReplicaSet": workload_status.replica_set,
    "StatefulSet": workload_status.stateful_set,
    "DaemonSet": workload_status.daemon_set,
    "Job": job_updates.job_status,
    "CronJob": workload_status.cron_job,
}
"""What is checked of an update of the status, and nothing else."""
