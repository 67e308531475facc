"""The `scale` subresource: replicas of a workload as an `autoscaling/v1` Scale."""

from typing import Final, cast

from midwatch_lab import status
from midwatch_lab.api.call import Call
from midwatch_lab.api.writing import Written, check_patch_type, patcher
from midwatch_lab.custom.resource import CustomResource
from midwatch_lab.custom.scale import custom_scale, scaled
from midwatch_lab.errors import DecodeError
from midwatch_lab.kinds.columns import selector_text
from midwatch_lab.kinds.resources import Resource
from midwatch_lab.objects import Object, dig, meta
from midwatch_lab.registry.registry import Registry

_DEFINITION: Final = "io.k8s.api.autoscaling.v1.Scale"


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
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: meta(obj)[key] for key in kept if key in meta(obj)},
        "spec": {"replicas": dig(obj, "spec", "replicas", default=0)},
        "status": {"replicas": dig(obj, "status", "replicas", default=0), "selector": selector},
    }


async def serve(registry: Registry, call: Call) -> Written:
    """Answer get, put and patch of a Scale."""
    target = call.target
    if call.request.method == "GET":
        return Written(
            scale_of(call.resource, registry.read(call.resource, target.namespace, target.name)), is_object=False
        )
    if call.request.method == "PUT":
        wanted = await call.body_object()
        old = registry.read(call.resource, target.namespace, target.name)
    else:
        if isinstance(call.resource, CustomResource):
            check_patch_type(call)
        change = patcher(registry, _DEFINITION, call.content_type, await call.body())
        old = registry.read(call.resource, target.namespace, target.name)
        wanted, _ = change(scale_of(call.resource, old, missing=0))
    replicas = _replicas(registry, wanted)
    if isinstance(call.resource, CustomResource):
        draft = scaled(call.resource, old, replicas)
        _check_version(call, wanted, old)
        return Written(
            scale_of(call.resource, registry.update(call.resource, old, draft, call.origin())), is_object=False
        )
    if replicas < 0:
        fault = status.invalid_value("spec.replicas", replicas, "must be greater than or equal to 0")
        raise status.invalid("Scale", "autoscaling", target.name, [fault])
    _check_version(call, wanted, old)
    draft = {**old, "spec": {**cast("Object", old["spec"]), "replicas": replicas}}
    return Written(scale_of(call.resource, registry.update(call.resource, old, draft, call.origin())), is_object=False)


def _check_version(call: Call, wanted: Object, old: Object) -> None:
    version = meta(wanted).get("resourceVersion")
    if version and version != meta(old).get("resourceVersion"):
        raise status.conflict(call.resource, call.target.name)


def _replicas(registry: Registry, wanted: Object) -> int:
    try:
        decoded = registry.schemas.decode(_DEFINITION, wanted)
    except DecodeError as error:
        raise status.bad_request(f'Scale in version "v1" cannot be handled as a Scale: {error}') from error
    return int(dig(decoded.value, "spec", "replicas", default=0))
