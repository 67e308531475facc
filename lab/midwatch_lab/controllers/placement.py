"""Where a pod may go, by what nodes are called, labelled and tainted: for the scheduler and for DaemonSets."""

from collections.abc import Iterable
from typing import Final

from midwatch_lab.objects import Object, dig, labels_of, name_of
from midwatch_lab.selectors import LabelSelector, Requirement

UNSCHEDULABLE: Final = "node.kubernetes.io/unschedulable"
NO_SCHEDULE: Final = "NoSchedule"
NO_EXECUTE: Final = "NoExecute"
_OPERATORS: Final = {
    "In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!", "Gt": "gt", "Lt": "lt",
}  # fmt: skip


def taints_of(node: Object) -> list[Object]:
    """Return the taints of a node; one that is cordoned has one more, as its controller would give it."""
    taints: list[Object] = list(dig(node, "spec", "taints", default=[]))
    if dig(node, "spec", "unschedulable") and not any(taint.get("key") == UNSCHEDULABLE for taint in taints):
        taints.append({"key": UNSCHEDULABLE, "effect": NO_SCHEDULE})
    return taints


def tolerations_of(spec: Object, taint: Object) -> list[Object]:
    """Return the tolerations of a pod's specification that fit a taint."""
    return [toleration for toleration in spec.get("tolerations", []) if _tolerates(toleration, taint)]


def is_tolerated(spec: Object, taint: Object) -> bool:
    """Tell whether a pod's specification tolerates a taint."""
    return bool(tolerations_of(spec, taint))


def _tolerates(toleration: Object, taint: Object) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    if toleration.get("key") and toleration["key"] != taint.get("key"):
        return False
    if toleration.get("operator") == "Exists":
        return True
    return bool(toleration.get("key")) and toleration.get("value", "") == taint.get("value", "")


def untolerated(spec: Object, node: Object, effects: Iterable[str]) -> list[Object]:
    """Return the taints of a node with one of the effects that a pod's specification does not tolerate."""
    wanted = frozenset(effects)
    return [taint for taint in taints_of(node) if taint.get("effect") in wanted and not is_tolerated(spec, taint)]


def is_attracted(spec: Object, node: Object) -> bool:
    """Tell whether a node is one that a pod's node selector and required node affinity ask for."""
    if not LabelSelector.of_map(spec.get("nodeSelector")).matches(labels_of(node)):
        return False
    required = dig(spec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    return any(_is_met(term, node) for term in required.get("nodeSelectorTerms", []))


def _is_met(term: Object, node: Object) -> bool:
    """Tell whether all of a term holds; one that asks for nothing never does."""
    asked = [(item, labels_of(node)) for item in term.get("matchExpressions", [])]
    asked += [(item, {"metadata.name": name_of(node)}) for item in term.get("matchFields", [])]
    return bool(asked) and all(
        Requirement(
            str(item.get("key", "")), _OPERATORS.get(item.get("operator"), "in"), frozenset(item.get("values", []))
        ).matches(known)
        for item, known in asked
    )


def bound_by_name(pod: Object) -> str:
    """Return the node that a pod is on or, through its affinity, bound for; empty where neither is said."""
    if node := dig(pod, "spec", "nodeName"):
        return str(node)
    way = ("spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
    field: Object = dig(pod, *way, 0, "matchFields", 0, default={})
    return str(dig(field, "values", 0, default="")) if field.get("key") == "metadata.name" else ""
