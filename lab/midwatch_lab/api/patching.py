"""patch: by the type of patch that the content type names, from the body to the registry."""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, cast

from midwatch_lab import status
from midwatch_lab.api.bodies import SCHEME, parse_yaml
from midwatch_lab.api.call import Call
from midwatch_lab.api.go_json import GoJSONError, read
from midwatch_lab.api.writing import Written, advice, check_place, told, warnings_of
from midwatch_lab.custom.objects import check_type
from midwatch_lab.custom.resource import CustomResource
from midwatch_lab.errors import ApiError, DecodeError, PatchError
from midwatch_lab.kinds.catalog import Catalog
from midwatch_lab.kinds.resources import Resource
from midwatch_lab.objects import Object, dig
from midwatch_lab.patches import json_patch, merge_patch, strategic
from midwatch_lab.registry.registry import Registry
from midwatch_lab.registry.versions import presented
from midwatch_lab.schemas.mismatch import from_json, from_maps
from midwatch_lab.status import go_json, go_map

JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"
APPLY_PATCH: Final = "application/apply-patch+yaml"
_OPERATIONS_MAX: Final = 10_000


@dataclass(frozen=True)
class Patched:
    """A patched object, what a message about it shows, and what strict decoding has against the patch's text."""

    value: Object
    show: Callable[[], str]
    faults: tuple[str, ...] = ()


async def patch(registry: Registry, call: Call) -> Written:
    """Patch the object."""
    body = await call.body()
    if call.content_type == APPLY_PATCH:
        return _apply(registry, call, body)
    if isinstance(call.resource, CustomResource):
        check_patch_type(call)
    if "force" in call.request.query_params:
        fault = status.forbidden_field("force", "may not be specified for non-apply patch")
        raise status.invalid("PatchOptions", "meta.k8s.io", "", [fault])
    patched = patcher(registry, call.resource.schema, call.content_type, body)
    old = registry.read(call.resource, call.target.namespace, call.target.name)
    found = patched(presented(call.resource, old))
    try:
        if call.content_type != STRATEGIC_PATCH:
            _check_patched_kind(registry.catalog, call.resource, found.value)
        wording = from_maps if call.content_type == STRATEGIC_PATCH else from_json
        decoded = registry.schemas.decode(call.resource.schema, found.value, wording)
    except DecodeError as error:
        raise _unfit(found.show(), str(error)) from error
    decoded.value["apiVersion"], decoded.value["kind"] = call.resource.api_version, call.resource.kind
    check_place(call, decoded.value, needs_name=True)
    # A merge patch is carried out on maps that the original writes anew, in the order of their keys.
    unknown = sorted(decoded.unknown) if call.content_type == MERGE_PATCH else decoded.unknown
    warnings = patch_warnings(call, found, unknown)
    with told(warnings):
        changed = registry.update(call.resource, old, decoded.value, call.origin())
    return Written(changed, HTTPStatus.OK, (*warnings, *advice(call.resource, changed, old)))


def patch_warnings(call: Call, found: Patched, unknown: list[str]) -> tuple[str, ...]:
    """Return the warnings about a patched object.

    Raises:
        ApiError: 422 where validation is strict.
    """
    faults = [*(f"unknown field {status.quoted(path)}" for path in unknown), *found.faults]
    if faults and call.field_validation == "Strict":
        raise _unfit(found.show(), "strict decoding error: " + ", ".join(faults))
    return warnings_of(call, unknown, found.faults)


def check_patch_type(call: Call) -> None:
    """Refuse a type of patch that custom resources do not take.

    Raises:
        ApiError: 415.
    """
    if call.content_type not in (JSON_PATCH, MERGE_PATCH, APPLY_PATCH):
        raise status.unknown_patch((JSON_PATCH, MERGE_PATCH, APPLY_PATCH))


def _check_patched_kind(catalog: Catalog, resource: Resource, obj: Object) -> None:
    if isinstance(resource, CustomResource):
        check_type(resource, obj)
        return
    kind, version = str(obj.get("kind") or ""), str(obj.get("apiVersion") or "")
    if (kind, version) == (resource.kind, resource.api_version):
        return
    if not kind:
        raise DecodeError("Object 'Kind' is missing in the patched object")
    if catalog.by_kind(version, kind) is None:
        raise DecodeError(f'no kind "{kind}" is registered for version "{version}" in scheme "{SCHEME}"')
    group = resource.group.partition(".")[0] or "core"
    given = version.rpartition("/")[2]
    raise DecodeError(f"converting ({given}.{kind}) to ({group}.{resource.kind}): unknown conversion")


def unfit_patch(found: Patched, why: DecodeError) -> ApiError:
    """Say that a patched object does not decode."""
    return _unfit(found.show(), str(why))


def _unfit(shown: str, why: str) -> ApiError:
    fault = status.FieldFault("patch", "FieldValueInvalid", f"Invalid value: {shown}: {why}")
    return status.invalid("", "", "", [fault])


def patcher(registry: Registry, definition: str, content_type: str, body: bytes) -> Callable[[Object], Patched]:
    """Return a function from an object to the patched one.

    Raises:
        ApiError: 400 for a body that is no such patch, 413 for a JSON patch of too many operations, 415 for a type of
            patch that is not known.
    """
    if content_type not in (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH):
        raise status.unsupported_media_type()
    change, faults = _read(content_type, body)

    def patched(old: Object) -> Patched:
        try:
            if content_type == STRATEGIC_PATCH:
                new = strategic.apply(registry.schemas, definition, old, cast("Object", change))
                return Patched(new, lambda: go_json(go_map(change)))
            apply = json_patch.apply if content_type == JSON_PATCH else merge_patch.apply
            new = apply(old, change)
        except PatchError as error:
            raise _patch_refusal(content_type, error) from error
        if not isinstance(new, dict):
            raise status.unprocessable()
        return Patched(cast("Object", new), lambda: go_json(go_json(new)), faults)

    return patched


def _read(content_type: str, body: bytes) -> tuple[Any, tuple[str, ...]]:
    """Return a patch, and what strict decoding has against its text."""
    prefix = "" if content_type == STRATEGIC_PATCH else "error decoding patch: "
    try:
        change, doubled = read(body)
    except GoJSONError as error:
        raise status.bad_request(f"{prefix}{error}") from error
    if content_type == JSON_PATCH:
        _check_operations(change)
    elif change is None:
        if content_type == MERGE_PATCH:
            raise status.bad_request("Invalid JSON Patch")
        return {}, ()
    elif not isinstance(change, dict):
        why = f"json: cannot unmarshal {status.json_type(change)} into Go value of type map[string]interface {{}}"
        raise status.bad_request(f"{prefix}{why}")
    faults = [f"duplicate field {status.quoted(path)}" for path in doubled] if content_type == MERGE_PATCH else []
    return cast("Any", change), tuple(faults)


def _check_operations(change: Any) -> None:
    """Refuse what is no list of operations, in the words of the original's decoder."""
    what = "error decoding patch: json: cannot unmarshal"
    if change is None:
        return
    if not isinstance(change, list):
        raise status.bad_request(f"{what} {status.json_type(change)} into Go value of type []handlers.jsonPatchOp")
    operations = cast("list[Any]", change)
    for operation in operations:
        if operation is None:
            continue
        if not isinstance(operation, dict):
            raise status.bad_request(f"{what} {status.json_type(operation)} into Go value of type handlers.jsonPatchOp")
        for key in ("op", "path", "from"):
            value = cast("Object", operation).get(key)
            if value is not None and not isinstance(value, str):
                given = status.json_type(value)
                raise status.bad_request(f"{what} {given} into Go struct field jsonPatchOp.{key} of type string")
    if len(operations) > _OPERATIONS_MAX:
        count = f"The allowed maximum operations in a JSON patch is {_OPERATIONS_MAX}, got {len(operations)}"
        raise status.too_large(f"Request entity too large: {count}")


def _patch_refusal(content_type: str, error: PatchError) -> ApiError:
    if error.internal:
        return status.internal(str(error))
    if content_type == JSON_PATCH:
        return status.unprocessable()
    return status.bad_request(str(error))


def _apply(registry: Registry, call: Call, body: bytes) -> Written:
    if not call.query("fieldManager"):
        fault = status.required("fieldManager", "is required for apply patch")
        raise status.invalid("PatchOptions", "meta.k8s.io", "", [fault])
    origin = call.origin()
    applied = parse_yaml(body)
    if applied is not None and not isinstance(applied, dict):
        why = f"json: cannot unmarshal {status.json_type(applied)} into Go value of type map[string]interface {{}}"
        raise status.bad_request(f"error decoding YAML: error unmarshaling JSON: while decoding JSON: {why}")
    wanted = cast("Object", applied or {})
    if dig(wanted, "metadata", "managedFields"):
        raise status.bad_request("metadata.managedFields must be nil")
    version, kind = str(wanted.get("apiVersion") or ""), str(wanted.get("kind") or "")
    if (version, kind) != (call.resource.api_version, call.resource.kind):
        shown = version if "/" in version else f"/{version}"
        raise status.bad_request(f"invalid object type: {shown}, Kind={kind}")
    check_place(call, wanted)
    warnings: tuple[str, ...] = ()
    if isinstance(call.resource, CustomResource):
        warnings = warnings_of(call, registry.decode(call.resource, wanted).unknown)
    target = call.target
    obj, made = registry.apply(call.resource, target.namespace, target.name, wanted, origin, force=call.flag("force"))
    return Written(obj, HTTPStatus.CREATED if made else HTTPStatus.OK, warnings)
