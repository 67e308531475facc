"""Server-side apply to the objects of the registry: what is applied to, and what an object is that is not there yet."""

from dataclasses import replace
from typing import Protocol

from midwatch_contracts.clock import Clock
from midwatch_lab import status
from midwatch_lab.custom import typed_rules
from midwatch_lab.custom.resource import CustomResource
from midwatch_lab.errors import ConversionError
from midwatch_lab.kinds.resources import Resource
from midwatch_lab.objects import Object, dig, meta, without
from midwatch_lab.registry import managed_fields, versions
from midwatch_lab.registry.managed_fields import Managers
from midwatch_lab.registry.server_side_apply import ServerSideApply
from midwatch_lab.registry.upkeep import ResetFields
from midwatch_lab.registry.versions import Versions
from midwatch_lab.schemas.schema import Decoded, Schemas
from midwatch_lab.store.audit import Origin


class Door(Protocol):
    """What applying needs of the registry."""

    @property
    def schemas(self) -> Schemas:
        """The definitions."""
        ...

    @property
    def clock(self) -> Clock:
        """The time."""
        ...

    def versions(self, resource: Resource) -> Versions:
        """Return the versions of a resource's kind."""
        ...

    def decode(self, resource: Resource, obj: Object) -> Decoded:
        """Decode an object."""
        ...

    def find(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """Return an object, or None."""
        ...

    def owners(
        self, resource: Resource, managers: Managers, old: Object | None, new: Object, origin: Origin
    ) -> Managers:
        """Return the managers after a write that is no apply."""
        ...

    def create(
        self, resource: Resource, namespace: str, obj: Object, origin: Origin, *, managed: Managers | None = None
    ) -> Object:
        """Make an object."""
        ...

    def update(
        self, resource: Resource, old: Object, obj: Object, origin: Origin, *, managed: Managers | None = None
    ) -> Object:
        """Put `obj` in the place of `old`."""
        ...


def apply(  # noqa: PLR0917 (a door, and what is applied where by whom)
    door: Door, resource: Resource, namespace: str, name: str, applied: Object, origin: Origin, *, force: bool
) -> tuple[Object, bool]:
    """Apply a configuration; returns the object and whether it was made by this.

    Raises:
        ApiError: 400, 409 with one cause a conflicting field, or 422.
    """
    if isinstance(resource, CustomResource):
        door.decode(resource, applied)
    _check_types(door.schemas, resource, applied)
    side = ServerSideApply(door.versions(resource), ResetFields(resource.has_status, origin.subresource), origin)
    old, now = door.find(resource, namespace, name), door.clock.now()
    if old is None:
        _check_new(resource, name, applied)
        fresh = {**applied, "metadata": without(meta(applied), ["resourceVersion"])}
        made = side.apply({}, {}, fresh, force=force, now=now)
        return door.create(resource, namespace, made.obj, origin, managed=made.managers), True
    managers = managed_fields.read(meta(old).get("managedFields", []))
    if not managers:
        before = replace(origin, manager=managed_fields.BEFORE_APPLY)
        managers = door.owners(resource, {}, None, old, before)
    try:
        done = side.apply(versions.presented(resource, old), managers, applied, force=force, now=now)
    except ConversionError as error:
        raise status.internal(str(error)) from error
    return door.update(resource, old, done.obj, origin, managed=done.managers), False


def _check_new(resource: Resource, name: str, applied: Object) -> None:
    if uid := meta(applied).get("uid"):
        text = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
        raise status.conflict(resource, name, text)
    if not meta(applied).get("name"):
        text = f"the name of the object ({name} based on URL) was undeterminable: name must be provided"
        raise status.bad_request(text)


def _check_types(schemas: Schemas, resource: Resource, applied: Object) -> None:
    why = typed_rules.fault(schemas, resource.schema, applied, metadata=not isinstance(resource, CustomResource))
    if why is not None:
        place = f"{dig(applied, 'metadata', 'namespace', default='')}/{dig(applied, 'metadata', 'name', default='')}"
        what = f"({place}; {resource.group}/{resource.version}, Kind={resource.kind})"
        raise status.internal(f"failed to create typed patch object {what}: {why}")
