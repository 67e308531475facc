"""Strategic merge patch: a merge patch whose lists of objects are merged by key, as the kind's schema says.

Directives: `$patch` (replace, delete, merge), `$retainKeys`, `$deleteFromPrimitiveList/<field>`,
`$setElementOrder/<field>` (Kubernetes, "Strategic Merge Patch" in the API documentation).
"""

import copy
from typing import Any, Final, cast

from midwatch_lab.errors import PatchError
from midwatch_lab.objects import Object
from midwatch_lab.schemas.schema import Schema, Schemas
from midwatch_lab.status import go_map

_PATCH: Final = "$patch"
_RETAIN: Final = "$retainKeys"
_DELETE: Final = "$deleteFromPrimitiveList/"
_ORDER: Final = "$setElementOrder/"


def apply(schemas: Schemas, definition: str, document: Object, patch: Object) -> Object:
    """Return the patched copy of an object of the named definition.

    Raises:
        PatchError: when an element of a merged list lacks its key, or a directive is unknown.
    """
    return _Merger(schemas).merge({"$ref": definition}, document, patch)


class _Merger:
    def __init__(self, schemas: Schemas) -> None:
        self.schemas = schemas

    def merge(self, schema: Schema | None, document: Object, patch: Object) -> Object:
        match patch.get(_PATCH):
            case None:
                pass
            case "replace":
                return copy.deepcopy({key: value for key, value in patch.items() if key != _PATCH})
            case "delete":
                return {}
            case other:
                shown = other if isinstance(other, str) else f"%!s({_go_type(other)}={go_map(other)})"
                raise PatchError(f"unknown patch type: {shown} in map: {go_map(patch)}", internal=True)
        kept = _retained(patch)
        result: Object = {k: v for k, v in document.items() if kept is None or k in kept}
        for key, change in patch.items():
            if key.startswith("$"):
                continue
            self._field(schema, result, key, change, patch)
        for key in patch:
            name = key.removeprefix(_DELETE)
            if key.startswith(_DELETE) and isinstance(result.get(name), list) and name not in patch:
                result[name] = [item for item in result[name] if item not in patch[key]]
            name = key.removeprefix(_ORDER)
            if key.startswith(_ORDER) and name not in patch and isinstance(result.get(name), list):
                result[name] = self._ordered(schema, name, result[name], [], patch)
        return result

    def _field(self, schema: Schema | None, result: Object, key: str, change: Any, patch: Object) -> None:
        child = self.schemas.child(schema, key)
        if change is None:
            result.pop(key, None)
        elif isinstance(change, dict) and "replace" not in _strategy(child):
            old: Any = result.get(key)
            base = cast("Object", old) if isinstance(old, dict) else {}
            wanted = cast("Object", change)
            if isinstance(old, dict):
                _check_open(child, wanted)
            merged = self.merge(child, base, wanted)
            if wanted.get(_PATCH) == "delete":
                result.pop(key, None)
            else:
                result[key] = merged
        elif isinstance(change, list) and "merge" in _strategy(child):
            olds: Any = result.get(key)
            base_list = cast("list[Any]", olds) if isinstance(olds, list) else []
            result[key] = self._list(schema, key, base_list, cast("list[Any]", change), patch)
        else:
            inner = child if isinstance(change, dict) else self.schemas.items(child)
            result[key] = self._plain(inner, change)

    def _plain(self, items: Schema | None, value: Any) -> Any:
        """Return a value that replaces, with directives inside its objects carried out on nothing."""
        if isinstance(value, list):
            return [self._plain(items, item) for item in cast("list[Any]", value)]
        if isinstance(value, dict):
            return self.merge(items, {}, cast("Object", value))
        return value

    def _list(self, schema: Schema | None, key: str, old: list[Any], change: list[Any], patch: Object) -> list[Any]:
        child = self.schemas.child(schema, key)
        merge_key = _merge_key(child)
        if merge_key is None:
            deleted = patch.get(_DELETE + key, [])
            kept = [item for item in old if item not in deleted]
            merged = kept + [item for index, item in enumerate(change) if item not in kept + change[:index]]
            return self._ordered(schema, key, merged, old, patch)
        items = self.schemas.items(child)
        result: list[Any] = list(old)
        for entry in change:
            if not isinstance(entry, dict):
                raise PatchError(f"list element types are not identical: {go_map([old, change])}", internal=True)
            part = cast("Object", entry)
            if part.get(_PATCH) == "replace":
                return [self._plain(items, one) for one in change if _PATCH not in one]
            self._element(items, merge_key, result, part)
        return self._ordered(schema, key, result, old, patch)

    def _element(self, items: Schema | None, merge_key: str, result: list[Any], part: Object) -> None:
        if merge_key not in part:
            raise PatchError(f"map: {go_map(part)} does not contain declared merge key: {merge_key}", internal=True)
        place = next((index for index, item in enumerate(result) if item.get(merge_key) == part[merge_key]), None)
        if part.get(_PATCH) == "delete":
            if place is not None:
                del result[place]
        elif place is None:
            result.append(self.merge(items, {}, part))
        else:
            result[place] = self.merge(items, result[place], part)

    def _ordered(self, schema: Schema | None, key: str, items: list[Any], old: list[Any], patch: Object) -> list[Any]:
        order = patch.get(_ORDER + key, patch.get(key))
        if not isinstance(order, list):
            return items
        merge_key = _merge_key(self.schemas.child(schema, key))

        def name(item: Any) -> Any:
            return item.get(merge_key) if merge_key and isinstance(item, dict) else item  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] (JSON of unknown shape)

        wanted = [name(item) for item in cast("list[Any]", order)]
        _check_order(patch, key, wanted, [name(item) for item in patch.get(key) or () if not _goes(item)])
        server = [name(item) for item in old]
        listed = sorted((item for item in items if name(item) in wanted), key=lambda item: wanted.index(name(item)))
        others = [item for item in items if name(item) not in wanted]
        merged: list[Any] = []
        for item in listed:
            while others and name(item) in server and name(others[0]) in server:
                if server.index(name(others[0])) > server.index(name(item)):
                    break
                merged.append(others.pop(0))
            merged.append(item)
        return merged + others


def _check_open(schema: Schema | None, change: Object) -> None:
    """Refuse to merge into what has no fields that are known, such as the data of a ControllerRevision."""
    if schema is not None and schema.get("$ref", "").endswith(".RawExtension") and change:
        text = f'unable to find api field in struct RawExtension for the json field "{min(change)}"'
        raise PatchError(text, internal=True)


def _retained(patch: Object) -> list[Any] | None:
    """Return what `$retainKeys` lists, which is all that the patch itself sets; None without the directive."""
    kept: Any = patch.get(_RETAIN)
    if kept is None:
        return None
    if not isinstance(kept, list) or any(not key.startswith("$") and key not in kept for key in patch):
        raise PatchError("invalid patch format of retainKeys")
    return cast("list[Any]", kept)


def _goes(item: Any) -> bool:
    return isinstance(item, dict) and cast("Object", item).get(_PATCH) == "delete"


def _check_order(patch: Object, key: str, wanted: list[Any], changed: list[Any]) -> None:
    """Refuse an order that lacks what the patch changes, or has it otherwise."""
    if _ORDER + key not in patch:
        return
    left = iter(wanted)
    if all(any(name == other for other in left) for name in changed):
        return
    listed, order = go_map(patch[key]), go_map(patch[_ORDER + key])
    raise PatchError(
        f"The order in patch list:\n{listed}\n doesn't match $setElementOrder list:\n{order}\n", internal=True
    )


def _go_type(value: Any) -> str:
    match value:
        case bool():
            return "bool"
        case int():
            return "int64"
        case float():
            return "float64"
        case list():
            return "[]interface {}"
        case _:
            return "map[string]interface {}"


def _strategy(schema: Schema | None) -> tuple[str, ...]:
    return tuple((schema or {}).get("x-kubernetes-patch-strategy", "").split(","))


def _merge_key(schema: Schema | None) -> str | None:
    return (schema or {}).get("x-kubernetes-patch-merge-key")
