"""The roles and bindings that every cluster begins with, as the original makes them (`bootstrap.json`)."""

from functools import cache
from pathlib import Path
from typing import Final
from uuid import uuid4

import orjson

from midwatch_contracts.clock import VirtualClock
from midwatch_lab.kinds.resources import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    NAMESPACES,
    ROLE_BINDINGS,
    ROLES,
    Resource,
)
from midwatch_lab.objects import Object, meta, name_of, namespace_of
from midwatch_lab.registry.registry import Registry
from midwatch_lab.schemas.schema import schemas
from midwatch_lab.store.audit import Audit, Origin
from midwatch_lab.store.store import Store

_RESOURCES: Final = (CLUSTER_ROLES, CLUSTER_ROLE_BINDINGS, ROLES, ROLE_BINDINGS)


def made_by_server(resource: Resource, namespace: str = "") -> Origin:
    """Return where what the API server makes by itself comes from."""
    return Origin("system:apiserver", "create", resource.path(namespace), manager="kube-apiserver")


def make_roles(registry: Registry) -> None:
    """Make the roles and bindings that are not there; their namespaces must be."""
    now = registry.now_text()
    for resource, obj in _prepared():
        namespace = namespace_of(obj)
        if registry.find(resource, namespace, name_of(obj)) is None:
            registry.store.create(resource, _born(obj, now), made_by_server(resource, namespace))


def _born(obj: Object, now: str) -> Object:
    """Return a prepared object as one that is made now."""
    metadata = meta(obj)
    entries = [{**entry, "time": now} for entry in metadata["managedFields"]]
    own = {"uid": str(uuid4()), "creationTimestamp": now, "managedFields": entries}
    return {**obj, "metadata": {**metadata, **own}}


@cache
def _prepared() -> tuple[tuple[Resource, Object], ...]:
    """Return the objects as a registry makes them: those of two clusters differ in their uids and times alone.

    A cluster gets 133 of them, and tests make many clusters, so the work is done once.
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
