"""create and replace: from the body of a request to the registry, and back to an answer."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from midwatch_lab import status
from midwatch_lab.api.bodies import SCHEME
from midwatch_lab.api.call import Call
from midwatch_lab.custom import objects
from midwatch_lab.custom.objects import check_type
from midwatch_lab.custom.resource import CustomResource
from midwatch_lab.errors import ApiError
from midwatch_lab.kinds import advice as kind_advice
from midwatch_lab.kinds.catalog import Catalog
from midwatch_lab.kinds.resources import Resource
from midwatch_lab.objects import Object, dig, meta
from midwatch_lab.registry.registry import Registry

_MADE_BY_PUT: Final = frozenset({
    "ClusterRole", "ClusterRoleBinding", "Endpoints", "Event", "Lease", "LimitRange", "PriorityClass", "Role",
    "RoleBinding", "Service",
})  # fmt: skip
"""Kinds whose objects a PUT makes where they are not there (`AllowCreateOnUpdate`)."""
_ROOTS: Final = {"services": "services/specs", "endpoints": "services/endpoints", "nodes": "minions"}
"""Where the original keeps what it does not keep under its plural."""


@dataclass(frozen=True)
class Written:
    """What a write answers: the object or Status, the HTTP code, and warnings."""

    body: Object
    code: int = HTTPStatus.OK
    warnings: tuple[str, ...] = ()
    is_object: bool = True
    shown_as: Resource | None = None
    """The resource whose columns and names it has, where that is not the resource of the path."""


def succeeded(warnings: tuple[str, ...] = ()) -> Written:
    """Return the answer of a write that makes nothing to show: 201 and a Status."""
    code = int(HTTPStatus.CREATED)
    body: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": code}
    return Written(body, code, warnings, is_object=False)


def check_kind(catalog: Catalog, resource: Resource, obj: Object) -> None:
    """Refuse a body that says it is of another kind.

    Raises:
        ApiError: 400.
    """
    silent = "" if isinstance(resource, CustomResource) else resource.api_version
    version, kind = str(obj.get("apiVersion", silent)), str(obj.get("kind", resource.kind))
    known = catalog.by_kind(version, kind) is not None
    if version != resource.api_version and (known or isinstance(resource, CustomResource)):
        text = (
            f"the API version in the data ({version}) does not match the expected API version ({resource.api_version})"
        )
        raise status.bad_request(text)
    if isinstance(resource, CustomResource):
        check_type(resource, obj)
    elif kind != resource.kind or version != resource.api_version:
        raise unreadable_kind(catalog, resource, version, kind)


def unreadable_kind(catalog: Catalog, resource: Resource, version: str, kind: str) -> ApiError:
    """Say that a body of this version and kind is none of the resource."""
    group = resource.group.partition(".")[0] or "core"
    short = version.rpartition("/")[2]
    why = (
        f"converting ({short}.{kind}) to ({group}.{resource.kind}): unknown conversion"
        if catalog.by_kind(version, kind) is not None
        else f'no kind "{kind}" is registered for version "{version}" in scheme "{SCHEME}"'
    )
    return status.bad_request(f'{kind} in version "{short}" cannot be handled as a {resource.kind}: {why}')


def warnings_of(
    call: Call, unknown: list[str], others: tuple[str, ...] = (), resource: Resource | None = None
) -> tuple[str, ...]:
    """Return the warnings about fields that are not known, or stand twice; `resource` is the body's where it is own.

    Raises:
        ApiError: 400 where validation is strict.
    """
    row = resource or call.resource
    if not isinstance(row, CustomResource):
        # The original does not look into what it does not know.
        skipped = tuple(f"duplicate field {status.quoted(path)[:-1]}{end}" for path in unknown for end in '".[')
        others = tuple(text for text in others if not text.startswith(skipped))
    fields = [*(f"unknown field {status.quoted(path)}" for path in unknown), *others]
    if fields and call.field_validation == "Strict":
        what = f'{row.kind} in version "{row.version}" cannot be handled as a {row.kind}'
        raise status.bad_request(f"{what}: strict decoding error: {', '.join(fields)}")
    return tuple(fields) if call.field_validation == "Warn" else ()


def advice(resource: Resource, obj: Object, old: Object | None = None) -> tuple[str, ...]:
    """Return what the writer of an object is told beside the answer."""
    if isinstance(resource, CustomResource):
        return objects.warnings(resource, obj, old)
    return tuple(kind_advice.advice(resource.kind, obj, old))


@contextmanager
def told(warnings: tuple[str, ...]) -> Generator[None]:
    """Let a refusal within the block carry the warnings about the body, as an answer would."""
    try:
        yield
    except ApiError as error:
        error.warnings = (*warnings, *error.warnings)
        raise


async def create(registry: Registry, call: Call) -> Written:
    """Make an object from the body."""
    read = await call.read_body()
    check_kind(registry.catalog, call.resource, read.value)
    warnings = warnings_of(call, registry.decode(call.resource, read.value).unknown, read.faults)
    return _create(registry, call, read.value, warnings)


def _create(registry: Registry, call: Call, obj: Object, warnings: tuple[str, ...]) -> Written:
    obj, doubled = _without_doubled_owners(obj)
    with told((*warnings, *doubled)):
        made = registry.create(call.resource, call.target.namespace, obj, call.origin())
    return Written(made, HTTPStatus.CREATED, (*warnings, *doubled, *advice(call.resource, made)))


def _without_doubled_owners(obj: Object) -> tuple[Object, tuple[str, ...]]:
    """Return an object without owner references that stand twice, and the warning about them."""
    owners: list[Object] = dig(obj, "metadata", "ownerReferences", default=[])
    kept = [owner for index, owner in enumerate(owners) if owner not in owners[:index]]
    if len(kept) == len(owners):
        return obj, ()
    twice = dict.fromkeys(str(owner.get("uid", "")) for owner in kept if owners.count(owner) > 1)
    warning = (
        ".metadata.ownerReferences contains duplicate entries; API server dedups owner references in 1.20+, and may "
        "reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: "
        + ", ".join(twice)
    )
    return {**obj, "metadata": {**meta(obj), "ownerReferences": kept}}, (warning,)


async def replace(registry: Registry, call: Call) -> Written:
    """Put the body in the place of the object."""
    read = await call.read_body()
    body = read.value
    check_kind(registry.catalog, call.resource, body)
    check_place(call, body, needs_name=True)
    warnings = warnings_of(call, registry.decode(call.resource, body).unknown, read.faults)
    found = registry.find(call.resource, call.target.namespace, call.target.name)
    if found is None and call.resource.kind in _MADE_BY_PUT and not dig(body, "metadata", "resourceVersion"):
        return _create(registry, call, body, warnings)
    old = found or registry.read(call.resource, call.target.namespace, call.target.name)
    body, doubled = _without_doubled_owners(body)
    warnings = (*warnings, *doubled)
    if not call.resource.unconditional and not dig(body, "metadata", "resourceVersion"):
        fault = status.invalid_value("metadata.resourceVersion", 0, "must be specified for an update")
        raise status.invalid(call.resource.plural, call.resource.group, call.target.name, [fault])
    _check_uid(call, body, old)
    with told(warnings):
        changed = registry.update(call.resource, old, body, call.origin())
    return Written(changed, HTTPStatus.OK, (*warnings, *advice(call.resource, changed, old)))


def _check_uid(call: Call, body: Object, old: Object) -> None:
    """Refuse a replacement that was meant for another object of that name."""
    sent, uid = dig(body, "metadata", "uid"), dig(old, "metadata", "uid")
    if not sent or sent == uid:
        return
    resource = call.resource
    root = f"{resource.group}/{resource.plural}" if isinstance(resource, CustomResource) else resource.plural
    place = "/".join(part for part in (_ROOTS.get(root, root), call.target.namespace, call.target.name) if part)
    why = (
        f"StorageError: invalid object, Code: 4, Key: /registry/{place}, ResourceVersion: 0, AdditionalErrorMsg: "
        f"Precondition failed: UID in precondition: {sent}, UID in object meta: {uid}"
    )
    raise status.conflict(resource, call.target.name, why)


def check_place(call: Call, obj: Object, *, needs_name: bool = False) -> None:
    """Refuse an object that says it is another than the path names.

    Raises:
        ApiError: 400.
    """
    name, namespace = dig(obj, "metadata", "name"), dig(obj, "metadata", "namespace")
    if needs_name and not name:
        text = f"the name of the object ({call.target.name} based on URL) was undeterminable: name must be provided"
        raise status.bad_request(text)
    if name and name != call.target.name:
        text = f"the name of the object ({name}) does not match the name on the URL ({call.target.name})"
        raise status.bad_request(text)
    if namespace and namespace != call.target.namespace:
        text = "the namespace of the provided object does not match the namespace sent on the request"
        raise status.bad_request(text)
