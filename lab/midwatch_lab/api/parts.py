"""How a stored object stands in an answer: whole, as an item of a list, as its metadata alone, as the cells of a row.

Stored objects never change in place, so what was encoded of one once is good for every further list and watcher until
another takes its place. `KeptParts` does that for JSON; `Parts` serves the forms that need the objects themselves.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import orjson

from midwatch_lab.custom.resource import CustomResource
from midwatch_lab.kinds.column import Column
from midwatch_lab.kinds.resources import Resource
from midwatch_lab.kinds.workload_defaults import TEMPLATE_GENERATION
from midwatch_lab.objects import Object, annotations_of, meta, without
from midwatch_lab.registry.versions import presented
from midwatch_lab.store.store import Change, Store

Columns: TypeAlias = tuple[Column, ...]

_KEPT_MAX: Final = 20_000


class Parts:
    """Objects and their parts as plain data."""

    def whole(self, resource: Resource, obj: Object) -> Any:
        """Return a stored object in the version of the resource."""
        return presented(resource, obj)

    def item(self, resource: Resource, obj: Object) -> Any:
        """Return a stored object as an item of a list, which leaves out what the list says."""
        if isinstance(resource, CustomResource):
            # Lists of custom resources repeat kind and version in each item.
            return self.whole(resource, obj)
        return {key: value for key, value in presented(resource, obj).items() if key not in ("kind", "apiVersion")}

    def partial(self, obj: Object, version: str) -> Any:
        """Return an object's metadata as a PartialObjectMetadata."""
        metadata = meta(obj)
        if TEMPLATE_GENERATION in annotations_of(obj):
            # To the original this is a field of a DaemonSet, an annotation only where the whole object is shown.
            kept = without(annotations_of(obj), [TEMPLATE_GENERATION])
            metadata = {**without(metadata, ["annotations"]), **({"annotations": kept} if kept else {})}
        return {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{version}", "metadata": metadata}

    def cells(self, resource: Resource, columns: Columns, now: float) -> Callable[[Object], list[Any]]:
        """Return what reads the cells of a row from an object."""
        if isinstance(resource, CustomResource):
            # Its columns read the version asked for, those of a built-in kind the one that it is stored in.
            return lambda obj: [column.value(presented(resource, obj), now) for column in columns]
        return lambda obj: [column.value(obj, now) for column in columns]


PLAIN: Final = Parts()


@dataclass
class _Kept:
    """The parts of one object. Holding the object is what makes its `id` its own."""

    obj: Object
    encoded: dict[tuple[str, str], orjson.Fragment] = field(default_factory=dict[tuple[str, str], orjson.Fragment])
    columns: Columns = ()
    cells: list[Any] = field(default_factory=list[Any])
    """Of these columns; those that depend on the time are read anew."""


class KeptParts(Parts):
    """Parts that are encoded once, until the store has another object in the place."""

    def __init__(self, store: Store) -> None:
        self._kept: dict[int, _Kept] = {}
        store.listen(self._heard)

    def _heard(self, change: Change) -> None:
        if change.old is not None:
            self._kept.pop(id(change.old), None)

    def _of(self, obj: Object) -> _Kept:
        kept = self._kept.get(id(obj))
        if kept is None:
            if len(self._kept) >= _KEPT_MAX:
                # What is no longer in the store would stay for good: lists of an older version ask for it too.
                self._kept.clear()
            kept = self._kept[id(obj)] = _Kept(obj)
        return kept

    def _encoded(self, obj: Object, form: tuple[str, str], make: Callable[[], Any]) -> orjson.Fragment:
        encoded = self._of(obj).encoded
        found = encoded.get(form)
        if found is None:
            found = encoded[form] = orjson.Fragment(orjson.dumps(make()))
        return found

    def whole(self, resource: Resource, obj: Object) -> Any:
        """Return a stored object in the version of the resource."""
        if isinstance(resource, CustomResource):
            # What is read of it may change with its definition.
            return super().whole(resource, obj)
        return self._encoded(obj, ("whole", resource.schema), lambda: super(KeptParts, self).whole(resource, obj))

    def item(self, resource: Resource, obj: Object) -> Any:
        """Return a stored object as an item of a list."""
        if isinstance(resource, CustomResource):
            return super().item(resource, obj)
        return self._encoded(obj, ("item", resource.schema), lambda: super(KeptParts, self).item(resource, obj))

    def partial(self, obj: Object, version: str) -> Any:
        """Return an object's metadata as a PartialObjectMetadata."""
        return self._encoded(obj, ("partial", version), lambda: super(KeptParts, self).partial(obj, version))

    def cells(self, resource: Resource, columns: Columns, now: float) -> Callable[[Object], list[Any]]:
        """Return what reads the cells of a row from an object; those that do not depend on the time are read once."""
        anew = super().cells(resource, columns, now)
        if isinstance(resource, CustomResource):
            return anew
        moving = [(index, column.value) for index, column in enumerate(columns) if not column.is_timeless]

        def cells(obj: Object) -> list[Any]:
            kept = self._of(obj)
            if kept.columns is not columns:
                kept.columns, kept.cells = columns, anew(obj)
            found = kept.cells.copy()
            for index, read in moving:
                found[index] = read(obj, now)
            return found

        return cells
