"""Pods and label selectors, read off objects as the API gives them."""

from collections.abc import Mapping
from typing import Any, cast

from midwatch_mcp.kubernetes.labels import matches

Object = Mapping[str, Any]


def is_ready(pod: Object) -> bool:
    """Say whether a pod takes traffic: Ready, and not about to go."""
    conditions = cast("list[dict[str, Any]]", cast("dict[str, Any]", pod.get("status") or {}).get("conditions") or [])
    return is_alive(pod) and any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def is_alive(pod: Object) -> bool:
    """Say whether a pod has neither ended nor is about to go."""
    phase = cast("dict[str, Any]", pod.get("status") or {}).get("phase")
    return not pod["metadata"].get("deletionTimestamp") and phase not in ("Succeeded", "Failed")


def controller_of(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the owner that makes an object again; empty where there is none."""
    owners = cast("list[dict[str, Any]]", metadata.get("ownerReferences") or [])
    return next((owner for owner in owners if owner.get("controller")), dict[str, Any]())


def serving_port(pod: Object) -> tuple[Mapping[str, Any], int | None]:
    """Return (container, port) of the serving backend: the container port named `http`, or else the first.

    Without any port the first container serves; a pod without containers has an empty one.
    """
    containers = cast("list[dict[str, Any]]", pod["spec"].get("containers") or [])
    ports = [(one, port) for one in containers for port in cast("list[dict[str, Any]]", one.get("ports") or [])]
    named = [pair for pair in ports if pair[1].get("name") == "http"]
    if not ports:
        return (containers or [{}])[0], None
    container, port = (named or ports)[0]
    return container, int(port["containerPort"])


def labels_of(value: Object) -> Mapping[str, str]:
    """Return an object's labels."""
    metadata = cast("dict[str, Any]", value.get("metadata") or {})
    return cast("dict[str, str]", metadata.get("labels") or {})


def carries(pod: Object, selector: Mapping[str, str]) -> bool:
    """Say whether a pod, or a pod template, has all labels of a Service's selector."""
    return selector.items() <= labels_of(pod).items()


def selected(pod: Object, selector: Mapping[str, Any]) -> bool:
    """Judge a label selector; an empty one selects everything, an operator that is not known nothing."""
    return matches(selector, labels_of(pod))
