"""Pods and label selectors, read off objects as the API gives them."""

from collections.abc import Mapping
from typing import Any, cast

Object = Mapping[str, Any]


def is_ready(pod: Object) -> bool:
    """Say whether a pod takes traffic: Ready, and not about to go."""
    conditions = cast("list[dict[str, Any]]", cast("dict[str, Any]", pod.get("status") or {}).get("conditions") or [])
    return is_alive(pod) and any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def is_alive(pod: Object) -> bool:
    """Say whether a pod has neither ended nor is about to go."""
    phase = cast("dict[str, Any]", pod.get("status") or {}).get("phase")
    return not pod["metadata"].get("deletionTimestamp") and phase not in ("Succeeded", "Failed")


def labels_of(value: Object) -> Mapping[str, str]:
    """Return an object's labels."""
    metadata = cast("dict[str, Any]", value.get("metadata") or {})
    return cast("dict[str, str]", metadata.get("labels") or {})


def carries(pod: Object, selector: Mapping[str, str]) -> bool:
    """Say whether a pod, or a pod template, has all labels of a Service's selector."""
    return selector.items() <= labels_of(pod).items()


def selected(pod: Object, selector: Mapping[str, Any]) -> bool:
    """Judge a label selector; an empty one selects everything, an operator that is not known nothing."""
    labels = labels_of(pod)
    if not carries(pod, cast("dict[str, str]", selector.get("matchLabels") or {})):
        return False
    return all(_holds(one, labels) for one in cast("list[dict[str, Any]]", selector.get("matchExpressions") or []))


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    value, values = labels.get(str(expression.get("key"))), cast("list[str]", expression.get("values") or [])
    match expression.get("operator"):
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case _:
            return False
