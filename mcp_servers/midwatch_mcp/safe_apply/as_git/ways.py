"""The way by which one operation gets into the files: into the object's own manifest, unless others have a say."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from midwatch_mcp.safe_apply.as_git.manifests import Files, Manifest, search
from midwatch_mcp.safe_apply.as_git.outcome import Wanted, outcome
from midwatch_mcp.safe_apply.errors import GitError


@dataclass(frozen=True)
class Edited:
    """One operation, carried out in the files. `before` and `after` are the object that comes of them."""

    wanted: Wanted
    before: dict[str, Any]
    after: dict[str, Any]
    how: str
    """Where it was written, for a person."""
    notes: tuple[str, ...] = ()


def in_manifest(files: Files, manifest: Manifest, one: Wanted) -> Edited:
    """Carry an operation out in the object's own manifest."""
    new = outcome(one, manifest.value)
    manifest.put(files, new)
    return Edited(one, as_object(manifest.value, one), as_object(new, one), f"the manifest {manifest.where}")


def as_object(value: Mapping[str, Any], one: Wanted) -> dict[str, Any]:
    """Return a manifest under the name and namespace that its object has in the cluster."""
    metadata: dict[str, Any] = {**(value.get("metadata") or {}), "name": one.target.name}
    if one.target.namespace:
        metadata["namespace"] = one.target.namespace
    return {**value, "metadata": metadata}


def the_one(found: list[Manifest], one: Wanted, under: str) -> Manifest:
    """Return the one manifest of an object.

    Raises:
        GitError: there is none, or more than one; names them.
    """
    if len(found) == 1:
        return found[0]
    where = f"below {under}" if under else "in the repository"
    if not found:
        raise GitError(
            f"{one.id}: no manifest of {one.target.kind} {one.target.namespace}/{one.target.name} is {where} (only "
            "what is committed counts; objects of a kustomization with a name prefix or namespace of its own are found "
            "with --path FOLDER, those of a Helm chart are changed with --values FILE)"
        )
    places = ", ".join(sorted({manifest.where for manifest in found}))
    said = f"{one.id}: {one.target.kind} {one.target.name}"
    raise GitError(f"{said} stands at {len(found)} places: choose with --path: {places}")


def carried(files: Files, one: Wanted, under: str | None) -> Edited:
    """Carry an operation out where the object is found, below a folder or in a file (None: anywhere)."""
    under = files.repository.relative(under) if under else ""
    return in_manifest(files, the_one(search(files, one.target, under), one, under), one)
