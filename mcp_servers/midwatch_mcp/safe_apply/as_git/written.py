"""One operation, once it is written into the files."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from midwatch_mcp.safe_apply.as_git.outcome import Wanted


@dataclass(frozen=True)
class Edited:
    """One operation, carried out in the files. `before` and `after` are the object that comes of them."""

    wanted: Wanted
    before: dict[str, Any]
    after: dict[str, Any]
    how: str
    """Where it was written, for a person."""
    notes: tuple[str, ...] = ()


def as_object(value: Mapping[str, Any], one: Wanted) -> dict[str, Any]:
    """Return a manifest under the name and namespace that its object has in the cluster."""
    metadata: dict[str, Any] = {**(value.get("metadata") or {}), "name": one.target.name}
    if one.target.namespace:
        metadata["namespace"] = one.target.namespace
    return {**value, "metadata": metadata}
