"""create, replace, patch and delete: from the body of a request to the registry, and back to an answer."""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, cast

from midwatch_lab import status
from midwatch_lab.api.bodies import SCHEME, parse_json, parse_protobuf, parse_yaml
from midwatch_lab.api.call import Call
from midwatch_lab.api.reading import Filter, served
from midwatch_lab.custom.objects import check_type
from midwatch_lab.custom.resource import CustomResource
from midwatch_lab.errors import ApiError, DecodeError, PatchError
from midwatch_lab.kinds.catalog import Catalog
from midwatch_lab.kinds.resources import Resource
from midwatch_lab.objects import Object, dig, name_of
from midwatch_lab.patches import json_patch, merge_patch, strategic
from midwatch_lab.registry.registry import Registry
from midwatch_lab.registry.upkeep import DeleteOptions
from midwatch_lab.schemas import protobuf
from midwatch_lab.schemas.mismatch import from_json, from_maps
from midwatch_lab.status import go_json, go_map

JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"
APPLY_PATCH: Final = "application/apply-patch+yaml"


@dataclass(frozen=True)
class Written:
    """What a write answers: the object or Status, the HTTP code, and warnings."""

    body: Object
    code: int = HTTPStatus.OK
    warnings: tuple[str, ...] = ()
    is_object: bool = True


def check_kind(catalog: Catalog, resource: Resource, obj: Object) -> None:
    """Refuse a body that says it is of another kind.

    Raises:
        ApiError: 400.
    """
    version, kind = str(obj.get("apiVersion", resource.api_version)), str(obj.get("kind", resource.kind))
    known = catalog.by_kind(version, kind) is not None
    if version != resource.api_version and (known or isinstance(resource, CustomResource)):
        text = (
            f"the API version in the data ({version}) does not match the expected API version ({resource.api_version})"
        )
        raise status.bad_request(text)
    if isinstance(resource, CustomResource):
        check_type(resource, obj)
    elif kind != resource.kind or version != resource.api_version:
        group = resource.group.partition(".")[0] or "core"
        why = (
            f"converting ({resource.version}.{kind}) to ({group}.{resource.kind}): unknown conversion"
            if known
            else f'no kind "{kind}" is registered for version "{version}" in scheme "{SCHEME}"'
        )
        what = f'{kind} in version "{version.rpartition("/")[2]}" cannot be handled as a {resource.kind}'
        raise status.bad_request(f"{what}: {why}")


def _warnings(call: Call, unknown: list[str], others: tuple[str, ...] = ()) -> tuple[str, ...]:
    fields = [*(f'unknown field "{path}"' for path in unknown), *others]
    if fields and call.field_validation == "Strict":
        what = f'{call.resource.kind} in version "{call.resource.version}" cannot be handled as a {call.resource.kind}'
        raise status.bad_request(f"{what}: strict decoding error: {', '.join(fields)}")
    return tuple(fields) if call.field_validation == "Warn" else ()


async def create(registry: Registry, call: Call) -> Written:
    """Make an object from the body."""
    read = await call.read_body()
    check_kind(registry.catalog, call.resource, read.value)
    warnings = _warnings(call, registry.decode(call.resource, read.value).unknown, read.faults)
    made = registry.create(call.resource, call.target.namespace, read.value, call.origin())
    return Written(made, HTTPStatus.CREATED, warnings)


async def replace(registry: Registry, call: Call) -> Written:
    """Put the body in the place of the object."""
    read = await call.read_body()
    body = read.value
    check_kind(registry.catalog, call.resource, body)
    name = dig(body, "metadata", "name")
    if not name:
        text = f"the name of the object ({call.target.name} based on URL) was undeterminable: name must be provided"
        raise status.bad_request(text)
    _check_place(call, body)
    warnings = _warnings(call, registry.decode(call.resource, body).unknown, read.faults)
    old = registry.read(call.resource, call.target.namespace, call.target.name)
    if not call.resource.unconditional and not dig(body, "metadata", "resourceVersion"):
        fault = status.invalid_value("metadata.resourceVersion", 0, "must be specified for an update")
        raise status.invalid(call.resource.plural, call.resource.group, call.target.name, [fault])
    return Written(registry.update(call.resource, old, body, call.origin()), HTTPStatus.OK, warnings)


def _check_place(call: Call, obj: Object) -> None:
    name, namespace = dig(obj, "metadata", "name"), dig(obj, "metadata", "namespace")
    if name and name != call.target.name:
        text = f"the name of the object ({name}) does not match the name on the URL ({call.target.name})"
        raise status.bad_request(text)
    if namespace and namespace != call.target.namespace:
        text = "the namespace of the provided object does not match the namespace sent on the request"
        raise status.bad_request(text)


async def patch(registry: Registry, call: Call) -> Written:
    """Patch the object, by the type of patch that the content type names."""
    body = await call.body()
    if call.content_type == APPLY_PATCH:
        return _apply(registry, call, body)
    if isinstance(call.resource, CustomResource):
        check_patch_type(call)
    patched = patcher(registry, call.resource.schema, call.content_type, body)
    old = registry.read(call.resource, call.target.namespace, call.target.name)
    new, shown = patched(served(call.resource, old))
    try:
        _check_patched_kind(call.resource, new)
        wording = from_maps if call.content_type == STRATEGIC_PATCH else from_json
        decoded = registry.schemas.decode(call.resource.schema, new, wording)
    except DecodeError as error:
        raise _unfit(shown, str(error)) from error
    _check_place(call, decoded.value)
    if decoded.unknown and call.field_validation == "Strict":
        raise _unfit(
            shown, "strict decoding error: " + ", ".join(f'unknown field "{path}"' for path in decoded.unknown)
        )
    warnings = _warnings(call, decoded.unknown)
    return Written(registry.update(call.resource, old, decoded.value, call.origin()), HTTPStatus.OK, warnings)


def check_patch_type(call: Call) -> None:
    """Refuse a type of patch that custom resources do not take.

    Raises:
        ApiError: 415.
    """
    if call.content_type not in (JSON_PATCH, MERGE_PATCH, APPLY_PATCH):
        raise status.unknown_patch((JSON_PATCH, MERGE_PATCH, APPLY_PATCH))


def _check_patched_kind(resource: Resource, obj: Object) -> None:
    if isinstance(resource, CustomResource):
        check_type(resource, obj)
    elif obj.get("kind") != resource.kind or obj.get("apiVersion") != resource.api_version:
        given = f"{obj.get('apiVersion')}, Kind={obj.get('kind')}"
        raise DecodeError(f'no kind "{obj.get("kind")}" is registered for what is patched here ({given})')


def _unfit(shown: str, why: str) -> ApiError:
    fault = status.FieldFault("patch", "FieldValueInvalid", f"Invalid value: {shown}: {why}")
    return status.invalid("", "", "", [fault])


def patcher(
    registry: Registry, definition: str, content_type: str, body: bytes
) -> Callable[[Object], tuple[Object, str]]:
    """Return a function from an object to the patched one, and to what a message about it shows.

    Raises:
        ApiError: 400 for a body that is no such patch, 415 for a type of patch that is not known.
    """
    if content_type not in (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH):
        known = f"{JSON_PATCH}, {MERGE_PATCH}, {STRATEGIC_PATCH}, {APPLY_PATCH}"
        raise status.unsupported_media_type(f"patches are {known}")
    change = parse_json(body)
    if content_type != JSON_PATCH and not isinstance(change, dict):
        raise status.bad_request("json: cannot unmarshal the patch into Go value of type map[string]interface {}")

    def patched(old: Object) -> tuple[Object, str]:
        try:
            if content_type == STRATEGIC_PATCH:
                new = strategic.apply(registry.schemas, definition, old, cast("Object", change))
                return new, go_json(go_map(change))
            apply = json_patch.apply if content_type == JSON_PATCH else merge_patch.apply
            new = apply(old, change)
        except PatchError as error:
            raise _patch_refusal(content_type, error) from error
        if not isinstance(new, dict):
            raise status.unprocessable()
        return cast("Object", new), go_json(go_json(new))

    return patched


def _patch_refusal(content_type: str, error: PatchError) -> ApiError:
    if error.decoding:
        return status.bad_request(f"error decoding patch: {error}")
    if content_type == JSON_PATCH:
        return status.unprocessable()
    return status.bad_request(str(error))


def _apply(registry: Registry, call: Call, body: bytes) -> Written:
    applied = parse_yaml(body)
    if not isinstance(applied, dict):
        raise status.bad_request("error decoding YAML: the body is not an object")
    wanted = cast("Object", applied)
    if not call.query("fieldManager"):
        fault = status.required("fieldManager", "is required for apply patch")
        raise status.invalid("PatchOptions", "meta.k8s.io", "", [fault])
    if dig(wanted, "metadata", "managedFields"):
        raise status.bad_request("metadata.managedFields must be nil")
    check_kind(registry.catalog, call.resource, wanted)
    _check_place(call, wanted)
    warnings = _warnings(call, registry.decode(call.resource, wanted).unknown)
    target = call.target
    obj, made = registry.apply(
        call.resource, target.namespace, target.name, wanted, call.origin(), force=call.flag("force")
    )
    return Written(obj, HTTPStatus.CREATED if made else HTTPStatus.OK, warnings)


async def delete_options(call: Call) -> tuple[DeleteOptions, list[str]]:
    """Read how to delete from the query and the body; also returns the body's `dryRun`.

    Raises:
        ApiError: 400 or 422.
    """
    body: Any = {}
    content = await call.body()
    if content.strip():
        match call.content_type:
            case "application/yaml":
                body = parse_yaml(content)
            case protobuf.MEDIA:
                body = parse_protobuf(content, "DeleteOptions")
            case _:
                body = parse_json(content)
    if not isinstance(body, dict):
        raise status.bad_request("the body of a deletion is a DeleteOptions object")
    given = cast("Object", body)
    grace = call.number("gracePeriodSeconds")
    if grace is None:
        grace = given.get("gracePeriodSeconds")
    if grace is not None and (not isinstance(grace, int) or grace < 0):
        fault = status.invalid_value("gracePeriodSeconds", grace, "must be greater than or equal to 0")
        raise status.invalid("DeleteOptions", "meta.k8s.io", "", [fault])
    propagation = call.query("propagationPolicy") or str(given.get("propagationPolicy") or "")
    allowed = ("Foreground", "Background", "Orphan", "nil")
    if propagation and propagation not in allowed:
        fault = status.unsupported("propagationPolicy", propagation, allowed)
        raise status.invalid("DeleteOptions", "meta.k8s.io", "", [fault])
    if call.flag("orphanDependents") or given.get("orphanDependents"):
        propagation = "Orphan"
    uid, version = dig(given, "preconditions", "uid"), dig(given, "preconditions", "resourceVersion")
    return DeleteOptions(grace, propagation, uid, version), given.get("dryRun") or []


async def delete(registry: Registry, call: Call) -> Written:
    """Delete the object."""
    options, dry_run = await delete_options(call)
    origin = call.origin(dry_run)
    old = registry.read(call.resource, call.target.namespace, call.target.name)
    obj, gone = registry.delete(call.resource, old, options, origin)
    if not gone:
        return Written(obj)
    return Written(_success(call.resource, obj), is_object=False)


def _success(resource: Resource, obj: Object) -> Object:
    details = {"name": name_of(obj), "group": resource.group, "kind": resource.plural, "uid": obj["metadata"]["uid"]}
    shown = {key: value for key, value in details.items() if value}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": shown}


async def delete_collection(registry: Registry, call: Call) -> list[Object]:
    """Delete every object that the request selects; returns what they were."""
    options, dry_run = await delete_options(call)
    origin = call.origin(dry_run)
    chosen = Filter.of(call)
    found = [o for o in registry.store.items(call.resource.key, call.target.namespace) if chosen.matches(o)]
    for obj in found:
        registry.delete(call.resource, obj, options, origin)
    return found
