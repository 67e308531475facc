"""Columns of autoscalers and of the kinds of policy, storage and networking."""

from collections.abc import Callable
from typing import Final

from midwatch_lab.kinds.column import AGE, NAME, NONE, Column, of, path, selector_text
from midwatch_lab.objects import Object, annotations_of, dig, is_terminating, name_of

_UNKNOWN: Final = "<unknown>"
_UNSET: Final = "<unset>"
_METRICS_SHOWN: Final = 2
_MODES: Final = {
    "ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP",
}  # fmt: skip
_OLD_CLASS: Final = "volume.beta.kubernetes.io/storage-class"
_DEFAULT_CLASS: Final = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)


def autoscaler_targets(obj: Object) -> str:
    """Return what an autoscaler sees and what it wants, metric by metric."""
    current: list[Object] = dig(obj, "status", "currentMetrics", default=[])
    metrics: list[Object] = dig(obj, "spec", "metrics", default=[])
    texts = [_metric(metric, current[index] if index < len(current) else {}) for index, metric in enumerate(metrics)]
    more = f" + {len(texts) - _METRICS_SHOWN} more..." if len(texts) > _METRICS_SHOWN else ""
    return ", ".join(texts[:_METRICS_SHOWN]) + more or NONE


def _metric(metric: Object, seen: Object) -> str:
    kind = str(metric.get("type", ""))
    field = kind[:1].lower() + kind[1:]
    target, now = dig(metric, field, "target", default={}), dig(seen, field, "current", default={})
    match kind:
        case "Resource" | "ContainerResource":
            return f"{dig(metric, field, 'name', default='')}: {_resource(target, now)}"
        case "Pods":
            return f"{now.get('averageValue', _UNKNOWN)}/{target.get('averageValue')}"
        case "External" | "Object":
            if "averageValue" in target:
                return f"{now.get('averageValue', _UNKNOWN)}/{target['averageValue']} (avg)"
            return f"{now.get('value', _UNKNOWN)}/{target.get('value')}"
        case _:
            return "<unknown type>"


def _resource(target: Object, now: Object) -> str:
    if "averageValue" in target:
        return f"{now.get('averageValue', _UNKNOWN)}/{target['averageValue']}"
    used, wanted = now.get("averageUtilization"), target.get("averageUtilization")
    return f"{_UNKNOWN if used is None else f'{used}%'}/{'<auto>' if wanted is None else f'{wanted}%'}"


def _quota(*, limits: bool) -> Callable[[Object], str]:
    def read(obj: Object) -> str:
        hard, used = dig(obj, "status", "hard", default={}), dig(obj, "status", "used", default={})
        return ", ".join(
            f"{name}: {used.get(name, '0')}/{hard[name]}"
            for name in sorted(hard)
            if name.startswith("limits.") is limits
        )

    return read


def _modes(modes: list[str]) -> str:
    return ",".join(short for mode, short in _MODES.items() if mode in modes)


def _phase(obj: Object) -> str:
    return "Terminating" if is_terminating(obj) else str(dig(obj, "status", "phase", default=""))


def _storage_class(obj: Object) -> str:
    old = annotations_of(obj).get(_OLD_CLASS)
    return old if old is not None else str(dig(obj, "spec", "storageClassName", default=""))


def _claim(obj: Object) -> str:
    claim: Object | None = dig(obj, "spec", "claimRef")
    return "" if claim is None else f"{claim.get('namespace', '')}/{claim.get('name', '')}"


def _claim_capacity(obj: Object) -> str:
    return str(dig(obj, "status", "capacity", "storage", default="0")) if dig(obj, "spec", "volumeName") else ""


def _claim_modes(obj: Object) -> str:
    return _modes(dig(obj, "status", "accessModes", default=[])) if dig(obj, "spec", "volumeName") else ""


def _class_name(obj: Object) -> str:
    usual = any(annotations_of(obj).get(key) == "true" for key in _DEFAULT_CLASS)
    return name_of(obj) + (" (default)" if usual else "")


def _hosts(obj: Object) -> str:
    rules: list[Object] = dig(obj, "spec", "rules", default=[])
    hosts = [rule["host"] for rule in rules if rule.get("host")]
    # How many are left out counts the rules, not the hosts.
    most = 3
    full = next(
        (index for index in range(len(rules)) if sum(bool(rule.get("host")) for rule in rules[:index]) == most), None
    )
    more = "" if full is None else f" + {len(rules) - most} more..."
    return ",".join(hosts[:most]) + more or "*"


def _addresses(obj: Object) -> str:
    found: list[Object] = dig(obj, "status", "loadBalancer", "ingress", default=[])
    return ",".join(str(item.get("ip") or item.get("hostname", "")) for item in found)


def _parameters(obj: Object) -> str:
    found: Object | None = dig(obj, "spec", "parameters")
    if found is None:
        return NONE
    group = f".{found['apiGroup']}" if "apiGroup" in found else ""
    return f"{found.get('kind', '')}{group}/{found.get('name', '')}"


_VOLUME_MODE: Final = Column("VolumeMode", path("spec", "volumeMode", default=_UNSET), priority=1)
_ATTRIBUTES: Final = Column("VolumeAttributesClass", path("spec", "volumeAttributesClassName", default=_UNSET))

COLUMNS: Final[dict[str, tuple[Column, ...]]] = {
    "HorizontalPodAutoscaler": (
        NAME,
        Column(
            "Reference",
            of(lambda o: "/".join(dig(o, "spec", "scaleTargetRef", key, default="") for key in ("kind", "name"))),
        ),
        Column("Targets", of(autoscaler_targets)),
        Column("MinPods", of(lambda obj: str(dig(obj, "spec", "minReplicas", default=_UNSET)))),
        Column("MaxPods", path("spec", "maxReplicas")),
        Column("Replicas", path("status", "currentReplicas", default=0)),
        AGE,
    ),
    "PodDisruptionBudget": (
        NAME,
        Column("Min Available", of(lambda obj: str(dig(obj, "spec", "minAvailable", default="N/A")))),
        Column("Max Unavailable", of(lambda obj: str(dig(obj, "spec", "maxUnavailable", default="N/A")))),
        Column("Allowed Disruptions", path("status", "disruptionsAllowed", default=0), type="integer"),
        AGE,
    ),
    "ResourceQuota": (NAME, Column("Request", of(_quota(limits=False))), Column("Limit", of(_quota(limits=True))), AGE),
    "LimitRange": (NAME, Column("Created At", path("metadata", "creationTimestamp"), type="date")),
    "PriorityClass": (
        NAME,
        Column("Value", path("value", default=0), type="integer"),
        Column("Global-Default", path("globalDefault", default=False), type="boolean"),
        AGE,
        Column("PreemptionPolicy", path("preemptionPolicy", default="")),
    ),
    "PersistentVolume": (
        NAME,
        Column("Capacity", path("spec", "capacity", "storage", default="0")),
        Column("Access Modes", of(lambda obj: _modes(dig(obj, "spec", "accessModes", default=[])))),
        Column("Reclaim Policy", path("spec", "persistentVolumeReclaimPolicy", default="")),
        Column("Status", of(_phase)),
        Column("Claim", of(_claim)),
        Column("StorageClass", of(_storage_class)),
        _ATTRIBUTES,
        Column("Reason", path("status", "reason", default="")),
        AGE,
        _VOLUME_MODE,
    ),
    "PersistentVolumeClaim": (
        NAME,
        Column("Status", of(_phase)),
        Column("Volume", path("spec", "volumeName", default="")),
        Column("Capacity", of(_claim_capacity)),
        Column("Access Modes", of(_claim_modes)),
        Column("StorageClass", of(_storage_class)),
        _ATTRIBUTES,
        AGE,
        _VOLUME_MODE,
    ),
    "StorageClass": (
        Column("Name", of(_class_name)),
        Column("Provisioner", path("provisioner", default="")),
        Column("ReclaimPolicy", path("reclaimPolicy", default="Delete")),
        Column("VolumeBindingMode", path("volumeBindingMode", default="Immediate")),
        Column("AllowVolumeExpansion", path("allowVolumeExpansion", default=False), type="boolean"),
        AGE,
    ),
    "Ingress": (
        NAME,
        Column("Class", path("spec", "ingressClassName")),
        Column("Hosts", of(_hosts)),
        Column("Address", of(_addresses)),
        Column("Ports", of(lambda obj: "80, 443" if dig(obj, "spec", "tls") else "80")),
        AGE,
    ),
    "IngressClass": (
        NAME,
        Column("Controller", path("spec", "controller", default="")),
        Column("Parameters", of(_parameters)),
        AGE,
    ),
    "NetworkPolicy": (
        NAME,
        Column("Pod-Selector", of(lambda obj: selector_text(dig(obj, "spec", "podSelector")))),
        AGE,
    ),
}
