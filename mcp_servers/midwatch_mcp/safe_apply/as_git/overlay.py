"""An operation through a kustomization: in its own fields where it has them, else in a patch; never in a base.

What is written is checked by making all objects of the kustomization anew: the object must come out as the operation
makes it, and no other may change.
"""

import posixpath
from collections.abc import Mapping
from typing import Any, cast

from midwatch_mcp.safe_apply.as_git.blocks import Habits, block_lines
from midwatch_mcp.safe_apply.as_git.kustomize import (
    SCALED,
    Json,
    Layer,
    Reached,
    containers,
    has_schema,
    in_any_order,
    items,
    layers,
    matches,
    reach,
    rendered,
    split_image,
    unfollowed,
)
from midwatch_mcp.safe_apply.as_git.manifests import Files, Manifest, is_about, objects
from midwatch_mcp.safe_apply.as_git.outcome import Wanted, outcome
from midwatch_mcp.safe_apply.as_git.written import Edited, as_object
from midwatch_mcp.safe_apply.errors import GitError, RefusedChangeError, RejectedError
from midwatch_mcp.safe_apply.patches import LIST_KEYS
from midwatch_mcp.safe_apply.values import same


def overlays_of(files: Files, manifest: Manifest) -> list[Layer]:
    """Return the kustomizations that a manifest ends up in, those that no other one of them takes in."""
    through: dict[Layer, set[Layer]] = {}
    for layer in layers(files):
        try:
            for one in reach(files, layer):
                if one.manifest.path == manifest.path:
                    through.setdefault(layer, set()).update(one.chain)
        except GitError:
            continue  # a kustomization elsewhere that cannot be read is not ours to mend
    taken = {lower for layer, chain in through.items() for lower in chain if lower != layer}
    return [layer for layer in through if layer not in taken]


def through_overlay(files: Files, layer: Layer, one: Wanted) -> Edited:
    """Carry an operation out in a kustomization.

    Raises:
        GitError: the object is not in it, or what it says elsewhere stands against the change.
    """
    everything = list(reach(files, layer))
    before = [rendered(files, other) for other in everything]
    found = [at for at, other in enumerate(everything) if _is_it(other, before[at], one)]
    if len(found) != 1:
        what = f"{one.target.kind} {one.target.namespace}/{one.target.name}"
        raise GitError(f"{one.id}: {layer.path} makes {len(found)} objects that are {what}")
    at = found[0]
    here, old = everything[at], before[at]
    new = outcome(one, old)
    how = _write(files, here, (old, new), everything, one)
    after = [rendered(files, other) for other in reach(files, layer)]
    wanted = [new if number == at else value for number, value in enumerate(before)]
    wrong = [value for value, want in zip(after, wanted, strict=True) if not _alike(value, want)]
    if wrong:
        names = ", ".join(f"{value.get('kind')} {value['metadata'].get('name')}" for value in wrong)
        raise GitError(
            f"{one.id}: {layer.path} cannot be changed so that {one.said} alone comes out of it: {names} would be "
            "otherwise (an image or name that others share, or a later patch): edit it by hand"
        )
    notes = tuple(
        f"{said}, which is not followed here: look at `kubectl kustomize`" for said in unfollowed(files, here.chain)
    )
    return Edited(one, as_object(old, one), as_object(after[at], one), how, notes)


def _alike(one: Json, other: Json) -> bool:
    return same(in_any_order(one), in_any_order(other))


def _is_it(other: Reached, value: Json, one: Wanted) -> bool:
    metadata = cast("Json", value["metadata"])
    spaces = (one.target.namespace, "", None)
    named = metadata.get("name") == one.target.name and metadata.get("namespace") in spaces
    return named and is_about(other.manifest, one.target)


def _write(files: Files, here: Reached, values: tuple[Json, Json], everything: list[Reached], one: Wanted) -> str:
    """Write what leads from the one value to the other, and return where."""
    layer, (_, new) = here.chain[-1], values
    direct = _direct(files, here, values, one) if len(here.chain) == 1 else None
    if direct is not None:
        here.manifest.put(files, direct)
        return f"the manifest {here.manifest.where}"
    places: list[str] = []
    said = layer.value(files)
    changed = _replicas(said, here, values, everything, files) or said
    changed = _images(changed, here, values, everything, files) or changed
    if changed is not said:
        places.append(layer.path)
        files.put(layer.path, 0, changed)
    now = rendered(files, here)
    if not _alike(now, new):
        places.append(_patch(files, here, now, new))
    return ", ".join(places)


def _direct(files: Files, here: Reached, values: tuple[Json, Json], one: Wanted) -> Json | None:
    """Return the kustomization's own manifest under the operation, where nothing in the kustomization overrides it."""
    try:
        direct = outcome(one, {**here.manifest.value, "metadata": values[0]["metadata"]})
    except (RefusedChangeError, RejectedError):
        return None  # it fits what comes out of the kustomization, and not the manifest alone
    direct["metadata"] = _own_metadata(here.manifest.value, values[0], direct)
    tried = Reached(Manifest(here.manifest.path, 0, None, direct), here.chain)
    return direct if same(rendered(files, tried), values[1]) else None


def _own_metadata(raw: Json, shown: Json, new: Json) -> Json:
    """Return a manifest's own metadata under a change of what comes of it, without what kustomize adds."""
    own, seen, wanted = (dict(cast("Json", value.get("metadata") or {})) for value in (raw, shown, new))
    for key in {*seen, *wanted}:
        if not same(seen.get(key), wanted.get(key)):
            fields, old, to = (cast("Json", part.get(key) or {}) for part in (own, seen, wanted))
            changed = {name: item for name, item in to.items() if not same(old.get(name), item)}
            own[key] = {name: item for name, item in {**fields, **changed}.items() if name in to}
    return own


def _replicas(
    said: Json, here: Reached, values: tuple[Json, Json], everything: list[Reached], files: Files
) -> Json | None:
    """Return the kustomization with another number of replicas, where `replicas` is the way."""
    old, new = (cast("Json", value.get("spec") or {}).get("replicas") for value in values)
    if old == new or new is None or here.manifest.kind not in SCALED:
        return None
    entries, name = items(said, "replicas"), here.manifest.name
    for at, entry in enumerate(entries):
        if entry.get("name") in (name, values[0]["metadata"]["name"]):
            changed = [{**one, "count": new} if number == at else one for number, one in enumerate(entries)]
            return {**said, "replicas": changed}
    shared = sum(one.manifest.name == name and one.manifest.kind in SCALED for one in everything)
    if shared > 1 or _patched_at(files, here, "replicas"):
        return None
    return {**said, "replicas": [*entries, {"name": name, "count": new}]}


def _patched_at(files: Files, here: Reached, field: str) -> bool:
    """Say whether a patch file of this kustomization sets a field of the object's spec already."""
    found = _patch_of(files, here)
    return found is not None and field in cast("Json", found.value.get("spec") or {})


def _images(
    said: Json, here: Reached, values: tuple[Json, Json], everything: list[Reached], files: Files
) -> Json | None:
    """Return the kustomization with other images, where `images` is the way."""
    layer = here.chain[-1]
    plain = containers(rendered(files, here, but_images_of=layer))
    old, new = (containers(value) for value in values)
    if not len(plain) == len(old) == len(new):
        return None
    uses: dict[str, int] = {}
    for other in everything:
        for container in containers(rendered(files, other, but_images_of=layer)):
            name = split_image(str(container.get("image", "")))[0]
            uses[name] = uses.get(name, 0) + 1
    wanted: dict[str, set[str]] = {}
    count: dict[str, int] = {}
    for base, was, now in zip(plain, old, new, strict=True):
        if was.get("image") != now.get("image"):
            name = split_image(str(base.get("image", "")))[0]
            wanted.setdefault(name, set()).add(str(now.get("image", "")))
            count[name] = count.get(name, 0) + 1
    entries = list(items(said, "images"))
    for name, images in wanted.items():
        there = next((at for at, entry in enumerate(entries) if entry.get("name") == name), None)
        if len(images) != 1 or (there is None and uses[name] != count[name]):
            continue
        made = _image_entry(name, next(iter(images)), entries[there] if there is not None else {})
        entries = (
            [*entries, made] if there is None else [made if at == there else one for at, one in enumerate(entries)]
        )
    return None if same(entries, items(said, "images")) else {**said, "images": entries}


def _image_entry(name: str, image: str, entry: Mapping[str, Any]) -> Json:
    to, tag, digest = split_image(image)
    parts = {"newName": to if to != name else "", "newTag": tag, "digest": digest}
    kept = {key: item for key, item in entry.items() if key not in parts or parts[key]}
    return {**kept, "name": name, **{key: item for key, item in parts.items() if item}}


# Patches


def _patch_of(files: Files, here: Reached) -> Manifest | None:
    """Return the last strategic patch of the object that is a file of this kustomization."""
    layer = here.chain[-1]
    said = layer.value(files)
    named = [name for name in items(said, "patchesStrategicMerge") if isinstance(name, str) and "\n" not in name]
    named += [entry["path"] for entry in items(said, "patches") if entry.get("path") and not entry.get("target")]
    found = [
        part
        for name in named
        for part in objects(files, layer.at(name))
        if part.item is None and matches(part.value, None, here.manifest.value, here.manifest)
    ]
    return found[-1] if found else None


def _patch(files: Files, here: Reached, now: Json, new: Json) -> str:
    """Write what leads from `now` to `new` into a patch, and return where."""
    layer = here.chain[-1]
    change = delta(now, new, keyed=has_schema(new))
    present = _patch_of(files, here)
    if present is not None:
        present.put(files, grown(present.value, change))
        return f"the patch {present.where}"
    manifest = here.manifest
    metadata = {"name": manifest.name} | ({"namespace": manifest.namespace} if manifest.namespace else {})
    metadata |= cast("Json", change.pop("metadata", {}))
    body = {"apiVersion": manifest.value["apiVersion"], "kind": manifest.kind, "metadata": metadata, **change}
    stem = f"{manifest.kind.lower()}-{manifest.name}-patch"
    names = (f"{stem}{number}.yaml" for number in ("", *range(2, 100)))
    name = next(one for one in names if not files.has(posixpath.join(layer.folder, one)))
    path = posixpath.join(layer.folder, name)
    files.write(path, "\n".join(block_lines(body, 0, Habits())) + "\n")
    said = layer.value(files)
    files.put(layer.path, 0, {**said, "patches": [*items(said, "patches"), {"path": name}]})
    return f"the new patch {path}, {layer.path}"


def delta(before: Mapping[str, Any], after: Mapping[str, Any], *, keyed: bool) -> Json:
    """Return the strategic patch that makes `after` of `before`; `keyed`: lists are merged by their keys."""
    found: Json = {key: None for key in before if key not in after}
    for key, item in after.items():
        old = before.get(key)
        if key in before and same(old, item):
            continue
        if isinstance(old, dict) and isinstance(item, dict):
            found[key] = delta(cast("Json", old), cast("Json", item), keyed=keyed)
        elif keyed and key in LIST_KEYS and isinstance(old, list) and isinstance(item, list):
            found[key] = _list_delta(cast("list[Json]", old), cast("list[Json]", item), LIST_KEYS[key])
        else:
            found[key] = item
    return found


def _list_delta(before: list[Json], after: list[Json], key: str) -> list[Json]:
    old = {item.get(key): item for item in before}
    kept = {item.get(key) for item in after}
    gone: list[Json] = [{key: name, "$patch": "delete"} for name in old if name not in kept]
    fresh: list[Json] = []
    for item in after:
        name = item.get(key)
        if name not in old:
            fresh.append(item)
        elif not same(old[name], item):
            fresh.append({key: name, **delta(old[name], item, keyed=True)})
    return [*fresh, *gone]


def grown(patch: Mapping[str, Any], change: Mapping[str, Any]) -> Json:
    """Return a patch that does what it did, and then a change."""
    found = dict(patch)
    for key, item in change.items():
        old = found.get(key)
        if isinstance(old, dict) and isinstance(item, dict):
            found[key] = grown(cast("Json", old), cast("Json", item))
        elif key in LIST_KEYS and isinstance(old, list) and isinstance(item, list):
            found[key] = _grown_list(cast("list[Json]", old), cast("list[Json]", item), LIST_KEYS[key])
        else:
            found[key] = item
    return found


def _grown_list(old: list[Json], change: list[Json], key: str) -> list[Json]:
    found = list(old)
    for item in change:
        at = next((number for number, one in enumerate(found) if one.get(key) == item.get(key)), None)
        if at is None:
            found.append(item)
        else:
            found[at] = item if "$patch" in item else grown(found[at], item)
    return found
