"""Manifests from a folder or a file, as `kubectl apply -f` reads them: several documents a file, and Lists."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from midwatch_lab.api.bodies import read_documents
from midwatch_lab.errors import ApiError, ManifestError
from midwatch_lab.kinds.resources import RESOURCES
from midwatch_lab.objects import Object, dig, name_of, namespace_of, without

SUFFIXES: Final = (".yaml", ".yml", ".json")
NOISE: Final = (
    "uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "selfLink", "deletionTimestamp",
    "deletionGracePeriodSeconds",
)  # fmt: skip
"""Metadata that only a server sets, which manifests that were read from a cluster carry along."""
_FIRST: Final = ("Namespace", "CustomResourceDefinition")
_BUILT_IN: Final = {row.kind: row for row in RESOURCES}


@dataclass(frozen=True)
class Manifest:
    """One object, and where it stands: `app.yaml, document 2`."""

    place: str
    obj: Object

    @property
    def title(self) -> str:
        """The place and the object, for messages."""
        name = name_of(self.obj) or f"{dig(self.obj, 'metadata', 'generateName', default='')}…"
        owner = f"{namespace_of(self.obj)}/" if namespace_of(self.obj) else ""
        return f"{self.place} ({self.obj['kind']} {owner}{name})"


def rank(kind: str) -> int:
    """Return when objects of a kind are to be made: before those that need them."""
    if kind in _FIRST:
        return _FIRST.index(kind)
    row = _BUILT_IN.get(kind)
    if row is None:
        return 5
    if not row.namespaced:
        return 2
    return 4 if row.generation else 3


def read_manifests(path: Path, *, keep_owners: bool = False) -> list[Manifest]:
    """Return the manifests of a file, or of a folder's files, in the order in which they are to be made.

    `keep_owners` leaves `managedFields` in them, which is else noise.

    Raises:
        ManifestError: names every file, document and field that is wrong.
    """
    faults: list[str] = []
    found: list[Manifest] = []
    noise = tuple(name for name in NOISE if not (keep_owners and name == "managedFields"))
    for file in _files(path):
        try:
            content = file.read_bytes()
        except OSError as error:
            faults.append(f"{file} cannot be read: {error.strerror}")
            continue
        try:
            documents = read_documents(content)
        except ApiError as error:
            faults.append(f"{file}: {error}")
            continue
        for number, (value, doubled) in enumerate(documents, start=1):
            place = f"{file}, document {number}"
            faults += [f"{place}: {fault}" for fault in doubled]
            for manifest in _objects(place, value, noise):
                if isinstance(manifest, str):
                    faults.append(manifest)
                else:
                    found.append(manifest)
    if faults:
        raise ManifestError("\n".join(faults))
    return sorted(found, key=lambda manifest: rank(str(manifest.obj["kind"])))


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    files = sorted(file for file in path.iterdir() if file.suffix in SUFFIXES)
    if not files:
        raise ManifestError(f"{path} has no manifests: none of its files ends with {', '.join(SUFFIXES)}")
    return files


def _objects(place: str, value: Any, noise: tuple[str, ...]) -> Iterator[Manifest | str]:
    """Yield the objects of a document, or what is wrong with it as text."""
    if value is None:
        return
    if not isinstance(value, dict):
        yield f"{place}: an object is wanted, this is {type(value).__name__}"
        return
    obj = cast("Object", value)
    items = obj.get("items")
    if str(obj.get("kind", "")).endswith("List") and isinstance(items, list):
        for number, item in enumerate(cast("list[Any]", items), start=1):
            yield from _objects(f"{place}, item {number}", item, noise)
        return
    for field in ("apiVersion", "kind"):
        if not isinstance(obj.get(field), str) or not obj[field]:
            yield f"{place}: {field}: Required value"
            return
    metadata = obj.get("metadata")
    if not isinstance(metadata, dict) or not (name_of(obj) or dig(obj, "metadata", "generateName")):
        yield f"{place} ({obj['kind']}): metadata.name: Required value"
        return
    yield Manifest(place, {**obj, "metadata": without(cast("Object", metadata), noise)})
