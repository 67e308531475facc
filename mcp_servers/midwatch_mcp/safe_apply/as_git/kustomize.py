"""Kustomizations as far as one object is concerned: which files they reach, and what they make of a manifest.

Followed are resources, components, patches of every form, namespace, name prefix and suffix, labels, annotations,
replicas and images, in the order in which kustomize applies them (api/internal/target, `runTransformers`). Others are
named to the user.
"""

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from midwatch_mcp.safe_apply.as_git.manifests import Files, Manifest, objects, parse
from midwatch_mcp.safe_apply.classification import known
from midwatch_mcp.safe_apply.errors import GitError
from midwatch_mcp.safe_apply.patches import LIST_KEYS, patched

NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
SCALED = ("Deployment", "StatefulSet", "ReplicaSet", "ReplicationController")
"""Kinds whose number `replicas:` sets."""
_UNFOLLOWED = (
    "replacements",
    "transformers",
    "generators",
    "vars",
    "helmCharts",
    "helmChartInflationGenerator",
    "openapi",
)
_REMOTE = re.compile(r"^[a-z+]+://|^git@|^[^/]+\.[a-z]+/.+\?|^github\.com/")
_DEEPEST = 16
_QUANTIFIER = re.compile(r"[*+{]")
_QUANTIFIERS = 3
_POD_LISTS = ("containers", "initContainers")

Json = dict[str, Any]


@dataclass(frozen=True)
class Layer:
    """One kustomization by its file."""

    path: str

    @property
    def folder(self) -> str:
        """The folder that it is in; empty for the repository's own."""
        return posixpath.dirname(self.path)

    def value(self, files: Files) -> Json:
        """Return what it says by now."""
        found = files.documents(self.path)
        if len(found) != 1 or not isinstance(found[0], dict):
            raise GitError(f"{self.path} is no kustomization: it is not one mapping")
        return cast("Json", found[0])

    def at(self, name: str) -> str:
        """Return a path that it names, as the repository's trees have it."""
        found = posixpath.normpath(posixpath.join(self.folder, name))
        if found.startswith(("/", "..")):
            raise GitError(f"{self.path} names {name}, which is outside of the repository")
        return "" if found == "." else found


@dataclass(frozen=True)
class Reached:
    """A manifest, and the kustomizations that it goes through, the nearest first."""

    manifest: Manifest
    chain: tuple[Layer, ...]


def layer_at(files: Files, folder: str) -> Layer | None:
    """Return the kustomization of a folder, or None."""
    paths = (posixpath.join(folder, name) for name in NAMES)
    return next((Layer(path) for path in paths if path in files.repository.tree), None)


def layers(files: Files) -> list[Layer]:
    """Return every kustomization of the repository that can be read."""
    found = [Layer(path) for path in files.repository.tree if posixpath.basename(path) in NAMES]
    files.load([layer.path for layer in found])
    return found


def items(value: Mapping[str, Any], key: str) -> list[Any]:
    """Return a list of a kustomization; empty where there is none."""
    found = value.get(key)
    return cast("list[Any]", found) if isinstance(found, list) else []


def reach(files: Files, layer: Layer, above: tuple[Layer, ...] = ()) -> Iterator[Reached]:
    """Yield the objects that a kustomization makes, each with its way up to it. What is elsewhere is passed over."""
    if layer in above or len(above) > _DEEPEST:
        raise GitError(f"{layer.path} leads back to itself")
    value = layer.value(files)
    components = tuple(one for name in items(value, "components") if (one := layer_at(files, layer.at(str(name)))))
    for name in [*items(value, "resources"), *items(value, "bases")]:
        if not isinstance(name, str) or _REMOTE.search(name):
            continue
        path = layer.at(name)
        below = layer_at(files, path)
        if below is not None:
            found = reach(files, below, (*above, layer))
        elif path in files.repository.tree:
            found = (Reached(manifest, ()) for manifest in objects(files, path))
        else:
            raise GitError(f"{layer.path} names {name}, which is not in the commit")
        yield from (Reached(one.manifest, (*one.chain, *components, layer)) for one in found)
    for component in components:
        for one in reach(files, component, (*above, layer)):
            yield Reached(one.manifest, (*one.chain, layer))


def unfollowed(files: Files, chain: tuple[Layer, ...]) -> list[str]:
    """Return what of some kustomizations is not followed here, in words."""
    return [f"{layer.path} has {key}" for layer in chain for key in _UNFOLLOWED if layer.value(files).get(key)]


def patch_files(files: Files) -> set[str]:
    """Return the files that are patches and no objects of their own."""
    found: set[str] = set()
    for layer in layers(files):
        try:
            value = layer.value(files)
        except GitError:
            continue  # not ours to read; whoever names it is told
        named = [*items(value, "patchesStrategicMerge"), *(_path(one) for one in items(value, "patches"))]
        named += [_path(one) for one in items(value, "patchesJson6902")]
        found |= {layer.at(name) for name in named if isinstance(name, str) and "\n" not in name}
    return found


def _path(entry: Any) -> Any:
    return cast("Json", entry).get("path") if isinstance(entry, dict) else None


# What becomes of one object


def rendered(files: Files, one: Reached, *, but_images_of: Layer | None = None) -> Json:
    """Return what the kustomizations make of a manifest; `but_images_of` leaves one's `images` out."""
    value = one.manifest.value
    for layer in one.chain:
        value = _through(files, layer, layer.value(files), (value, one.manifest), images=layer != but_images_of)
    return value


def _through(files: Files, layer: Layer, said: Json, at: tuple[Json, Manifest], *, images: bool) -> Json:
    value, manifest = at
    for patch, target in patches(files, layer, said):
        if matches(patch, target, value, manifest):
            value = apply_patch(value, patch)
    metadata = dict(cast("Json", value.get("metadata") or {}))
    if said.get("namespace"):
        metadata["namespace"] = said["namespace"]
    metadata["name"] = f"{said.get('namePrefix') or ''}{metadata.get('name', '')}{said.get('nameSuffix') or ''}"
    labels = [said.get("commonLabels"), *(cast("Json", one).get("pairs") for one in items(said, "labels"))]
    for field, given in [*(("labels", one) for one in labels), ("annotations", said.get("commonAnnotations"))]:
        if given:
            metadata[field] = {**(metadata.get(field) or {}), **given}
    value = {**value, "metadata": metadata}
    for entry in items(said, "replicas"):
        if entry.get("name") in (manifest.name, metadata["name"]) and manifest.kind in SCALED:
            value = {**value, "spec": {**value.get("spec", {}), "replicas": entry.get("count")}}
    return with_images(value, items(said, "images")) if images else value


def patches(files: Files, layer: Layer, said: Json) -> Iterator[tuple[Any, Json | None]]:
    """Yield (patch, target or None) of a kustomization, in order; a list is a JSON patch."""
    for entry in items(said, "patchesStrategicMerge"):
        inline = "\n" in str(entry)
        text, name = (str(entry), layer.path) if inline else (files.text(layer.at(str(entry))), layer.at(str(entry)))
        yield from ((document.value, None) for document in parse(text, name) if document.value)
    for entry in [*items(said, "patches"), *items(said, "patchesJson6902")]:
        name = layer.at(entry["path"]) if entry.get("path") else layer.path
        text = files.text(name) if entry.get("path") else str(entry.get("patch") or "")
        yield from ((document.value, entry.get("target")) for document in parse(text, name) if document.value)


def matches(patch: Any, target: Json | None, value: Json, manifest: Manifest) -> bool:
    """Say whether a patch is about an object."""
    shown = cast("Json", value["metadata"])
    if target is None:
        return isinstance(patch, dict) and _names(cast("Json", patch), shown, manifest)
    if target.get("labelSelector") or target.get("annotationSelector"):
        raise GitError("a patch of the kustomization chooses by labels or annotations, which is not followed here")
    found = {
        "group": (manifest.group,),
        "version": (str(manifest.value.get("apiVersion", "")).rpartition("/")[2],),
        "kind": (manifest.kind,),
        "name": (manifest.name, str(shown.get("name", ""))),
        "namespace": (manifest.namespace, str(shown.get("namespace", ""))),
    }
    return all(
        any(_chosen(str(target[field]), name) for name in names) for field, names in found.items() if target.get(field)
    )


def _chosen(pattern: str, name: str) -> bool:
    """Say whether a pattern of a repository takes a name in. One that could take for ever is not followed."""
    if len(_QUANTIFIER.findall(pattern)) > _QUANTIFIERS or re.search(r"\)[*+{]", pattern):
        raise GitError(f"a patch of the kustomization chooses by {pattern[:60]!r}, which is not followed here")
    try:
        return re.fullmatch(pattern, name) is not None
    except re.error as error:
        raise GitError(
            f"a patch of the kustomization chooses by {pattern[:60]!r}, which is no pattern: {error}"
        ) from error


def _names(patch: Json, shown: Json, manifest: Manifest) -> bool:
    """Say whether a patch names an object by the name that it has, or had in its file."""
    named = cast("Json", patch.get("metadata") or {})
    group = str(patch.get("apiVersion", "")).rpartition("/")[0]
    same_kind = (patch.get("kind"), group) == (manifest.kind, manifest.group)
    spaces = (None, "", manifest.namespace, shown.get("namespace"))
    return same_kind and named.get("name") in (manifest.name, shown.get("name")) and named.get("namespace") in spaces


def apply_patch(value: Json, patch: Any) -> Json:
    """Return an object under a patch of a kustomization, whose own name does not count."""
    if isinstance(patch, list):
        return patched("json", value, patch)
    fields = {key: part for key, part in cast("Json", patch).items() if key not in ("apiVersion", "kind", "metadata")}
    metadata = cast("Json", patch.get("metadata") or {})
    fields["metadata"] = {key: part for key, part in metadata.items() if key not in ("name", "namespace")}
    if "$patch" in fields:
        raise GitError("a patch of the kustomization has the directive $patch, which is not followed here")
    if not has_schema(value):
        return patched("merge", value, fields)
    return cast("Json", _new_first(value, patched("strategic", value, fields)))


def _new_first(before: Any, after: Any, key: str = "") -> Any:
    """Return a value in which new elements of lists that are merged stand first, as kustomize puts them."""
    if isinstance(before, dict) and isinstance(after, dict):
        old = cast("Json", before)
        return {name: _new_first(old.get(name), item, name) for name, item in cast("Json", after).items()}
    if key in LIST_KEYS and isinstance(before, list) and isinstance(after, list):
        field = LIST_KEYS[key]
        known_ones = {item.get(field): item for item in cast("list[Json]", before)}
        found = [_new_first(known_ones.get(item.get(field)), item) for item in cast("list[Json]", after)]
        return sorted(found, key=lambda item: item.get(field) in known_ones)
    return after


def in_any_order(value: Any, key: str = "") -> Any:
    """Return a value with lists that are merged by their keys in the order of those, where their order says nothing."""
    if isinstance(value, dict):
        return {name: in_any_order(item, name) for name, item in cast("Json", value).items()}
    if not isinstance(value, list):
        return value
    found = [in_any_order(item) for item in cast("list[Any]", value)]
    refers = key == "env" and any("$(" in str(item.get("value", "")) for item in found)
    if key not in LIST_KEYS or key == "initContainers" or refers:
        return found
    return sorted(found, key=lambda item: str(item.get(LIST_KEYS[key])))


def has_schema(value: Mapping[str, Any]) -> bool:
    """Say whether kustomize knows how lists of a kind are merged: it does for Kubernetes' own."""
    return known(str(value.get("apiVersion", "")).rpartition("/")[0], str(value.get("kind", "")))


# Images


def split_image(image: str) -> tuple[str, str, str]:
    """Return (name, tag, digest) of an image reference."""
    name, _, digest = image.partition("@")
    head, slash, tail = name.rpartition("/")
    tail, _, tag = tail.partition(":")
    return f"{head}{slash}{tail}", tag, digest


def containers(value: Mapping[str, Any]) -> list[Json]:
    """Return the containers of a workload's or a pod's template."""
    spec = cast("Json", value.get("spec") or {})
    pod = cast("Json", cast("Json", spec.get("template") or {}).get("spec") or spec)
    found = [one for name in _POD_LISTS for one in cast("list[Any]", pod.get(name) or [])]
    return [cast("Json", one) for one in found if isinstance(one, dict)]


def with_images(value: Json, entries: list[Any]) -> Json:
    """Return an object with the images that a kustomization gives."""
    if not entries or not containers(value):
        return value
    copied = patched("merge", value, {})
    for container in containers(copied):
        for entry in entries:
            name, tag, digest = split_image(str(container.get("image", "")))
            if name == entry.get("name"):
                container["image"] = image_of(entry, name, tag, digest)
    return copied


def image_of(entry: Mapping[str, Any], name: str, tag: str, digest: str) -> str:
    """Return the image that an entry makes of one."""
    name = str(entry.get("newName") or name)
    if entry.get("newTag") or entry.get("digest"):
        tag, digest = str(entry.get("newTag") or ""), str(entry.get("digest") or "")
    return name + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
