"""What follows from a write to a CustomResourceDefinition: names accepted, served, and cleaned up after deletion.

The original does this in controllers beside its API server, which are soon done; here it is done right after the write,
so that discovery shows a definition at once. The answer to the write itself is still the one without conditions.
"""

from typing import Final, Protocol

from midwatch_lab.custom.resource import CustomResource, versions_of
from midwatch_lab.custom.status import FINALIZER, is_established, settled, terminating
from midwatch_lab.kinds.catalog import Catalog
from midwatch_lab.kinds.resources import CUSTOM_RESOURCE_DEFINITIONS, Resource
from midwatch_lab.objects import Object, is_terminating, meta, name_of
from midwatch_lab.schemas.schema import Schemas
from midwatch_lab.store.audit import Origin
from midwatch_lab.store.store import Store

_PRINCIPAL: Final = "system:apiserver"


class Door(Protocol):
    """What the registry offers for this."""

    store: Store
    schemas: Schemas
    catalog: Catalog

    def now_text(self) -> str:
        """Return the present as objects carry it."""
        ...

    def update(self, resource: Resource, old: Object, obj: Object, origin: Origin) -> Object:
        """Put `obj` in the place of `old`."""
        ...

    def discard(self, resource: Resource, old: Object, origin: Origin) -> None:
        """Delete an object, or mark it for deletion."""
        ...


def serve(door: Door) -> None:
    """Serve what the established definitions in the store say, and nothing else beside the built-in resources."""
    served: list[CustomResource] = []
    owners: list[CustomResource] = []
    for definition in door.store.items(CUSTOM_RESOURCE_DEFINITIONS.key):
        if is_established(definition):
            for row, is_served in versions_of(definition):
                owners += [row] if row.storage is None else []
                served += [row] if is_served else []
    door.catalog.define(served, owners)
    door.schemas.define_custom({row.schema: row.structure for row in [*served, *owners]})


def follow(door: Door, resource: Resource) -> None:
    """Do what a write to an object of `resource` calls for; nothing where that is no matter of definitions."""
    definitions = CUSTOM_RESOURCE_DEFINITIONS
    if resource is definitions:
        _judge(door)
        serve(door)
        for definition in door.store.items(definitions.key):
            if is_terminating(definition):
                _clean_up(door, definition)
                serve(door)
    elif isinstance(resource, CustomResource):
        found = door.store.get(definitions.key, "", resource.qualified)
        if found is not None and is_terminating(found):
            _clean_up(door, found)
            serve(door)


def marked(definition: Object, now: str) -> Object:
    """Return a definition as a deletion leaves it: kept until its custom resources are gone."""
    metadata = dict(meta(definition))
    finalizers: list[str] = metadata.get("finalizers", [])
    metadata["finalizers"] = finalizers if FINALIZER in finalizers else [*finalizers, FINALIZER]
    metadata.setdefault("deletionTimestamp", now)
    return {**definition, "metadata": metadata, "status": terminating(definition, now)}


def _judge(door: Door) -> None:
    for definition in door.store.items(CUSTOM_RESOURCE_DEFINITIONS.key):
        if is_terminating(definition):
            continue
        others = door.store.items(CUSTOM_RESOURCE_DEFINITIONS.key)
        status = settled(definition, others, door.now_text())
        if status != definition.get("status"):
            origin = _origin(CUSTOM_RESOURCE_DEFINITIONS, definition, "update", "status")
            door.update(CUSTOM_RESOURCE_DEFINITIONS, definition, {**definition, "status": status}, origin)


def _clean_up(door: Door, definition: Object) -> None:
    """Delete the custom resources of a definition, and let it go once there are none."""
    if FINALIZER not in meta(definition).get("finalizers", []):
        return
    if is_established(definition):
        row = next(row for row, _ in versions_of(definition) if row.storage is None)
        for obj in door.store.items(row.key):
            if not is_terminating(obj):
                door.discard(row, obj, _origin(row, obj, "delete"))
        if door.store.items(row.key):
            return
    current = door.store.get(CUSTOM_RESOURCE_DEFINITIONS.key, "", name_of(definition))
    if current is None or FINALIZER not in meta(current).get("finalizers", []):
        return
    left = [name for name in meta(current)["finalizers"] if name != FINALIZER]
    draft = {**current, "metadata": {**meta(current), "finalizers": left}}
    origin = _origin(CUSTOM_RESOURCE_DEFINITIONS, current, "update")
    door.update(CUSTOM_RESOURCE_DEFINITIONS, current, draft, origin)


def _origin(resource: Resource, obj: Object, verb: str, subresource: str = "") -> Origin:
    path = resource.path(str(meta(obj).get("namespace", "")), name_of(obj), subresource)
    return Origin(_PRINCIPAL, verb, path, manager="kube-apiserver", subresource=subresource)
