"""The roles and bindings that every cluster begins with, as the original makes them (`bootstrap.json`)."""

from functools import cache
from pathlib import Path
from typing import Final
from uuid import uuid4

import orjson

from midwatch_contracts.clock import VirtualClock
from midwatch_lab.access.rules import not_covered
from midwatch_lab.kinds.resources import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    NAMESPACES,
    ROLE_BINDINGS,
    ROLES,
    Resource,
)
from midwatch_lab.objects import Object, annotations_of, meta, name_of, namespace_of
from midwatch_lab.registry.registry import Registry
from midwatch_lab.schemas.schema import schemas
from midwatch_lab.store.audit import Audit, Origin
from midwatch_lab.store.store import Store

_REPAIRED: Final = "rbac.authorization.kubernetes.io/autoupdate"
_RESOURCES: Final = (CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS, ROLES, ROLE_BINDINGS)


def made_by_server(resource: Resource, namespace: str = "") -> Origin:
    """Return where what the API server makes by itself comes from."""
    return Origin("system:apiserver", "create", resource.path(namespace), manager="kube-apiserver")


def make_roles(registry: Registry) -> None:
    """Make the roles and bindings that are not there, and give back what others have lost; their namespaces must be.

    As at a start of the original, what is more than it was stays, and the annotation can forbid it all.
    """
    now = registry.now_text()
    for resource, obj in _prepared():
        namespace = namespace_of(obj)
        found = registry.find(resource, namespace, name_of(obj))
        if found is None:
            registry.store.create(resource, _born(obj, now), made_by_server(resource, namespace))
        elif annotations_of(found).get(_REPAIRED) == "true" and (lost := _lost(found, obj)):
            repaired: Object = dict(found)
            for key, items in lost.items():
                kept: list[Object] = found.get(key) or []
                repaired[key] = kept + items
            registry.update(resource, found, repaired, made_by_server(resource, namespace))


def _lost(found: Object, prepared: Object) -> dict[str, list[Object]]:
    """Return the rules and subjects that a role or a binding had at first and has no more."""
    subjects: list[Object] = found.get("subjects") or []
    first: list[Object] = prepared.get("subjects") or []
    lost: dict[str, list[Object]] = {
        "rules": not_covered(found.get("rules") or [], prepared.get("rules") or []),
        "subjects": [one for one in first if one not in subjects],
    }
    return {key: items for key, items in lost.items() if items}


def _born(obj: Object, now: str) -> Object:
    """Return a prepared object as one that is made now."""
    metadata = meta(obj)
    entries = [{**entry, "time": now} for entry in metadata["managedFields"]]
    own = {"uid": str(uuid4()), "creationTimestamp": now, "managedFields": entries}
    return {**obj, "metadata": {**metadata, **own}}


@cache
def _prepared() -> tuple[tuple[Resource, Object], ...]:
    """Return the objects as a registry makes them: those of two clusters differ in their uids and times alone.

    A cluster gets many of them, and tests make many clusters, so the work is done once.
    """
    document = orjson.loads(Path(__file__).with_name("bootstrap.json").read_bytes())
    clock = VirtualClock()
    scratch = Registry(Store(Audit(clock)), schemas().fresh(), clock)
    for name in ("kube-public", "kube-system"):
        scratch.create(NAMESPACES, "", {"metadata": {"name": name}}, made_by_server(NAMESPACES))
    return tuple(
        (resource, scratch.create(resource, namespace_of(obj), obj, made_by_server(resource, namespace_of(obj))))
        for resource in _RESOURCES
        for obj in document[resource.plural]
    )
