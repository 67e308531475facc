"""A lab's objects as manifests: what people and their tools wrote, without what the cluster adds and makes by itself.

Who owns a field says which is which. A field that nobody owns was set by the server, one that only the cluster's own
parts own will be set again, and an object in which nobody else owns anything will be made again.
"""

import hashlib
import re
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import orjson
import yaml

from midwatch_lab.client import LabClient
from midwatch_lab.custom.resource import versions_of
from midwatch_lab.custom.status import is_established
from midwatch_lab.errors import ManifestError
from midwatch_lab.files import LabInfo
from midwatch_lab.kinds.catalog import Catalog
from midwatch_lab.kinds.resources import CUSTOM_RESOURCE_DEFINITIONS, ENDPOINT_SLICES, ENDPOINTS, EVENTS, Resource
from midwatch_lab.manifests.reading import rank
from midwatch_lab.objects import Object, controller_of, is_terminating, meta, name_of, namespace_of, without
from midwatch_lab.registry import managed_fields

_LEFT_OUT: Final = (ENDPOINTS.key, ENDPOINT_SLICES.key, EVENTS.key)
_CLUSTER: Final = frozenset({
    "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "clusterrole-aggregation-controller",
})  # fmt: skip
"""The field managers of the cluster's own parts."""
_METADATA: Final = ("name", "namespace", "labels", "annotations", "finalizers")
_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_NAME_MAX: Final = 200
_PLAIN: Final = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*")
_NO_BLOCK: Final = re.compile(r"[ \t]\n|[^\x20-\x7e\n]|^[ \n]")
"""What a block of lines cannot hold, or not for every reader."""
_WORDS: Final = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})


@dataclass(frozen=True)
class Exported:
    """What was written."""

    objects: int
    kinds: dict[str, int]


async def export(info: LabInfo, to: Path) -> Exported:
    """Write the objects of a running lab into a folder, all or none; the names of its files sort as they apply.

    Raises:
        ManifestError: when the folder is not empty, or cannot be written.
        ClientError: when the lab cannot be reached.
    """
    _check_empty(to)
    manifests: list[Object] = []
    async with LabClient(info) as client:
        for row in await _rows(client):
            listed = (await client.request("GET", row.path(""))).json()["items"]
            found = (manifest_of(row, obj) for obj in listed)
            manifests += [manifest for manifest in found if manifest is not None]
    try:
        _write(manifests, to)
    except OSError as error:
        raise ManifestError(f"{to} cannot be written: {error.strerror}") from error
    return Exported(len(manifests), dict(sorted(Counter(str(found["kind"]) for found in manifests).items())))


def _check_empty(to: Path) -> None:
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise ManifestError(f"{to} is there and no empty folder: give another, or empty it")


async def _rows(client: LabClient) -> list[Resource]:
    """Return the resources whose objects are to be written, the custom ones too."""
    definitions = (await client.request("GET", CUSTOM_RESOURCE_DEFINITIONS.path(""))).json()["items"]
    versions = [pair for found in definitions if is_established(found) for pair in versions_of(found)]
    custom: dict[tuple[str, str], Resource] = {row.key: row for row, is_served in versions if is_served}
    return [row for row in (*Catalog().stored(), *custom.values()) if row.key not in _LEFT_OUT]


def manifest_of(row: Resource, obj: Object) -> Object | None:
    """Return an object as a manifest; None where the cluster will make it again, or it is about to go."""
    if is_terminating(obj) or controller_of(obj) is not None:
        return None
    kept = obj
    if meta(obj).get("managedFields"):
        managers = managed_fields.read(meta(obj)["managedFields"])
        users = {key: owned for key, owned in managers.items() if key[1] not in _CLUSTER and key[3] != "status"}
        if not users:
            return None
        # What was written in another version of the kind has its owners there.
        if all(owned.api_version == row.api_version for owned in users.values()):
            paths = {path for owned in users.values() for path in owned.paths}
            kept = cast("Object", owned_part(obj, managed_fields.encode(paths)))
    named = {key: meta(obj)[key] for key in ("name", "namespace") if key in meta(obj)}
    metadata = named | {key: value for key, value in meta(kept).items() if key in _METADATA}
    if "annotations" in metadata:
        metadata["annotations"] = without(metadata["annotations"], [_APPLIED])
    metadata = {key: value for key, value in metadata.items() if value}
    rest = without(kept, ["apiVersion", "kind", "metadata", *(["status"] if row.has_status else [])])
    match row.kind:
        case "Secret":
            # Who wrote `stringData` owns that, and the server has made `data` of it.
            rest |= {key: obj[key] for key in ("data", "type", "immutable") if key in obj}
        case "Namespace":
            rest.pop("spec", None)
        case "ServiceAccount" if name_of(obj) == "default" and set(metadata) == {"name", "namespace"} and not rest:
            return None
        case _:
            pass
    return {"apiVersion": row.api_version, "kind": row.kind, "metadata": metadata, **rest}


def owned_part(value: Any, fields: Object) -> Any:
    """Return what FieldsV1 says of a value is owned: all of it where the fields end, else the parts that go on."""
    steps = without(fields, ["."])
    if not steps:
        return value
    if isinstance(value, dict):
        found = cast("Object", value)
        return {key: owned_part(item, steps[f"f:{key}"]) for key, item in found.items() if f"f:{key}" in steps}
    if isinstance(value, list):
        return [part for item in cast("list[Any]", value) for part in _owned_item(item, steps)]
    return value


def _owned_item(item: Any, steps: Object) -> list[Any]:
    for step, inner in steps.items():
        kind, _, text = step.partition(":")
        wanted: Any = orjson.loads(text)
        if kind == "v" and wanted == item:
            return [item]
        if kind != "k" or not isinstance(item, dict):
            continue
        element = cast("Object", item)
        if all(element.get(key) == value for key, value in wanted.items()):
            part = cast("Object", owned_part(element, inner))
            return [{key: part.get(key, element[key]) for key in element if key in part or key in wanted}]
    return []


def _write(manifests: list[Object], to: Path) -> None:
    """Write the files beside the folder first, so that it is there whole or not at all."""
    to.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=to.parent, prefix=f".{to.name}-") as text:
        scratch = Path(text) / "manifests"
        scratch.mkdir(mode=0o700)
        for manifest in manifests:
            # Secrets are among them.
            file = scratch / file_name(manifest)
            file.touch(mode=0o600)
            file.write_text(as_yaml(manifest), "utf-8")
        if to.exists():
            to.rmdir()
        scratch.rename(to)


def file_name(manifest: Object) -> str:
    """Return the name of an object's file, which sorts behind those of the objects that it needs."""
    kind = str(manifest["kind"])
    parts = (str(rank(kind)), kind.lower(), namespace_of(manifest), name_of(manifest))
    name = "-".join(part for part in parts if part)
    if len(name) > _NAME_MAX:
        name = f"{name[:_NAME_MAX]}-{hashlib.sha256(name.encode()).hexdigest()[:12]}"
    return f"{name}.yaml"


class _Dumper(yaml.SafeDumper):
    """A dumper whose texts every reader of YAML takes for texts: go-yaml reads 1e3 as a number, PyYAML does not."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write what stands twice twice."""
        del data
        return True


def _text(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    style = None if _PLAIN.fullmatch(value) and value.lower() not in _WORDS else '"'
    if "\n" in value and not _NO_BLOCK.search(value):
        style = "|"
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)  # pyright: ignore[reportUnknownMemberType] (PyYAML)


_Dumper.add_representer(str, _text)


def as_yaml(manifest: Object) -> str:
    """Return a manifest as YAML."""
    return yaml.dump(manifest, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
