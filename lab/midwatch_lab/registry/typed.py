"""Objects as structured-merge-diff sees them: compare, merge, take away, and list the fields, by the kind's schema.

This is the ground under managedFields (KEP-555, sigs.k8s.io/structured-merge-diff). A path is a tuple of FieldsV1
elements: `f:spec` a field, `k:{"name":"engine"}` an element of a keyed list, `v:"a"` an element of a set. A list or map
that is atomic is one field; a map or keyed list that is not is a field beside what it holds.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, cast

import orjson

from midwatch_lab.objects import Object, meta
from midwatch_lab.registry.interleave import interleaved
from midwatch_lab.schemas.schema import INT_OR_STRING, QUANTITY, Schema, Schemas

Path: TypeAlias = tuple[str, ...]
Trie: TypeAlias = "dict[str, Any]"
"""Paths as a tree, step by step; the key `.` marks a path that is itself one of the set."""

_OWNERLESS: Final = frozenset({
    "name", "namespace", "uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "selfLink",
})  # fmt: skip
_ANYTHING: Final[Schema] = {"x-kubernetes-preserve-unknown-fields": True}


class _Absent:
    """The value of a field that is not there, as opposed to null."""


_ABSENT: Final = _Absent()


def json_text(value: Any) -> str:
    """Return compact JSON with sorted keys, as path elements have it."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:  # a number beyond 64 bits
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def element_key(item: Object, keys: Iterable[str], schema: Schema) -> str:
    """Return the path element of an object in a keyed list; a key that is left out has its default."""
    properties: dict[str, Schema] = schema.get("properties", {})
    values = {key: item.get(key, properties.get(key, {}).get("default")) for key in keys}
    return "k:" + json_text({key: value for key, value in values.items() if value is not None})


@dataclass
class Comparison:
    """The fields by which one object differs from another."""

    added: set[Path] = field(default_factory=set[Path])
    modified: set[Path] = field(default_factory=set[Path])
    removed: set[Path] = field(default_factory=set[Path])


def trie(paths: Iterable[Path]) -> Trie:
    """Return paths as a tree."""
    root: Trie = {}
    for path in paths:
        node = root
        for step in path:
            node = node.setdefault(step, {})
        node["."] = True
    return root


@dataclass(frozen=True)
class Typed:
    """What can be done with objects of one definition."""

    schemas: Schemas
    definition: str

    def compare(self, old: Object, new: Object) -> Comparison:
        """Return how `new` differs from `old`, in what somebody can own."""
        found = Comparison()
        self._compare({"$ref": self.definition}, _ownable(old), _ownable(new), (), found)
        for paths in (found.added, found.removed):
            paths.discard(("f:metadata",))
        return found

    def fields(self, obj: Object) -> set[Path]:
        """Return the fields that a configuration states."""
        found: set[Path] = set()
        self._fields({"$ref": self.definition}, _ownable(obj), (), found)
        return found

    def everything(self, obj: Object) -> set[Path]:
        """Return all fields of an object, those that nobody can own among them."""
        found: set[Path] = set()
        self._fields({"$ref": self.definition}, obj, (), found)
        return found

    def merge(self, live: Object, applied: Object) -> Object:
        """Return the live object with a configuration laid over it."""
        return cast("Object", self._merge({"$ref": self.definition}, live, applied))

    def remove(self, obj: Object, paths: Iterable[Path]) -> Object:
        """Return the object without the fields and elements at the paths."""
        return cast("Object", self._remove({"$ref": self.definition}, obj, trie(paths)) or {})

    def with_parents(self, paths: Iterable[Path]) -> set[Path]:
        """Return the paths, and with each those of the structures around it."""
        found: set[Path] = set()
        known: dict[Path, Schema | None] = {(): {"$ref": self.definition}}
        for path in paths:
            found.add(path)
            for end in range(1, len(path)):
                prefix = path[:end]
                above = known[path[: end - 1]]
                if prefix not in known:
                    known[prefix] = self._below(above, path[end - 1])
                name = path[end - 1]
                if name.startswith("f:") and name[2:] in self.schemas.resolve(above or {}).get("properties", {}):
                    found.add(prefix)
        return found

    def _below(self, schema: Schema | None, step: str) -> Schema | None:
        return self._child(schema, step[2:]) if step.startswith("f:") else self.schemas.items(schema)

    def _child(self, schema: Schema | None, key: str) -> Schema | None:
        found = self.schemas.child(schema, key)
        if found is None and self.schemas.resolve(schema or {}).get("x-kubernetes-preserve-unknown-fields"):
            return _ANYTHING
        return found

    def _is_map(self, schema: Schema | None, value: Any) -> bool:
        """Tell whether a value is a map whose fields are owned one by one."""
        place = schema or {}
        if not isinstance(value, dict) or place.get("$ref") in (QUANTITY, INT_OR_STRING):
            return False
        resolved = self.schemas.resolve(place)
        if place.get("x-kubernetes-map-type", resolved.get("x-kubernetes-map-type")) == "atomic":
            return False
        marks = ("properties", "additionalProperties", "x-kubernetes-preserve-unknown-fields")
        return any(resolved.get(mark) for mark in marks)

    @staticmethod
    def _is_list(schema: Schema | None, value: Any) -> bool:
        """Tell whether a value is a list whose elements are owned one by one."""
        return isinstance(value, list) and (schema or {}).get("x-kubernetes-list-type") in ("map", "set")

    def elements(self, schema: Schema | None, value: Any) -> Iterator[tuple[str, Any]]:
        """Yield the path element and the value of each element of a keyed list or a set."""
        items = self.schemas.items(schema)
        for item in cast("list[Any]", value):
            if isinstance(item, dict) and cast("Schema", schema)["x-kubernetes-list-type"] == "map":
                keys = cast("Schema", schema)["x-kubernetes-list-map-keys"]
                yield element_key(cast("Object", item), keys, self.schemas.resolve(items or {})), item
            else:
                yield "v:" + json_text(item), item

    def _compare(self, schema: Schema | None, old: Any, new: Any, path: Path, found: Comparison) -> None:
        if old is new:
            return
        seen = old if isinstance(new, _Absent) or new is None else new
        if self._is_map(schema, seen) and (old or new):
            self._compare_maps(schema, old, new, path, found)
            leaf = False
        elif self._is_list(schema, seen) and (old or new):
            self._compare_lists(schema, old, new, path, found)
            leaf = False
        else:
            leaf = True
        if isinstance(old, _Absent):
            found.added.add(path)
        elif isinstance(new, _Absent):
            found.removed.add(path)
        elif leaf and old != new:
            found.modified.add(path)

    def _compare_maps(self, schema: Schema | None, old: Any, new: Any, path: Path, found: Comparison) -> None:
        required = self.schemas.resolve(schema or {}).get("required", ())
        one, two = _map_or_empty(old), _map_or_empty(new)

        def missing(side: Any, key: str) -> Any:
            # What Go always writes is null where it is left out, and so is there.
            return None if isinstance(side, dict) and key in required else _ABSENT

        for key in dict.fromkeys([*one, *two]):
            olds, news = one.get(key, missing(old, key)), two.get(key, missing(new, key))
            self._compare(self._child(schema, key), olds, news, (*path, f"f:{key}"), found)

    def _compare_lists(self, schema: Schema | None, old: Any, new: Any, path: Path, found: Comparison) -> None:
        items = self.schemas.items(schema)
        olds = dict(self.elements(schema, old)) if isinstance(old, list) else {}
        news = dict(self.elements(schema, new)) if isinstance(new, list) else {}
        for key in dict.fromkeys([*olds, *news]):
            self._compare(items, olds.get(key, _ABSENT), news.get(key, _ABSENT), (*path, key), found)

    def _fields(self, schema: Schema | None, value: Any, path: Path, found: set[Path]) -> None:
        if self._is_map(schema, value) and value:
            named = self.schemas.resolve(schema or {}).get("properties", {})
            for key, item in cast("Object", value).items():
                here = (*path, f"f:{key}")
                self._fields(self._child(schema, key), item, here, found)
                if key not in named:
                    found.add(here)
        elif self._is_list(schema, value):
            items = self.schemas.items(schema)
            for key, item in self.elements(schema, value):
                found.add((*path, key))
                self._fields(items, item, (*path, key), found)
        elif path:
            found.add(path)

    def _merge(self, schema: Schema | None, live: Any, applied: Any) -> Any:
        if isinstance(applied, _Absent):
            return live
        if isinstance(live, _Absent):
            return applied
        if isinstance(live, dict) and (applied is None or self._is_map(schema, applied)) and self._is_map(schema, live):
            base, over = cast("Object", live), cast("Object", applied or {})
            return {
                key: self._merge(self._child(schema, key), base.get(key, _ABSENT), over.get(key, _ABSENT))
                for key in dict.fromkeys([*base, *over])
            }
        if self._is_list(schema, live) and (applied is None or isinstance(applied, list)):
            return self._merge_lists(schema, live, applied or [])
        return applied

    def _merge_lists(self, schema: Schema | None, live: Any, applied: Any) -> list[Any]:
        items = self.schemas.items(schema)
        lefts, rights = list(self.elements(schema, live)), list(self.elements(schema, applied))
        old, new = dict(lefts), dict(rights)
        order = interleaved([key for key, _ in lefts], [key for key, _ in rights])
        return [
            self._merge(items, old.get(key, _ABSENT), new[key]) if is_applied else old[key] for key, is_applied in order
        ]

    def _remove(self, schema: Schema | None, value: Any, gone: Trie) -> Any:
        """Return what is left of a value; as in the original, a structure from which all was taken is null."""
        if self._is_map(schema, value):
            kept: Object = {}
            for key, item in cast("Object", value).items():
                node = gone.get(f"f:{key}")
                if node is None:
                    kept[key] = item
                elif "." not in node:
                    kept[key] = self._remove(self._child(schema, key), item, node)
            return kept or None
        if self._is_list(schema, value):
            items = self.schemas.items(schema)
            left: list[Any] = []
            for key, item in self.elements(schema, value):
                node = gone.get(key)
                if node is None:
                    left.append(item)
                elif "." not in node:
                    left.append(self._remove(items, item, node))
            return left or None
        return value


def _map_or_empty(value: Any) -> Object:
    return cast("Object", value) if isinstance(value, dict) else {}


def _ownable(obj: Object) -> Object:
    bare = {key: value for key, value in obj.items() if key not in ("apiVersion", "kind", "metadata")}
    metadata = {key: value for key, value in meta(obj).items() if key not in _OWNERLESS}
    if metadata:
        bare["metadata"] = metadata
    return bare
