"""`apply`: server-side apply of a manifest, as the field manager `midwatch`, never forced.

Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/. A field that another manager holds with
another value is a conflict, and a conflict is a refusal.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

from pydantic import Field

from midwatch_contracts.model import Model
from midwatch_mcp.safe_apply.operations.base import WRITTEN_HERE, OperationKind, Touched, Undo
from midwatch_mcp.safe_apply.operations.patch import MERGE_KEYS
from midwatch_mcp.safe_apply.ports import Write
from midwatch_mcp.safe_apply.values import cleaned, escape, lookup, merge_patch

_IDENTITY = frozenset({"/apiVersion", "/kind", "/metadata/name", "/metadata/namespace"})


class Apply(Model):
    """`manifest`: the fields that the object shall have; what it does not say stays as it is."""

    manifest: dict[str, Any]
    dropped: tuple[str, ...] = Field(default=(), json_schema_extra=WRITTEN_HERE)
    """Fields that an earlier apply of ours gave and this manifest no longer has: the API server takes them away."""


class Place(NamedTuple):
    """One place that a manifest speaks of."""

    name: str
    """Elements of a list by their key, so that it stays when others come before them."""
    pointer: str
    found: list[Any]


class ApplyOperation(OperationKind[Apply]):
    """Apply a manifest to an object that is there."""

    name = "apply"
    about = "server-side apply of a manifest to an object that is there; a field of another manager is a refusal"
    undone_by = "a merge patch back"
    example = {"manifest": {"spec": {"minReadySeconds": 10}}}  # noqa: RUF012
    kinds = ("*",)
    arguments = Apply

    def touched(self, args: Apply, value: Mapping[str, Any]) -> Touched:
        """Return the value at each place that the manifest speaks of, and at those that it gives up."""
        found = {place.name: place.found for place in places(args.manifest, value)}
        return found | {pointer: lookup(value, pointer) for pointer in args.dropped}

    def pointers(self, args: Apply, value: Mapping[str, Any]) -> list[str]:
        """Return where those places stand."""
        return [*dict.fromkeys(place.pointer for place in places(args.manifest, value)), *args.dropped]

    def request(self, args: Apply, value: Mapping[str, Any]) -> Write:
        """Return the manifest."""
        del value
        return Write("apply", args.manifest)

    def undo(self, args: Apply, before: Mapping[str, Any], after: Mapping[str, Any]) -> Undo | None:
        """Return a merge patch from the dry run's result back to the object as it was; None where both are the same."""
        del args
        back = merge_patch(cleaned(after), cleaned(before))
        return ("patch", {"type": "merge", "patch": back}) if back else None


def places(manifest: Mapping[str, Any], value: Mapping[str, Any]) -> Iterator[Place]:
    """Yield every place that a manifest speaks of, but for what names the object."""
    for place in _places(manifest, value, "", "", ""):
        if place.pointer not in _IDENTITY:
            yield place


def _places(part: Any, value: Any, name: str, pointer: str, key: str) -> Iterator[Place]:
    if isinstance(part, dict) and part:
        for field, item in cast("dict[str, Any]", part).items():
            step = f"/{escape(field)}"
            here = lookup(value, step)
            yield from _places(item, here[0] if here else None, name + step, pointer + step, field)
    elif isinstance(part, list) and key in MERGE_KEYS and _keyed(cast("list[Any]", part), MERGE_KEYS[key]):
        at = {
            str(element.get(MERGE_KEYS[key])): index
            for index, element in enumerate(cast("list[dict[str, Any]]", value or []))
        }
        for item in cast("list[dict[str, Any]]", part):
            known = str(item[MERGE_KEYS[key]])
            if known not in at:
                yield Place(f"{name}[{known}]", pointer, [])
                continue
            index = at[known]
            rest = {field: inner for field, inner in item.items() if field != MERGE_KEYS[key]}
            yield from _places(rest, value[index], f"{name}[{known}]", f"{pointer}/{index}", "")
    else:
        yield Place(name, pointer, [] if value is None else [value])


def _keyed(items: list[Any], merge_key: str) -> bool:
    return all(isinstance(item, dict) and merge_key in item for item in items)
