"""The one door by which objects are made, changed and removed: decode, default, check, own, store, audit.

The API server and the lab's own controllers use it alike. Nothing awaits, so each call is one transaction.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import uuid4

from midwatch_contracts.clock import Clock
from midwatch_contracts.times import rfc3339
from midwatch_lab import status
from midwatch_lab.access import escalation
from midwatch_lab.access.authorizer import Authorizer
from midwatch_lab.admission import chain
from midwatch_lab.admission.quota import Charge
from midwatch_lab.admission.request import Request
from midwatch_lab.custom import definitions
from midwatch_lab.custom.resource import CustomResource
from midwatch_lab.errors import DecodeError
from midwatch_lab.kinds import validation
from midwatch_lab.kinds.admission import admit
from midwatch_lab.kinds.catalog import Catalog
from midwatch_lab.kinds.defaults import apply_defaults
from midwatch_lab.kinds.resources import (
    CUSTOM_RESOURCE_DEFINITIONS,
    NAMESPACES,
    RESOURCE_QUOTAS,
    SERVICES,
    Resource,
)
from midwatch_lab.kinds.strategies import prepare_create, prepare_update, settle
from midwatch_lab.names import generated
from midwatch_lab.objects import Object, copied, is_terminating, meta, name_of, namespace_of, without
from midwatch_lab.registry import applying, managed_fields, upkeep, versions
from midwatch_lab.registry.managed_fields import Managers
from midwatch_lab.registry.ownership import after_write
from midwatch_lab.registry.upkeep import DeleteOptions
from midwatch_lab.registry.versions import Versions
from midwatch_lab.schemas.schema import Decoded, Schemas
from midwatch_lab.status import FieldFault
from midwatch_lab.store.audit import Origin
from midwatch_lab.store.store import Store


def _nowhere(_service: Object, _dry_run: bool) -> list[FieldFault]:  # noqa: FBT001 (as a placer has it)
    """Leave a Service without an address."""
    return []


@dataclass
class Registry:
    """Makes, changes and removes objects. `place_service` gives a Service its address and node ports.

    It does so in place, is told of a dry run, and returns what the Service may not have.
    """

    store: Store
    schemas: Schemas
    clock: Clock
    place_service: Callable[[Object, bool], list[FieldFault]] = _nowhere
    catalog: Catalog = field(default_factory=Catalog)
    disabled_plugins: frozenset[str] = frozenset()
    """Admission plugins that are off, as `--disable-admission-plugins` has it."""
    authorizer: Authorizer = field(init=False)
    _following: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self.authorizer = Authorizer(self.store)
        definitions.serve(self)

    def resume(self) -> None:
        """Finish what an earlier life left half done about definitions: names to judge, objects to clean up."""
        self._follow(CUSTOM_RESOURCE_DEFINITIONS, Origin("system:apiserver", "update", ""))

    def now_text(self) -> str:
        """Return the present as objects carry it: RFC 3339 with whole seconds."""
        return rfc3339(self.clock.now()).partition(".")[0] + "Z"

    def find(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """Return an object, or None."""
        return self.store.get(resource.key, namespace if resource.namespaced else "", name)

    def read(self, resource: Resource, namespace: str, name: str) -> Object:
        """Return an object.

        Raises:
            ApiError: 404.
        """
        found = self.find(resource, namespace, name)
        if found is None:
            raise status.not_found(resource, name)
        return found

    def decode(self, resource: Resource, obj: Object, *, drop_nulls: bool = True) -> Decoded:
        """Decode a copy and list the unknown fields that were dropped.

        What an apply made keeps its nulls, as on the original: they stand for structures that it emptied.

        Raises:
            ApiError: 400 when a value has a type that its field cannot hold.
        """
        try:
            decoded = self.schemas.decode(resource.schema, obj, drop_nulls=drop_nulls)
        except DecodeError as error:
            what = f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}'
            raise status.bad_request(f"{what}: {error}") from error
        decoded.value["apiVersion"], decoded.value["kind"] = resource.api_version, resource.kind
        versions.fill_blanks(resource, decoded.value)
        return decoded

    def _hub(self, resource: Resource) -> Resource:
        """Return the row in whose version objects are checked: that of the store, but a custom resource's own."""
        if isinstance(resource, CustomResource):
            return resource
        return self.catalog.by_storage(resource.key) or resource

    def versions(self, resource: Resource) -> Versions:
        """Return the versions of a resource's kind."""
        return Versions(self.catalog, self.schemas, resource)

    def create(
        self, resource: Resource, namespace: str, obj: Object, origin: Origin, *, managed: Managers | None = None
    ) -> Object:
        """Make an object; `managed` are its managedFields where they are known already.

        Raises:
            ApiError: 400, 404 (no such namespace), 409 or 422.
        """
        new = self.decode(resource, obj, drop_nulls=managed is None).value
        managers = managed_fields.stated(new, {}) if managed is None else managed
        if meta(new).get("resourceVersion"):
            raise status.internal("resourceVersion should not be set on objects to be created")
        metadata = without(meta(new), upkeep.SERVER_SET)
        new["metadata"] = metadata
        self._settle_namespace(resource, namespace, metadata)
        escalation.guard(self.authorizer, resource, new, None, origin)
        if not metadata.get("name") and metadata.get("generateName"):
            metadata["name"] = generated(metadata["generateName"])
        hub = self._hub(resource)
        new = new if hub is resource else versions.as_stored(resource, new)
        metadata = new["metadata"]
        apply_defaults(hub.kind, new)
        upkeep.fold_string_data(new)
        if managed is None:
            managers = self.owners(resource, managers, None, new, origin)
        if hub.has_status:
            upkeep.begin_status(hub, new, self.decode(hub, {}).value)
        metadata.update(uid=str(uuid4()), creationTimestamp=self.now_text())
        request = Request(hub, new)
        chain.mutate(request, self.store)
        prepare_create(hub.kind, new)
        admit(hub.kind, new, self.disabled_plugins)
        faults = self.place_service(new, origin.dry_run) if hub is SERVICES else []
        validation.check(hub, new, asked=resource)
        if faults:
            raise status.invalid(hub.kind, hub.group, name_of(new), faults)
        escalation.check_may_create(self.authorizer, resource, new, origin)
        charges = chain.validate(request, self.store)
        if self.find(hub, namespace, name_of(new)) is not None:
            raise status.already_exists(hub, name_of(new))
        self._charge(charges, origin)
        settle(hub.kind, new)
        if hub.generation:
            metadata["generation"] = 1
        managed_fields.put(new, managers)
        made = self.store.create(resource, versions.as_stored(hub, new), origin)
        self._follow(resource, origin)
        return made

    def update(
        self, resource: Resource, old: Object, obj: Object, origin: Origin, *, managed: Managers | None = None
    ) -> Object:
        """Put `obj` in the place of `old` (what is stored at this moment); `origin.subresource` says which part of it.

        Raises:
            ApiError: 400, 409 (it carries another resourceVersion) or 422.
        """
        new = self.decode(resource, obj, drop_nulls=managed is None).value
        managers = managed_fields.stated(new, old) if managed is None else managed
        escalation.guard(self.authorizer, resource, new, old, origin)
        upkeep.settle_metadata(resource, new, old)
        hub = self._hub(resource)
        new = new if hub is resource else versions.as_stored(resource, new)
        upkeep.divide(hub, new, old, origin.subresource)
        upkeep.stamp_phase(hub, new, old, self.now_text())
        apply_defaults(hub.kind, new)
        upkeep.fold_string_data(new)
        if managed is None and managers:
            managers = self.owners(resource, managers, old, new, origin)
        prepare_update(hub.kind, new, old)
        admit(hub.kind, new, self.disabled_plugins)
        faults: list[FieldFault] = []
        if hub is SERVICES:
            upkeep.keep_addresses(new, old)
            faults = self.place_service(new, origin.dry_run)
        validation.check(hub, new, old, origin.subresource, asked=resource)
        if faults:
            raise status.invalid(hub.kind, hub.group, name_of(new), faults)
        self._charge(chain.validate(Request(hub, new, old, origin.subresource), self.store), origin)
        if upkeep.counts_as_change(hub, new, old, origin.subresource):
            new["metadata"]["generation"] = int(meta(old).get("generation", 0)) + 1
        managed_fields.put(new, managers)
        new = versions.as_stored(hub, new)
        if managed_fields.but_for_times(new) == managed_fields.but_for_times(old):
            new = old
        released = meta(old).get("finalizers") and not meta(new).get("finalizers")
        if is_terminating(new) and released and not meta(new).get("deletionGracePeriodSeconds"):
            self.store.delete(resource, old, origin)
            self._follow(resource, origin)
            return new
        changed = self.store.update(resource, new, old, origin)
        if resource is CUSTOM_RESOURCE_DEFINITIONS:
            self._follow(resource, origin)
        return changed

    def _charge(self, charges: list[Charge], origin: Origin) -> None:
        """Count what a write uses of quotas, in the same transaction."""
        for charge in charges if not origin.dry_run else ():
            quota = charge.quota
            path = RESOURCE_QUOTAS.path(namespace_of(quota), name_of(quota), "status")
            by_server = Origin("system:apiserver", "update", path, manager="kube-apiserver", subresource="status")
            counted = {**quota, "status": {**quota["status"], "used": charge.used}}
            self.update(RESOURCE_QUOTAS, quota, counted, by_server)

    def modify(
        self, resource: Resource, namespace: str, name: str, change: Callable[[Object], None], origin: Origin
    ) -> Object:
        """Read an object, have a copy of it changed in place, and put that back.

        Raises:
            ApiError: 404, 409 or 422.
        """
        old = self.read(resource, namespace, name)
        draft = copied(old)
        change(draft)
        return self.update(resource, old, draft, origin)

    def apply(
        self, resource: Resource, namespace: str, name: str, applied: Object, origin: Origin, *, force: bool
    ) -> tuple[Object, bool]:
        """Apply a configuration on the server's side; returns the object and whether it was made by this.

        Raises:
            ApiError: 400, 409 with one cause a conflicting field, or 422.
        """
        return applying.apply(self, resource, namespace, name, applied, origin, force=force)

    def delete(self, resource: Resource, old: Object, options: DeleteOptions, origin: Origin) -> tuple[Object, bool]:
        """Delete an object, or mark it for deletion; returns its state, and whether it is gone.

        Raises:
            ApiError: 409 when a precondition does not hold.
        """
        upkeep.check_preconditions(resource, old, options)
        if resource is CUSTOM_RESOURCE_DEFINITIONS:
            draft = definitions.marked(old, self.now_text())
            kept = self.store.update(resource, draft, old, origin)
            self._follow(resource, origin)
            return kept, False
        left = upkeep.doomed(resource, old, options, self.clock.now())
        if left is not None:
            return self.store.update(resource, left, old, origin), False
        last = self.store.delete(resource, old, origin)
        self._follow(resource, origin)
        return last, True

    def remove(self, resource: Resource, old: Object, origin: Origin) -> None:
        """Take an object away for good, as the one does who finished its clean-up."""
        self.store.delete(resource, old, origin)
        self._follow(resource, origin)

    def discard(self, resource: Resource, old: Object, origin: Origin) -> None:
        """Delete an object as nobody in particular does: in the background, at once where nothing holds it."""
        self.delete(resource, old, DeleteOptions(), origin)

    def _follow(self, resource: Resource, origin: Origin) -> None:
        """Do what a definition, or the last object of one that goes, calls for."""
        if origin.dry_run or self._following:
            return
        self._following = True
        try:
            definitions.follow(self, resource)
        finally:
            self._following = False

    def _settle_namespace(self, resource: Resource, namespace: str, metadata: Object) -> None:
        if not resource.namespaced:
            metadata.pop("namespace", None)
            return
        if metadata.get("namespace", namespace) != namespace:
            text = "the namespace of the provided object does not match the namespace sent on the request"
            raise status.bad_request(text)
        metadata["namespace"] = namespace
        home = self.store.get(NAMESPACES.key, "", namespace)
        if home is None:
            raise status.not_found(NAMESPACES, namespace)
        if is_terminating(home):
            raise status.terminating(resource, str(metadata.get("name", "")), namespace)

    def with_owners(self, resource: Resource, obj: Object, origin: Origin, blank: Object | None = None) -> Object:
        """Return an object that is answered and not stored, with its managedFields.

        `blank` is what is there before anybody gives anything.
        """
        owned = {**obj, "metadata": dict(meta(obj))}
        managed_fields.put(owned, self.owners(resource, {}, blank, obj, origin))
        return owned

    def owners(
        self, resource: Resource, managers: Managers, old: Object | None, new: Object, origin: Origin
    ) -> Managers:
        """Return the managers after a write that is no apply; `old` lies in the store, `new` is about to."""
        hub = self._hub(resource)
        before = self.decode(resource, {}).value if old is None else versions.presented(resource, old)
        after = new if hub is resource else versions.presented(resource, new)
        kinds, now = self.versions(resource), self.clock.now()
        return after_write(kinds, managers, before, after, origin=origin, now=now)
