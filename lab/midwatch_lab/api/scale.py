"""The `scale` subresource: replicas of a workload as an `autoscaling/v1` Scale."""

from typing import Final, cast

from midwatch_lab import status
from midwatch_lab.api import scale_apply
from midwatch_lab.api.call import Call
from midwatch_lab.api.patching import (
    APPLY_PATCH,
    STRATEGIC_PATCH,
    Patched,
    check_patch_type,
    patch_warnings,
    patcher,
    unfit_patch,
)
from midwatch_lab.api.writing import Written, check_place
from midwatch_lab.custom.resource import CustomResource
from midwatch_lab.errors import DecodeError
from midwatch_lab.kinds.resources import Resource
from midwatch_lab.objects import Object, dig, meta
from midwatch_lab.registry.registry import Registry
from midwatch_lab.registry.scale import rescaled, scale_of
from midwatch_lab.schemas.mismatch import from_json, from_maps

_DEFINITION: Final = "io.k8s.api.autoscaling.v1.Scale"
SCALES: Final = Resource("autoscaling", "v1", "scales", "scale", "Scale", _DEFINITION, verbs=(), stored=False)
"""Scales as they are shown; they have no path of their own."""


async def serve(registry: Registry, call: Call) -> Written:
    """Answer get, put and patch of a Scale."""
    target = call.target
    if call.request.method == "GET":
        found = registry.read(call.resource, target.namespace, target.name)
        return Written(scale_of(call.resource, found), shown_as=SCALES)
    warnings: tuple[str, ...] = ()
    if call.content_type == APPLY_PATCH and not isinstance(call.resource, CustomResource):
        return await _apply(registry, call)
    if call.request.method == "PUT":
        wanted = await call.body_object()
        replicas = _replicas(registry, wanted)
        check_place(call, wanted)
        old = registry.read(call.resource, target.namespace, target.name)
    else:
        if isinstance(call.resource, CustomResource):
            check_patch_type(call)
        change = patcher(registry, _DEFINITION, call.content_type, await call.body())
        old = registry.read(call.resource, target.namespace, target.name)
        shown = scale_of(call.resource, old, missing=0)
        if owners := _owners(old):
            shown["metadata"]["managedFields"] = owners
        wanted, replicas, warnings = _patched(registry, call, change(shown))
    if replicas < 0 and not isinstance(call.resource, CustomResource):
        fault = status.invalid_value("spec.replicas", replicas, "must be greater than or equal to 0")
        raise status.invalid("Scale", "autoscaling", target.name, [fault])
    draft = rescaled(call.resource, old, replicas)
    _check_version(call, wanted, old)
    changed = registry.update(call.resource, old, draft, call.origin())
    return Written(scale_of(call.resource, changed), warnings=warnings, shown_as=SCALES)


async def _apply(registry: Registry, call: Call) -> Written:
    config = scale_apply.read_config(call, await call.body())
    _replicas(registry, config)
    old = registry.read(call.resource, call.target.namespace, call.target.name)
    applied = scale_apply.apply(call, old, config)
    draft = {**old, "spec": {**cast("Object", old["spec"])}}
    if applied.replicas is not None:
        draft["spec"]["replicas"] = applied.replicas
    changed = registry.update(call.resource, old, draft, call.origin(), managed=applied.managers)
    return Written(scale_of(call.resource, changed), shown_as=SCALES)


def _owners(obj: Object) -> list[Object]:
    """Return the managedFields of a workload as they are those of its Scale: who owns replicas."""
    return [
        {
            **{key: entry[key] for key in ("manager", "operation", "time") if key in entry},
            "apiVersion": "autoscaling/v1",
            "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:replicas": {}}},
        }
        for entry in meta(obj).get("managedFields", [])
        if dig(entry, "fieldsV1", "f:spec", "f:replicas") is not None
    ]


def _patched(registry: Registry, call: Call, found: Patched) -> tuple[Object, int, tuple[str, ...]]:
    """Return a patched Scale, its replicas, and the warnings about it."""
    wording = from_maps if call.content_type == STRATEGIC_PATCH else from_json
    try:
        decoded = registry.schemas.decode(_DEFINITION, found.value, wording)
    except DecodeError as error:
        raise unfit_patch(found, error) from error
    check_place(call, decoded.value)
    replicas = int(dig(decoded.value, "spec", "replicas", default=0))
    return decoded.value, replicas, patch_warnings(call, found, decoded.unknown)


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
