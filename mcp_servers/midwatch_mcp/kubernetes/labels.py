"""Label selectors judged here, where the API offers no query for the question (pure).

Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
"""

from collections.abc import Mapping
from typing import Any

from midwatch_mcp.kubernetes.room import mapping, objects, text, texts


def matches(selector: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    """Say whether a LabelSelector selects an object with these labels; an empty one selects all."""
    same = all(labels.get(key) == value for key, value in mapping(selector, "matchLabels").items())
    return same and all(_holds(entry, labels) for entry in objects(selector.get("matchExpressions")))


def _holds(entry: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    key, values = text(entry, "key"), texts(entry, "values")
    match entry.get("operator"):
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
        case _:
            return False
