"""The replicas of whatever has any: a workload, or a custom resource, as an `autoscaling/v1` Scale."""

from typing import cast

from midwatch_lab.custom.resource import CustomResource
from midwatch_lab.custom.scale import custom_scale, scaled
from midwatch_lab.kinds.column import selector_text
from midwatch_lab.kinds.resources import Resource
from midwatch_lab.objects import Object, dig, meta


def has_scale(resource: Resource) -> bool:
    """Tell whether the objects of a resource have replicas to scale."""
    return any(sub.name == "scale" for sub in resource.subresources)


def scale_of(resource: Resource, obj: Object, missing: int | None = None) -> Object:
    """Return the Scale of a workload, or of a custom resource.

    Raises:
        ApiError: 500 when a custom resource has no replicas where its definition says.
    """
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    if isinstance(resource, CustomResource):
        spec, replicas, selector = custom_scale(resource, obj, missing)
        return {
            "kind": "Scale",
            "apiVersion": "autoscaling/v1",
            "metadata": {key: meta(obj)[key] for key in kept if key in meta(obj)},
            "spec": {"replicas": spec} if spec else {},
            "status": {"replicas": replicas, **({"selector": selector} if selector else {})},
        }
    selector = selector_text(dig(obj, "spec", "selector"))
    wanted = dig(obj, "spec", "replicas", default=0)
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: meta(obj)[key] for key in kept if key in meta(obj)},
        "spec": {"replicas": wanted} if wanted else {},
        "status": {"replicas": dig(obj, "status", "replicas", default=0), "selector": selector},
    }


def rescaled(resource: Resource, obj: Object, replicas: int) -> Object:
    """Return a copy of an object with other replicas wanted."""
    if isinstance(resource, CustomResource):
        return scaled(resource, obj, replicas)
    return {**obj, "spec": {**cast("Object", obj["spec"]), "replicas": replicas}}
