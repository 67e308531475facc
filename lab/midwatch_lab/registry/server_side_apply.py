"""Server-side apply: a manager states the fields it wants, and owns exactly those (KEP-555)."""

from collections import defaultdict
from http import HTTPStatus
from typing import Any, cast

import orjson

from midwatch_lab.errors import ApiError
from midwatch_lab.objects import Object, copied, meta
from midwatch_lab.registry.managed_fields import Path, decode, element_key, field_set, is_of, new_entry
from midwatch_lab.schemas.schema import Schema, Schemas
from midwatch_lab.store.audit import Origin


class ServerSideApply:
    """One apply of one configuration onto a live object."""

    def __init__(self, schemas: Schemas, definition: str, origin: Origin) -> None:
        self.schemas = schemas
        self.definition = definition
        self.origin = origin

    def merge(self, live: Object, applied: Object, *, force: bool) -> Object:
        """Return the live object with the configuration laid over it, and fields no longer applied taken away.

        Raises:
            ApiError: 409 with a cause a field, when another manager owns a field that would change, without `force`.
        """
        wanted = self._stated(applied)
        current = field_set(self.schemas, self.definition, live)
        entries: list[Object] = meta(live).get("managedFields", [])
        conflicts = self._conflicts(entries, wanted, current)
        if conflicts and not force:
            raise _conflict(conflicts)
        before = [decode(entry["fieldsV1"]) for entry in entries if is_of(entry, self.origin, "Apply")]
        others = [decode(entry["fieldsV1"]) for entry in entries if not is_of(entry, self.origin, "Apply")]
        result = self._overlay({"$ref": self.definition}, live, applied)
        dropped = set[Path]().union(*before) - wanted.keys() - set[Path]().union(*others)
        for path in sorted(dropped, key=len, reverse=True):
            _take_away(result, path)
        return result

    def managed(self, live: Object, applied: Object, api_version: str, now: float) -> list[Object]:
        """Return the managedFields after the apply; a field that was forced away from another is no longer theirs."""
        wanted = self._stated(applied)
        current = field_set(self.schemas, self.definition, live)
        result: list[Object] = []
        lost = {
            path
            for paths in self._conflicts(meta(live).get("managedFields", []), wanted, current).values()
            for path in paths
        }
        for entry in meta(live).get("managedFields", []):
            if is_of(entry, self.origin, "Apply"):
                continue
            rest = decode(entry["fieldsV1"]) - lost
            if rest:
                result.append(new_entry_like(entry, rest))
        return [*result, new_entry(self.origin, "Apply", api_version, now, wanted)] if wanted else result

    def _stated(self, applied: Object) -> dict[Path, Any]:
        """Return the fields that an applied configuration owns: not the maps and lists around them."""
        found = field_set(self.schemas, self.definition, applied)
        return {path: value for path, value in found.items() if value is not None or not path[-1].startswith("f:")}

    def _conflicts(
        self, entries: list[Object], wanted: dict[Path, Any], current: dict[Path, Any]
    ) -> dict[str, list[Path]]:
        changing = {path for path, value in wanted.items() if path in current and current[path] != value}
        found: dict[str, list[Path]] = defaultdict(list)
        for entry in entries:
            if is_of(entry, self.origin, "Apply"):
                continue
            for path in sorted(decode(entry["fieldsV1"]) & changing):
                using = "" if entry["operation"] == "Apply" else f" using {entry['apiVersion']}"
                found[f'"{entry["manager"]}"{using}'].append(path)
        return found

    def _overlay(self, schema: Schema | None, live: Any, applied: Any) -> Any:
        over: Any
        if isinstance(applied, dict) and isinstance(live, dict):
            resolved = self.schemas.resolve(schema or {})
            mark = (schema or {}).get("x-kubernetes-map-type", resolved.get("x-kubernetes-map-type"))
            if mark != "atomic":
                base, over = cast("Object", live), cast("Object", applied)
                merged = {key: self._overlay(self.schemas.child(schema, key), base.get(key), over[key]) for key in over}
                return copied(base) | merged
        if isinstance(applied, list) and isinstance(live, list):
            return self._overlay_list(schema or {}, cast("list[Any]", live), cast("list[Any]", applied))
        return cast("Any", applied)

    def _overlay_list(self, schema: Schema, live: list[Any], applied: list[Any]) -> list[Any]:
        match schema.get("x-kubernetes-list-type"):
            case "set":
                return live + [item for item in applied if item not in live]
            case "map":
                items = self.schemas.items(schema)
                inner = self.schemas.resolve(items or {})
                keys: list[str] = schema["x-kubernetes-list-map-keys"]
                merged = {element_key(item, keys, inner): item for item in live}
                for item in applied:
                    element = element_key(item, keys, inner)
                    merged[element] = self._overlay(items, merged[element], item) if element in merged else item
                return list(merged.values())
            case _:
                return applied


def new_entry_like(entry: Object, paths: set[Path]) -> Object:
    """Return an entry of the same manager with other fields."""
    origin = Origin("", "", "", manager=entry["manager"], subresource=entry.get("subresource", ""))
    return {**new_entry(origin, entry["operation"], entry["apiVersion"], 0.0, paths), "time": entry["time"]}


def _conflict(conflicts: dict[str, list[Path]]) -> ApiError:
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {manager}", "field": _dotted(path)}
        for manager, paths in conflicts.items()
        for path in paths
    ]
    lines = [f"conflict with {manager}: {', '.join(map(_dotted, paths))}" for manager, paths in conflicts.items()]
    many = "conflict" if len(causes) == 1 else "conflicts"
    message = f"Apply failed with {len(causes)} {many}: " + ("; ".join(lines))
    return ApiError(HTTPStatus.CONFLICT, "Conflict", message, details={"causes": causes})


def _dotted(path: Path) -> str:
    text = ""
    for step in path:
        kind, _, rest = step.partition(":")
        if kind == "f":
            text += f".{rest}"
        elif kind == "k":
            keys: Object = orjson.loads(rest)
            text += "[" + ",".join(f"{key}={orjson.dumps(value).decode()}" for key, value in keys.items()) + "]"
        else:
            text += f"[={rest}]"
    return text


def _take_away(obj: Object, path: Path) -> None:
    node: Any = obj
    for step in path[:-1]:
        node = _descend(node, step)
        if node is None:
            return
    last = path[-1]
    if isinstance(node, dict):
        cast("Object", node).pop(last.removeprefix("f:"), None)
    elif isinstance(node, list):
        items = cast("list[Any]", node)
        found = _descend(items, last)
        if found is not None:
            items.remove(found)


def _descend(node: Any, step: str) -> Any:
    kind, _, rest = step.partition(":")
    if kind == "f":
        return cast("Object", node).get(rest) if isinstance(node, dict) else None
    if not isinstance(node, list):
        return None
    items = cast("list[Any]", node)
    wanted = orjson.loads(rest)
    if kind == "v":
        return next((item for item in items if item == wanted), None)
    keys = cast("Object", wanted)
    return next((item for item in items if all(item.get(key, value) == value for key, value in keys.items())), None)
