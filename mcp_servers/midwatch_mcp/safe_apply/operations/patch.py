"""`patch`: a strategic, merge or JSON patch. What it is about to replace is read off the patch, or it is refused."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, cast

from pydantic import model_validator

from midwatch_contracts.model import Model
from midwatch_mcp.safe_apply.operations.base import OperationKind, Touched, refuse
from midwatch_mcp.safe_apply.ports import Write
from midwatch_mcp.safe_apply.values import cleaned, escape, leaves, lookup, merge_patch, tokens

MERGE_KEYS: dict[str, str] = {
    "containers": "name",
    "initContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "imagePullSecrets": "name",
}
"""Lists that a strategic patch merges by key, from the `patchMergeKey` of the core types. Others are refused."""

_ATOMIC = frozenset({"command", "args", "drop", "add", "accessModes"})
"""Lists of plain words that a strategic patch replaces whole."""


class Patch(Model):
    """`type` as the Kubernetes API knows it; `patch` an object, or for `json` a list of RFC 6902 operations."""

    type: Literal["strategic", "merge", "json"]
    patch: dict[str, Any] | list[dict[str, Any]]

    @model_validator(mode="after")
    def _fits(self) -> "Patch":
        if isinstance(self.patch, list) != (self.type == "json"):
            raise ValueError("a json patch is a list of operations, the other two are objects")
        if not self.patch:
            raise ValueError("an empty patch changes nothing")
        return self


class PatchOperation(OperationKind[Patch]):
    """Patch an object."""

    name = "patch"
    about = "a strategic, merge or JSON patch"
    undone_by = "a merge patch back"
    example = {"type": "merge", "patch": {"spec": {"minReadySeconds": 10}}}  # noqa: RUF012
    kinds = ("*",)
    arguments = Patch

    def touched(self, args: Patch, value: Mapping[str, Any]) -> Touched:
        """Return the value at each pointer that the patch replaces."""
        return {pointer: lookup(value, pointer) for pointer in _pointers(args, value)}

    def request(self, args: Patch, value: Mapping[str, Any]) -> Write:
        """Return the patch as it stands."""
        del value
        return Write(args.type, args.patch)

    def undo(self, args: Patch, before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return a merge patch from the dry run's result back to the object as it was."""
        del args
        return self.name, {"type": "merge", "patch": merge_patch(cleaned(after), cleaned(before))}


def _pointers(args: Patch, value: Mapping[str, Any]) -> list[str]:
    if isinstance(args.patch, list):
        found = [pointer for operation in args.patch for pointer in _json_pointers(operation, value)]
    elif args.type == "merge":
        found = list(leaves(args.patch))
    else:
        found = list(_strategic_pointers(args.patch, value, ""))
    if not found:
        raise refuse("the patch replaces nothing")
    return sorted(set(found))


def _json_pointers(operation: Mapping[str, Any], value: Mapping[str, Any]) -> Iterator[str]:
    """Yield what one operation of a JSON patch replaces; an element put into or taken out of a list moves the rest."""
    name, path = operation.get("op"), operation.get("path")
    if not isinstance(path, str) or not path.startswith("/"):
        raise refuse(f"the JSON patch operation {operation!r} has no path that begins with a slash")
    if name not in {"add", "replace", "remove", "test"}:
        raise refuse(f"the JSON patch operation {name!r} is not understood: write add, replace, remove or test")
    if name == "test":
        return
    parent = path.rsplit("/", 1)[0]
    shifts = name != "replace" and lookup(value, parent) and isinstance(lookup(value, parent)[0], list)
    yield parent if shifts else path


def _strategic_pointers(patch: Mapping[str, Any], value: Any, pointer: str) -> Iterator[str]:
    for key, item in patch.items():
        if key.startswith("$"):
            raise refuse(f"the directive {key} of a strategic patch is not understood: write a merge or JSON patch")
        place = f"{pointer}/{escape(key)}"
        here = lookup(value, "/" + escape(key))
        if isinstance(item, dict) and item:
            yield from _strategic_pointers(cast("dict[str, Any]", item), here[0] if here else {}, place)
        elif isinstance(item, list):
            yield from _list_pointers(key, cast("list[Any]", item), here[0] if here else [], place)
        else:
            yield place


def _list_pointers(key: str, items: list[Any], existing: Any, place: str) -> Iterator[str]:
    if key in _ATOMIC:
        yield place
        return
    merge_key = MERGE_KEYS.get(key)
    if merge_key is None:
        raise refuse(f"how a strategic patch merges the list {key!r} is not known here: write a merge or JSON patch")
    at = {element.get(merge_key): index for index, element in enumerate(cast("list[dict[str, Any]]", existing))}
    for item in items:
        name = cast("dict[str, Any]", item).get(merge_key) if isinstance(item, dict) else None
        if name is None:
            raise refuse(f"an element of the list {key!r} does not say its {merge_key}, by which it is merged")
        if name not in at:
            yield place  # a new element makes another list
            continue
        rest = {field: part for field, part in cast("dict[str, Any]", item).items() if field != merge_key}
        yield from _strategic_pointers(rest, existing[at[name]], f"{place}/{at[name]}")


def below(pointer: str, above: str) -> bool:
    """Say whether `pointer` is `above` or lies under it."""
    return tokens(pointer)[: len(tokens(above))] == tokens(above)
