"""Objects as the original prints them in some refusals: its own structures, under Go's names, with every field.

Some faults are about a whole structure, and their messages hold it as JSON of the server's internal type. The table
says which fields those types have, in order; a field's JSON name follows from its Go name.
"""

import re
from typing import Any, Final, cast

from midwatch_lab.objects import Object, dig
from midwatch_lab.status import go_json, quoted

_POD_SECURITY: Final = ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers")
"""Fields of a pod's specification that the internal types keep in its security context."""
_LEADING: Final = re.compile(r"^([A-Z]+)(?=[A-Z][a-z]|$)|^[A-Z]")
_STRUCTS: Final[dict[str, str]] = {
    "PodSpec": (
        "Volumes[Volume] InitContainers[Container] Containers[Container] EphemeralContainers RestartPolicy:s "
        "TerminationGracePeriodSeconds ActiveDeadlineSeconds DNSPolicy:s NodeSelector ServiceAccountName:s "
        "AutomountServiceAccountToken NodeName:s SecurityContext*PodSecurityContext ImagePullSecrets[Named] Hostname:s "
        "Subdomain:s SetHostnameAsFQDN Affinity*Affinity SchedulerName:s Tolerations[Toleration] HostAliases "
        "PriorityClassName:s Priority PreemptionPolicy DNSConfig ReadinessGates RuntimeClassName Overhead "
        "EnableServiceLinks TopologySpreadConstraints OS*Named SchedulingGates[Named] ResourceClaims Resources "
        "HostnameOverride SchedulingGroup"
    ),
    "Container": (
        "Name:s Image:s Command Args WorkingDir:s Ports[ContainerPort] EnvFrom Env[EnvVar] "
        "Resources=ResourceRequirements ResizePolicy RestartPolicy RestartPolicyRules VolumeMounts[VolumeMount] "
        "VolumeDevices LivenessProbe*Probe ReadinessProbe*Probe StartupProbe*Probe Lifecycle TerminationMessagePath:s "
        "TerminationMessagePolicy:s ImagePullPolicy:s SecurityContext Stdin:b StdinOnce:b TTY:b"
    ),
    "ResourceRequirements": "Limits Requests Claims",
    "PodSecurityContext": (
        "HostNetwork:b HostPID:b HostIPC:b ShareProcessNamespace HostUsers SELinuxOptions WindowsOptions RunAsUser "
        "RunAsGroup RunAsNonRoot SupplementalGroups SupplementalGroupsPolicy FSGroup FSGroupChangePolicy Sysctls "
        "SeccompProfile AppArmorProfile SELinuxChangePolicy"
    ),
    "Affinity": "NodeAffinity PodAffinity PodAntiAffinity",
    "Toleration": "Key:s Operator:s Value:s Effect:s TolerationSeconds",
    "Named": "Name:s",
    "ContainerPort": "Name:s HostPort:i ContainerPort:i Protocol:s HostIP:s",
    "EnvVar": "Name:s Value:s ValueFrom",
    "VolumeMount": "Name:s ReadOnly:b RecursiveReadOnly MountPath:s SubPath:s MountPropagation SubPathExpr:s",
    "Probe": (
        "Exec HTTPGet TCPSocket GRPC InitialDelaySeconds:i TimeoutSeconds:i PeriodSeconds:i SuccessThreshold:i "
        "FailureThreshold:i TerminationGracePeriodSeconds"
    ),
    "Volume": (
        "Name:s HostPath EmptyDir*EmptyDir GCEPersistentDisk AWSElasticBlockStore GitRepo Secret NFS ISCSI Glusterfs "
        "PersistentVolumeClaim RBD Quobyte FlexVolume Cinder CephFS Flocker DownwardAPI FC AzureFile ConfigMap "
        "VsphereVolume AzureDisk PhotonPersistentDisk Projected PortworxVolume ScaleIO StorageOS CSI Ephemeral Image"
    ),
    "EmptyDir": "Medium:s SizeLimit",
    "StatefulSetUpdateStrategy": "Type:s RollingUpdate*RollingUpdateStatefulSetStrategy",
    "RollingUpdateStatefulSetStrategy": "Partition:i MaxUnavailable",
    "DaemonSetUpdateStrategy": "Type:s RollingUpdate*RollingUpdateDaemonSet",
    "RollingUpdateDaemonSet": "MaxUnavailable MaxSurge",
    "PodFailurePolicy": "Rules[PodFailurePolicyRule]",
    "PodFailurePolicyRule": "Action:s OnExitCodes*OnExitCodes OnPodConditions[OnPodCondition]",
    "OnExitCodes": "ContainerName Operator:s Values",
    "OnPodCondition": "Type:s Status:s",
    "SuccessPolicy": "Rules[SuccessPolicyRule]",
    "SuccessPolicyRule": "SucceededIndexes SucceededCount",
}
"""By type: its fields; `:s`, `:i` and `:b` for texts, numbers and truth values that are never null, `[T]` for a list of
structures, `*T` for one that may be missing, `=T` for one that may not, nothing for what is null where it is missing.
"""
_FIELD: Final = re.compile(r"(\w+)(?::([sib])|\[(\w+)\]|([*=])(\w+))?")
_ZEROS: Final = {"s": '""', "i": "0", "b": "false"}


def json_name(name: str) -> str:
    """Return the JSON name of a Go field: `DNSPolicy` is `dnsPolicy`."""
    return _LEADING.sub(lambda found: found[0].lower(), name)


def go_struct(kind: str, value: Object) -> str:
    """Return a structure of a type in the table as the original prints it."""
    return "{" + ",".join(f'"{name}":{_field(value, *field)}' for name, *field in _fields(kind)) + "}"


def go_template(template: Object) -> str:
    """Return a template of pods as the original prints it: its metadata's fields, then the specification."""
    metadata = dict(sorted(dig(template, "metadata", default={}).items()))
    parts = [f"{quoted(key)}:{go_json(value)}" for key, value in metadata.items()]
    return "{" + ",".join([*parts, f'"Spec":{go_pod_spec(template.get("spec", {}))}']) + "}"


def go_pod_spec(spec: Object) -> str:
    """Return a specification of a pod as the original prints it."""
    moved = {key: spec[key] for key in _POD_SECURITY if key in spec}
    return go_struct("PodSpec", {**spec, "securityContext": {**spec.get("securityContext", {}), **moved}})


def _fields(kind: str) -> list[tuple[str, ...]]:
    return [(found[1], *(found[index] or "" for index in range(1, 6))) for found in _FIELD.finditer(_STRUCTS[kind])]


def _field(owner: Object, name: str, zero: str, items: str, mark: str, struct: str) -> str:  # noqa: PLR0917 (a field's parts)
    value: Any = owner.get(json_name(name))
    if items and isinstance(value, list):
        return "[" + ",".join(go_struct(items, item) for item in cast("list[Object]", value)) + "]"
    if struct and (value is not None or mark == "="):
        return go_struct(struct, value or {})
    if value is None:
        return _ZEROS.get(zero, "null")
    return go_json(_capitalised(value)) if isinstance(value, dict) and not _is_map(name) else go_json(value)


def _is_map(name: str) -> bool:
    return name in ("NodeSelector", "Overhead", "Limits", "Requests")


def _capitalised(value: Any) -> Any:
    """Return a structure that is not in the table, under Go's names: what is missing in it is left out."""
    if isinstance(value, dict):
        given = cast("Object", value)
        return {key[:1].upper() + key[1:]: _capitalised(item) for key, item in given.items()}
    if isinstance(value, list):
        return [_capitalised(item) for item in cast("list[Any]", value)]
    return value
