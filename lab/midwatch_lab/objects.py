"""Small readings of Kubernetes objects, which are plain JSON data and are never changed in place once stored."""

import copy
from collections.abc import Iterable
from typing import Any, TypeAlias, cast

from midwatch_contracts.entity import Entity

Object: TypeAlias = dict[str, Any]
"""A Kubernetes object, or a part of one."""


def dig(value: Any, *path: str | int, default: Any = None) -> Any:
    """Follow keys and indexes down; `default` where the way ends early or at null."""
    for step in path:
        if isinstance(value, dict):
            value = cast("Object", value).get(cast("str", step))
        elif isinstance(value, list) and isinstance(step, int) and step < len(cast("list[Any]", value)):
            value = cast("list[Any]", value)[step]
        else:
            return default
    return default if value is None else value


def meta(obj: Object) -> Object:
    """Return the metadata (an empty one where there is none; not to be written to)."""
    return dig(obj, "metadata", default={})


def name_of(obj: Object) -> str:
    """Return the object's name."""
    return str(meta(obj).get("name", ""))


def namespace_of(obj: Object) -> str:
    """Return the object's namespace, empty where it has none."""
    return str(meta(obj).get("namespace", ""))


def uid_of(obj: Object) -> str:
    """Return the object's uid."""
    return str(meta(obj).get("uid", ""))


def labels_of(obj: Object) -> dict[str, str]:
    """Return the object's labels (not to be written to)."""
    return dig(obj, "metadata", "labels", default={})


def annotations_of(obj: Object) -> dict[str, str]:
    """Return the object's annotations (not to be written to)."""
    return dig(obj, "metadata", "annotations", default={})


def is_terminating(obj: Object) -> bool:
    """Tell whether deletion was asked for."""
    return bool(meta(obj).get("deletionTimestamp"))


def controller_of(obj: Object) -> Object | None:
    """Return the owner reference of the controller that manages the object."""
    return next((ref for ref in meta(obj).get("ownerReferences", []) if ref.get("controller")), None)


def is_controlled_by(obj: Object, owner: Object) -> bool:
    """Tell whether `owner` is the controller of `obj`."""
    reference = controller_of(obj)
    return reference is not None and reference.get("uid") == uid_of(owner)


def owner_reference(owner: Object) -> Object:
    """Return the reference by which a controller marks what it makes."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def entity_of(obj: Object) -> Entity:
    """Return the entity that the object is."""
    return Entity(str(obj.get("kind", "")), namespace_of(obj), name_of(obj))


def copied(obj: Object) -> Object:
    """Return a deep copy that may be written to."""
    return copy.deepcopy(obj)


def condition(obj: Object, kind: str) -> Object | None:
    """Return the status condition of a type."""
    return next((item for item in dig(obj, "status", "conditions", default=[]) if item.get("type") == kind), None)


def is_condition_true(obj: Object, kind: str) -> bool:
    """Tell whether a status condition is True."""
    found = condition(obj, kind)
    return found is not None and found.get("status") == "True"


def set_condition(conditions: list[Object], new: Object) -> bool:
    """Put a condition into the list; its transition time stays when its status does. Tells whether anything changed."""
    for index, old in enumerate(conditions):
        if old.get("type") != new["type"]:
            continue
        if all(old.get(key) == new.get(key) for key in ("status", "reason", "message", "observedGeneration")):
            return False
        if old.get("status") == new["status"] and "lastTransitionTime" in old:
            new = {**new, "lastTransitionTime": old["lastTransitionTime"]}
        conditions[index] = new
        return True
    conditions.append(new)
    return True


def without(obj: Object, keys: Iterable[str]) -> Object:
    """Return a shallow copy that lacks some keys."""
    dropped = set(keys)
    return {key: value for key, value in obj.items() if key not in dropped}
