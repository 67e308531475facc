"""The `scale` subresource: replicas of a workload as an `autoscaling/v1` Scale."""

from typing import Final, cast

from midwatch_lab import status
from midwatch_lab.api.call import Call
from midwatch_lab.api.writing import Written, patcher
from midwatch_lab.errors import DecodeError
from midwatch_lab.kinds.columns import selector_text
from midwatch_lab.objects import Object, dig, meta
from midwatch_lab.registry.registry import Registry

_DEFINITION: Final = "io.k8s.api.autoscaling.v1.Scale"


def scale_of(obj: Object) -> Object:
    """Return the Scale of a workload."""
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
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
        return Written(scale_of(registry.read(call.resource, target.namespace, target.name)), is_object=False)
    if call.request.method == "PUT":
        wanted = await call.body_object()
        old = registry.read(call.resource, target.namespace, target.name)
    else:
        change = patcher(registry, _DEFINITION, call.content_type, await call.body())
        old = registry.read(call.resource, target.namespace, target.name)
        wanted, _ = change(scale_of(old))
    replicas = _replicas(registry, wanted)
    if replicas < 0:
        fault = status.invalid_value("spec.replicas", replicas, "must be greater than or equal to 0")
        raise status.invalid("Scale", "autoscaling", target.name, [fault])
    version = meta(wanted).get("resourceVersion")
    if version and version != meta(old).get("resourceVersion"):
        raise status.conflict(call.resource, target.name)
    draft = {**old, "spec": {**cast("Object", old["spec"]), "replicas": replicas}}
    return Written(scale_of(registry.update(call.resource, old, draft, call.origin())), is_object=False)


def _replicas(registry: Registry, wanted: Object) -> int:
    try:
        decoded = registry.schemas.decode(_DEFINITION, wanted)
    except DecodeError as error:
        raise status.bad_request(f'Scale in version "v1" cannot be handled as a Scale: {error}') from error
    return int(dig(decoded.value, "spec", "replicas", default=0))
