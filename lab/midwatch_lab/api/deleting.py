"""delete and deletecollection: how a client wants something deleted, and what it is answered."""

from typing import Any, Final, cast

from midwatch_lab import status
from midwatch_lab.api.bodies import SCHEME, parse_json, parse_protobuf, parse_yaml
from midwatch_lab.api.call import Call
from midwatch_lab.api.reading import list_objects
from midwatch_lab.api.writing import Written
from midwatch_lab.errors import ApiError, DecodeError
from midwatch_lab.kinds.advice import ORPHANED_JOBS
from midwatch_lab.kinds.resources import JOBS, NAMESPACES, PODS, Resource
from midwatch_lab.objects import Object, dig, name_of, namespace_of
from midwatch_lab.registry import upkeep
from midwatch_lab.registry.registry import Registry
from midwatch_lab.registry.upkeep import DeleteOptions
from midwatch_lab.schemas import protobuf

_IMMORTAL: Final = frozenset({"default", "kube-public", "kube-system"})
"""Namespaces without which no cluster is one."""
_DEFINITION: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"
_TYPE_META: Final = (
    'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
)


def _body(registry: Registry, call: Call, content: bytes) -> Object:
    if not content:
        return {}
    match call.content_type:
        case "application/yaml":
            body = parse_yaml(content)
        case protobuf.MEDIA:
            body = parse_protobuf(content, "DeleteOptions")
        case _:
            try:
                body = parse_json(content)
            except ApiError as error:
                raise status.bad_request(f"couldn't get version/kind; json parse error: {error}") from error
    if body is None:
        return {}
    if not isinstance(body, dict):
        why = f"json: cannot unmarshal {status.json_type(body)} into Go value of type {_TYPE_META}"
        raise status.bad_request(f"couldn't get version/kind; json parse error: {why}")
    given = cast("Object", body)
    kind, version = given.get("kind") or "DeleteOptions", given.get("apiVersion") or "v1"
    if kind != "DeleteOptions":
        raise status.bad_request(f'no kind "{kind}" is registered for version "{version}" in scheme "{SCHEME}"')
    try:
        return registry.schemas.decode(_DEFINITION, given).value
    except DecodeError as error:
        raise status.bad_request(str(error)) from error


async def delete_options(registry: Registry, call: Call) -> tuple[DeleteOptions, list[str]]:
    """Read how to delete from the query and the body; also returns the body's `dryRun`.

    Raises:
        ApiError: 400 or 422.
    """
    given = _body(registry, call, await call.body())
    grace = call.number("gracePeriodSeconds")
    policy = call.query("propagationPolicy")
    asked: Object = {} if grace is None else {"gracePeriodSeconds": grace}
    if policy:
        asked["propagationPolicy"] = policy
    if "orphanDependents" in call.request.query_params:
        asked["orphanDependents"] = call.flag("orphanDependents")
    return checked_options({**given, **asked}), given.get("dryRun") or []


def checked_options(given: Object) -> DeleteOptions:
    """Return what a decoded DeleteOptions asks for.

    Raises:
        ApiError: 422.
    """
    grace: int | None = given.get("gracePeriodSeconds")
    propagation = str(given.get("propagationPolicy") or "")
    allowed = ("Foreground", "Background", "Orphan", "nil")
    if propagation and propagation not in allowed:
        fault = status.unsupported("propagationPolicy", propagation, allowed)
        raise status.invalid("DeleteOptions", "meta.k8s.io", "", [fault])
    orphans: Any = given.get("orphanDependents")
    if orphans is not None and propagation:
        detail = "orphanDependents and deletionPropagation cannot be both set"
        fault = status.invalid_value("propagationPolicy", propagation, detail)
        raise status.invalid("DeleteOptions", "meta.k8s.io", "", [fault])
    if orphans is not None:
        propagation = "Orphan" if orphans else "Background"
    uid, version = dig(given, "preconditions", "uid"), dig(given, "preconditions", "resourceVersion")
    least = None if grace is None else grace if grace >= 0 else 1
    return DeleteOptions(least, propagation, uid, version)


async def delete(registry: Registry, call: Call) -> Written:
    """Delete the object."""
    options, dry_run = await delete_options(registry, call)
    origin = call.origin(dry_run)
    warnings = _warnings(call.resource, options)
    if call.resource is NAMESPACES and call.target.name in _IMMORTAL:
        raise status.forbidden("namespaces", "", call.target.name, "this namespace may not be deleted")
    try:
        old = registry.read(call.resource, call.target.namespace, call.target.name)
        obj, gone = registry.delete(call.resource, old, options, origin)
    except ApiError as error:
        error.warnings = warnings
        raise
    if not gone:
        return Written(obj, warnings=warnings)
    if call.resource is PODS:
        return Written(upkeep.marked(call.resource, obj, registry.now_text(), 0))
    if call.resource.kind in _SHOWN:
        return Written(obj)
    return Written(_success(call.resource, obj), is_object=False)


def _warnings(resource: Resource, options: DeleteOptions) -> tuple[str, ...]:
    """Return what a client is told who does not say what is to become of the pods of a Job."""
    return (ORPHANED_JOBS,) if resource is JOBS and not options.propagation else ()


_SHOWN: Final = frozenset({
    "PodTemplate", "Service", "ServiceAccount", "ResourceQuota", "PersistentVolume", "PersistentVolumeClaim",
    "StorageClass",
})  # fmt: skip
"""Kinds whose deletion answers with the object."""


def _success(resource: Resource, obj: Object) -> Object:
    details = {"name": name_of(obj), "group": resource.group, "kind": resource.plural, "uid": obj["metadata"]["uid"]}
    shown = {key: value for key, value in details.items() if value}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": shown}


async def delete_collection(registry: Registry, call: Call) -> tuple[list[Object], Object, tuple[str, ...]]:
    """Delete every object that the request selects; returns what they were, the list's metadata, and warnings."""
    options, dry_run = await delete_options(registry, call)
    origin = call.origin(dry_run)
    found, list_meta = list_objects(registry.store, call)
    for obj in found:
        old = registry.find(call.resource, namespace_of(obj), name_of(obj))
        if old is not None:
            registry.delete(call.resource, old, options, origin)
    return found, list_meta, _warnings(call.resource, options)
