"""The way by which one operation gets into the files: into the object's own manifest, unless others have a say."""

from midwatch_mcp.safe_apply.as_git.kustomize import layer_at, patch_files
from midwatch_mcp.safe_apply.as_git.manifests import Files, Manifest, search
from midwatch_mcp.safe_apply.as_git.outcome import Wanted, outcome
from midwatch_mcp.safe_apply.as_git.overlay import overlays_of, through_overlay
from midwatch_mcp.safe_apply.as_git.written import Edited, as_object
from midwatch_mcp.safe_apply.errors import GitError


def in_manifest(files: Files, manifest: Manifest, one: Wanted) -> Edited:
    """Carry an operation out in the object's own manifest."""
    new = outcome(one, manifest.value)
    manifest.put(files, new)
    return Edited(one, as_object(manifest.value, one), as_object(new, one), f"the manifest {manifest.where}")


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
    """Carry an operation out where the object is found, below a folder or in a file (None: anywhere).

    A folder with a kustomization, or the only kustomization that a manifest ends up in, has a say before the manifest.
    """
    under = files.repository.relative(under) if under else ""
    named = None if under in files.repository.tree else layer_at(files, under)
    if named is not None:
        return through_overlay(files, named, one)
    patches = patch_files(files)
    found = [manifest for manifest in search(files, one.target, under) if manifest.path not in patches]
    manifest = the_one(found, one, under)
    overlays = [] if manifest.path == under else overlays_of(files, manifest)
    if len(overlays) > 1:
        places = ", ".join(sorted(layer.folder or "." for layer in overlays))
        raise GitError(f"{one.id}: {manifest.where} ends up in several kustomizations: choose with --path: {places}")
    return through_overlay(files, overlays[0], one) if overlays else in_manifest(files, manifest, one)
