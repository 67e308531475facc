"""What the fake cluster refuses of an apply."""

from collections.abc import Mapping
from typing import Any, cast

from midwatch_mcp.safe_apply.errors import RejectedError


def refuse_conflict(value: Mapping[str, Any], manifest: Mapping[str, Any]) -> None:
    """Refuse an apply over a field of `spec` that another manager holds with another value."""
    for entry in cast("list[dict[str, Any]]", value["metadata"].get("managedFields") or []):
        held = cast("dict[str, Any]", cast("dict[str, Any]", entry.get("fieldsV1") or {}).get("f:spec") or {})
        wanted, present = (cast("dict[str, Any]", one.get("spec") or {}) for one in (manifest, value))
        taken = [name for name, new in wanted.items() if f"f:{name}" in held and new != present.get(name)]
        if taken and entry.get("manager") != "midwatch":
            raise RejectedError(f"fields are held by another manager: spec.{taken[0]} by {entry.get('manager')}")
