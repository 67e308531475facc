"""The `eviction` subresource of pods: how a drain asks for a pod to go."""

from dataclasses import replace
from typing import Final

from midwatch_lab import status
from midwatch_lab.api.answers import check_plain
from midwatch_lab.api.call import Call
from midwatch_lab.api.deleting import checked_options
from midwatch_lab.api.writing import Written, succeeded, unreadable_kind, warnings_of
from midwatch_lab.errors import DecodeError
from midwatch_lab.kinds.resources import Resource
from midwatch_lab.objects import Object, dig
from midwatch_lab.registry.eviction import evict
from midwatch_lab.registry.registry import Registry

_EVICTIONS: Final = Resource(
    "policy", "v1", "evictions", "eviction", "Eviction", "io.k8s.api.policy.v1.Eviction", stored=False
)
_VERSIONS: Final = ("policy/v1", "policy/v1beta1")


async def serve(registry: Registry, call: Call) -> Written:
    """Evict the pod that the path names, as the body's `deleteOptions` say.

    Options that may not be are refused before anything is written; the original has by then marked the pod.

    Raises:
        ApiError: 400, 404, 409, 422, 429 when a disruption budget does not allow it, 500 when several cover the pod.
    """
    check_plain(call.request)
    origin = call.origin()
    body, warnings = await _read(registry, call)
    namespace = dig(body, "metadata", "namespace")
    if namespace and namespace != call.target.namespace:
        raise status.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    if dig(body, "metadata", "name") != call.target.name:
        raise status.bad_request("name in URL does not match name in Eviction object")
    given: Object = body.get("deleteOptions") or {}
    asked: list[str] = call.request.query_params.getlist("dryRun")
    said: list[str] = given.get("dryRun") or []
    if asked and said and asked != said:
        text = f"[{' '.join(asked)}] and [{' '.join(said)}]"
        raise status.internal(f"Non-matching dry-run options in request and content: {text}")
    if any(word != "All" for word in said):
        raise status.invalid("DeleteOptions", "meta.k8s.io", "", [status.unsupported("dryRun", said, ["All"])])
    pod = registry.read(call.resource, call.target.namespace, call.target.name)
    evict(registry, pod, checked_options(given), replace(origin, dry_run=bool(asked or said)))
    return succeeded(warnings)


async def _read(registry: Registry, call: Call) -> tuple[Object, tuple[str, ...]]:
    """Return the Eviction of a body, with the warnings about it."""
    read = await call.read_body()
    version = str(read.value.get("apiVersion", _EVICTIONS.api_version))
    kind = str(read.value.get("kind", _EVICTIONS.kind))
    if kind != _EVICTIONS.kind or version not in _VERSIONS:
        raise unreadable_kind(registry.catalog, _EVICTIONS, version, kind)
    try:
        decoded = registry.schemas.decode(_EVICTIONS.schema, read.value)
    except DecodeError as error:
        what = f'Eviction in version "{version.rpartition("/")[2]}" cannot be handled as a Eviction'
        raise status.bad_request(f"{what}: {error}") from error
    return decoded.value, warnings_of(call, decoded.unknown, read.faults, _EVICTIONS)
