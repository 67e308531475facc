"""`create` and `delete`: that an object is there, or is not.

A created object carries a mark that `change_propose` draws by lot, so that after a lost answer ours is told from one
that somebody else made, and an undo deletes nothing but ours.
"""

import copy
from collections.abc import Mapping
from typing import Any, Literal, cast

from pydantic import Field

from midwatch_contracts.model import Model
from midwatch_mcp.safe_apply.operations.base import WRITTEN_HERE, OperationKind, Touched, Undo, refuse
from midwatch_mcp.safe_apply.ports import Write
from midwatch_mcp.safe_apply.values import cleaned, same

MARK = "midwatch.io/created-by"
"""The annotation that holds the mark."""

RESTORABLE: frozenset[tuple[str, str]] = frozenset(
    {
        ("", "ConfigMap"),
        ("", "Service"),
        ("autoscaling", "HorizontalPodAutoscaler"),
        ("policy", "PodDisruptionBudget"),
        ("networking.k8s.io", "NetworkPolicy"),
        ("networking.k8s.io", "Ingress"),
    }
)
"""(group, kind) whose whole state is the manifest, so that creating one again undoes its deletion (CONTRACTS §5)."""


class Create(Model):
    """`manifest`: the object. `generateName` in place of a name is resolved by `change_propose`."""

    manifest: dict[str, Any]
    mark: str | None = Field(default=None, pattern=r"^[0-9a-f]{16}$", json_schema_extra=WRITTEN_HERE)
    """None only in an undo, where any object of that content is as good as ours."""


class CreateOperation(OperationKind[Create]):
    """Create an object."""

    name = "create"
    about = "a new object; its target has the kind, namespace and name"
    undone_by = "delete, of the very object that it made"
    example = {"manifest": {"data": {"limit": "8"}}}  # noqa: RUF012
    kinds = ("*",)
    arguments = Create
    verb = "create"
    absence = True

    def touched(self, args: Create, value: Mapping[str, Any]) -> Touched:
        """Return that there is no object, or which: ours by mark and what it was given, in an undo by its content."""
        if not value:
            return {"": []}
        if args.mark is None:
            return {"": [cleaned(value)]}
        return {"": [mark_of(value), projected(cleaned(value), args.manifest)]}

    def request(self, args: Create, value: Mapping[str, Any]) -> Write:
        """Return the object with its mark."""
        if value:
            raise refuse(f"{value.get('kind')} {value['metadata'].get('name')} is there already: use patch or apply")
        return Write("create", marked(args))

    def undo(self, args: Create, before: Mapping[str, Any], after: Mapping[str, Any]) -> Undo:
        """Return the deletion of what was made."""
        del before, after
        return "delete", {"created": args.mark, "manifest": args.manifest}

    def shown(self, args: Create, value: Mapping[str, Any], *, done: bool) -> dict[str, Any]:
        """Return the object without what the server draws anew at each try, the addresses of a Service above all."""
        found = cleaned(value)
        return without_drawn(found, args.manifest) if done else found


class Delete(Model):
    """`propagation`: what becomes of the objects that it owns (default: Background, they go too)."""

    propagation: Literal["Background", "Foreground", "Orphan"] = "Background"
    uid: str = Field(default="", json_schema_extra=WRITTEN_HERE)
    """The object that goes."""
    manifest: dict[str, Any] | None = Field(default=None, json_schema_extra=WRITTEN_HERE)
    """Its whole state, where creating it again leads back."""
    created: str | None = Field(default=None, json_schema_extra=WRITTEN_HERE)
    """In an undo: the mark of the object that the change created; `manifest` then says what it was given."""


class DeleteOperation(OperationKind[Delete]):
    """Delete an object."""

    name = "delete"
    about = "delete an object"
    undone_by = (
        "create, for a ConfigMap, Service, HorizontalPodAutoscaler, PodDisruptionBudget, NetworkPolicy or Ingress that "
        "owns nothing and has no finalizer; else nothing"
    )
    example = {"propagation": "Foreground"}  # noqa: RUF012
    kinds = ("*",)
    arguments = Delete
    verb = "delete"
    absence = True

    def touched(self, args: Delete, value: Mapping[str, Any]) -> Touched:
        """Return that our object is gone, or is going, or what of it must be as it was."""
        metadata = cast("dict[str, Any]", value.get("metadata") or {})
        if args.created is not None:
            ours = bool(value) and mark_of(value) == args.created
        else:
            ours = bool(value) and metadata.get("uid") == args.uid
        if args.created is not None and value and not mark_of(value) and _is_as_made(value, args.manifest or {}):
            # Ours by its content, and somebody took the mark away: neither gone, nor surely ours to delete.
            return {"": ["unmarked"]}
        if not ours or metadata.get("deletionTimestamp"):
            return {"": []}
        if args.created is not None:
            return {"": [projected(cleaned(value), args.manifest or {})]}
        return {"": [cleaned(value) if args.manifest is not None else args.uid]}

    def request(self, args: Delete, value: Mapping[str, Any]) -> Write:
        """Return the options of the deletion."""
        del value
        return Write("delete", {"propagationPolicy": args.propagation})

    def undo(self, args: Delete, before: Mapping[str, Any], after: Mapping[str, Any]) -> Undo | None:
        """Return the object's creation, where its manifest is its whole state."""
        del before, after
        return None if args.manifest is None else ("create", {"manifest": copy.deepcopy(args.manifest)})


def marked(args: Create) -> dict[str, Any]:
    """Return the object to create."""
    body = copy.deepcopy(args.manifest)
    if args.mark is not None:
        metadata = cast("dict[str, Any]", body.setdefault("metadata", {}))
        metadata["annotations"] = {**(metadata.get("annotations") or {}), MARK: args.mark}
    return body


def mark_of(value: Mapping[str, Any]) -> str:
    """Return the mark of an object; empty where it has none."""
    return str(cast("dict[str, str]", value["metadata"].get("annotations") or {}).get(MARK, ""))


def _is_as_made(value: Mapping[str, Any], manifest: Mapping[str, Any]) -> bool:
    """Say whether an object holds what a manifest gave, its metadata aside."""
    given = {key: item for key, item in manifest.items() if key != "metadata"}
    return same(projected(cleaned(value), given), given)


def restorable(value: Mapping[str, Any]) -> bool:
    """Say whether creating an object again leads back to it, as far as the object itself tells."""
    api_version = str(value.get("apiVersion", ""))
    group = api_version.rsplit("/", 1)[0] if "/" in api_version else ""
    return (group, value.get("kind")) in RESTORABLE and not value["metadata"].get("finalizers")


def projected(value: Any, wanted: Any) -> Any:
    """Return as much of `value` as `wanted` speaks of: an object's fields by name, a list's elements by place."""
    if isinstance(value, dict) and isinstance(wanted, dict):
        found, asked = cast("dict[str, Any]", value), cast("dict[str, Any]", wanted)
        return {key: projected(found[key], part) for key, part in asked.items() if key in found}
    if isinstance(value, list) and isinstance(wanted, list):
        items, parts = cast("list[Any]", value), cast("list[Any]", wanted)
        if len(items) == len(parts):
            return [projected(item, part) for item, part in zip(items, parts, strict=True)]
    return cast("Any", value)


def without_drawn(value: Mapping[str, Any], manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return a created object without what the server drew: addresses and node ports that the manifest did not give."""
    found = copy.deepcopy(dict(value))
    if found.get("kind") != "Service" or not isinstance(found.get("spec"), dict):
        return found
    spec = cast("dict[str, Any]", found["spec"])
    given = cast("dict[str, Any]", manifest.get("spec") or {})
    if "clusterIP" not in given and "clusterIPs" not in given:
        spec.pop("clusterIP", None)
        spec.pop("clusterIPs", None)
    if "healthCheckNodePort" not in given:
        spec.pop("healthCheckNodePort", None)
    wanted = cast("list[dict[str, Any]]", given.get("ports") or [])
    for index, port in enumerate(cast("list[dict[str, Any]]", spec.get("ports") or [])):
        if index >= len(wanted) or "nodePort" not in wanted[index]:
            port.pop("nodePort", None)
    return found
