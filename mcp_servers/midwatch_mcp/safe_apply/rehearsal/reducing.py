"""What a lab cannot play of a pod, taken out of a template or a manifest; each cut is told in words."""

import copy
from collections.abc import Mapping
from typing import Any, cast

from midwatch_mcp.safe_apply.values import cleaned

Json = dict[str, Any]

WORKLOADS = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"})
_CUT: Mapping[str, str] = {
    "initContainers": "init containers do not run",
    "nodeSelector": "pods go to any node",
    "affinity": "pods go to any node",
    "tolerations": "pods go to any node",
    "topologySpreadConstraints": "pods go to any node",
    "schedulerName": "pods go to any node",
    "hostNetwork": "pods have addresses of their own",
    "runtimeClassName": "there are no runtime classes",
    "priorityClassName": "there are no priority classes",
    "priority": "there are no priority classes",
    "preemptionPolicy": "there are no priority classes",
    "serviceAccountName": "pods have no service accounts",
    "serviceAccount": "pods have no service accounts",
    "imagePullSecrets": "images are not pulled",
}
_CUT_OF_CONTAINERS: Mapping[str, str] = {
    "resources": "requests and limits do not count",
    "lifecycle": "hooks do not run",
    "volumeMounts": "volumes are not mounted",
    "volumeDevices": "volumes are not mounted",
}
_PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
_PLAYED = frozenset({"httpGet", "tcpSocket"})
_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_LEFT_OUT = ("ownerReferences", "finalizers", "deletionTimestamp", "deletionGracePeriodSeconds", "generateName")
_OF_SERVICES = ("clusterIP", "clusterIPs", "healthCheckNodePort", "loadBalancerIP", "loadBalancerClass", "externalIPs")


def reduced_pod(spec: Json, cuts: set[str]) -> None:
    """Take out of a pod's specification what a lab does not play, and tell of it in `cuts`."""
    for field, why in _CUT.items():
        if spec.pop(field, None):
            cuts.add(why)
    spec.pop("volumes", None)
    for container in cast("list[Json]", spec.get("containers") or []):
        for field, why in _CUT_OF_CONTAINERS.items():
            if container.pop(field, None):
                cuts.add(why)
        for probe in _PROBES:
            found = cast("Json", container.get(probe) or {})
            if found and not _PLAYED & found.keys():
                del container[probe]
                cuts.add("probes that run a command or ask by gRPC are left out")


def reduced_object(value: Mapping[str, Any], cuts: set[str]) -> Json:
    """Return an object of a cluster as a manifest that a lab takes, field owners included."""
    found = cleaned(value)
    metadata = cast("Json", found["metadata"])
    for name in _LEFT_OUT:
        metadata.pop(name, None)
    annotations = cast("Json", metadata.get("annotations") or {})
    annotations.pop(_APPLIED, None)
    if not annotations:
        metadata.pop("annotations", None)
    owners = [
        entry
        for entry in cast("list[Json]", value["metadata"].get("managedFields") or [])
        if entry.get("subresource") != "status"
    ]
    if owners:
        metadata["managedFields"] = copy.deepcopy(owners)
    spec = cast("Json", found.get("spec") or {})
    if found.get("kind") in WORKLOADS:
        reduced_workload(spec, cuts)
    elif found.get("kind") == "Service":
        for name in _OF_SERVICES:
            spec.pop(name, None)
        for port in cast("list[Json]", spec.get("ports") or []):
            port.pop("nodePort", None)
    elif found.get("kind") == "Pod":
        spec.pop("nodeName", None)
        reduced_pod(spec, cuts)
    return found


def reduced_workload(spec: Json, cuts: set[str]) -> None:
    """Reduce the pod template of a workload's specification."""
    template = cast("Json", spec.get("template") or {})
    reduced_pod(cast("Json", template.get("spec") or {}), cuts)
    if spec.pop("volumeClaimTemplates", None):
        cuts.add("volumes are not mounted")
    spec.pop("persistentVolumeClaimRetentionPolicy", None)
