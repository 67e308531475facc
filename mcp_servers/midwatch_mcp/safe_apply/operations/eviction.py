"""`evict`: one pod goes, where its disruption budget allows."""

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from pydantic import Field

from midwatch_contracts.model import Model
from midwatch_mcp.safe_apply.operations.base import WRITTEN_HERE, OperationKind, Touched
from midwatch_mcp.safe_apply.ports import Write


class Evict(Model):
    """`grace_s`: seconds that the pod has to end (default: its own)."""

    grace_s: int | None = Field(default=None, ge=0, le=3600)
    uid: str = Field(default="", json_schema_extra=WRITTEN_HERE)
    """The pod that goes; one that comes after it under the same name is another."""


class EvictOperation(OperationKind[Evict]):
    """Evict a pod."""

    name = "evict"
    about = "make one pod go, where its disruption budget allows"
    undone_by = "nothing"
    example: ClassVar[dict[str, Any]] = {}
    kinds = ("Pod",)
    arguments = Evict
    verb = "create"
    subresource = "eviction"
    absence = True
    patience_s = 60.0

    def touched(self, args: Evict, value: Mapping[str, Any]) -> Touched:
        """Return that the pod is there, or that it is gone or going."""
        metadata = cast("dict[str, Any]", value.get("metadata") or {})
        here = metadata.get("uid") == args.uid and not metadata.get("deletionTimestamp")
        return {"": [args.uid] if here else []}

    def request(self, args: Evict, value: Mapping[str, Any]) -> Write:
        """Return the options of the deletion behind the eviction."""
        del value
        return Write("evict", {} if args.grace_s is None else {"gracePeriodSeconds": args.grace_s})

    def undo(self, args: Evict, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        """Return that there is none."""
        del args, before, after

    def shown(self, args: Evict, value: Mapping[str, Any], *, done: bool) -> dict[str, Any]:
        """Return what tells the pod from others."""
        if done or not value:
            return {}
        metadata = value["metadata"]
        named = {key: metadata[key] for key in ("name", "namespace") if key in metadata}
        owners = cast("list[dict[str, Any]]", metadata.get("ownerReferences") or [])
        named["ownedBy"] = [f"{owner.get('kind')}/{owner.get('name')}" for owner in owners]
        return {
            "kind": "Pod",
            "metadata": named,
            "uid": args.uid,
            "node": cast("dict[str, Any]", value.get("spec") or {}).get("nodeName"),
        }
