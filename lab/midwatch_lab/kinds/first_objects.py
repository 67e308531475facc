"""What is there from the start, on the original too: namespaces, and the priority classes of the system."""

from typing import Final

from midwatch_lab.kinds.policy_validation import SYSTEM_CLASSES
from midwatch_lab.kinds.resources import NAMESPACES, PRIORITY_CLASSES, Resource
from midwatch_lab.objects import Object

SYSTEM_NAMESPACES: Final = ("default", "kube-node-lease", "kube-public", "kube-system")
_SAID: Final = {
    "system-cluster-critical": (
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary."
    ),
    "system-node-critical": "Used for system critical pods that must not be moved from their current node.",
}


def first_objects() -> list[tuple[Resource, Object]]:
    """Return the objects that a control plane makes where they are missing."""
    spaces: list[tuple[Resource, Object]] = [(NAMESPACES, {"metadata": {"name": name}}) for name in SYSTEM_NAMESPACES]
    classes: list[tuple[Resource, Object]] = [
        (PRIORITY_CLASSES, {"metadata": {"name": name}, "value": value, "description": _SAID[name]})
        for name, value in SYSTEM_CLASSES.items()
    ]
    return [*spaces, *classes]
