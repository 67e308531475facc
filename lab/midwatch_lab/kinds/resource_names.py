"""Names of resources: which may be counted by quotas, limited by ranges, and asked for by containers."""

from typing import Final

from midwatch_lab import names

STANDARD: Final = frozenset({
    "cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory", "requests.ephemeral-storage",
    "limits.cpu", "limits.memory", "limits.ephemeral-storage", "pods", "resourcequotas", "services",
    "replicationcontrollers", "secrets", "configmaps", "persistentvolumeclaims", "storage", "requests.storage",
    "services.nodeports", "services.loadbalancers", "count/resourceclaims.resource.k8s.io",
})  # fmt: skip
"""Resource names without a domain."""
QUOTA: Final = STANDARD - {"storage"}
_CONTAINER: Final = frozenset({"cpu", "memory", "ephemeral-storage"})
_COUNTED: Final = frozenset({
    "pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps", "persistentvolumeclaims",
    "services.nodeports", "services.loadbalancers", "count/resourceclaims.resource.k8s.io",
})  # fmt: skip
HUGE_PAGES: Final = "hugepages-"
_NATIVE: Final = "kubernetes.io/"


def is_native(name: str) -> bool:
    """Tell whether a resource is Kubernetes' own: it has no domain, or a `kubernetes.io` one."""
    return "/" not in name or _NATIVE in name


def is_extended(name: str) -> bool:
    """Tell whether a resource is somebody's own, such as `example.com/gpu`."""
    return not is_native(name) and not name.startswith("requests.") and not names.label_key_faults(f"requests.{name}")


def is_counted(name: str) -> bool:
    """Tell whether a resource comes in whole numbers."""
    return name in _COUNTED or name.startswith("count/") or is_extended(name)


def name_faults(name: str) -> list[str]:
    """Return why a text is no name of a resource."""
    found = names.label_key_faults(name)
    if (
        not found
        and "/" not in name
        and name not in STANDARD
        and not name.startswith((HUGE_PAGES, "requests." + HUGE_PAGES))
    ):
        found.append("must be a standard resource type or fully qualified")
    return found


def quota_faults(name: str) -> list[str]:
    """Return why a resource cannot be counted by a quota."""
    found = name_faults(name)
    if "/" not in name and name not in QUOTA and not name.startswith((HUGE_PAGES, "requests." + HUGE_PAGES)):
        found.append("must be a standard resource for quota")
    return found


def container_faults(name: str) -> list[str]:
    """Return why a container cannot ask for a resource."""
    found = name_faults(name)
    if "/" not in name and name not in _CONTAINER and not name.startswith(HUGE_PAGES):
        found.append("must be a standard resource for containers")
    return found


def may_overcommit(name: str) -> bool:
    """Tell whether limits of a resource may lie over its requests."""
    return is_native(name) and not name.startswith(HUGE_PAGES)
