"""A served version of a custom resource: the row of the catalog that a CustomResourceDefinition makes."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from midwatch_lab.custom.cel_rules import has_rules
from midwatch_lab.custom.schema_rules import parts
from midwatch_lab.custom.structure import apply_defaults, prune
from midwatch_lab.kinds.catalog import version_order
from midwatch_lab.kinds.resources import Resource, Subresource
from midwatch_lab.objects import Object, copied, dig

VERBS: Final = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
_SUBRESOURCE_VERBS: Final = ("get", "patch", "update")


@dataclass(frozen=True, eq=False)
class CustomResource(Resource):
    """One version of a custom resource. `structure` is its structural schema, as the definition has it."""

    structure: Object = field(default_factory=dict[str, Any])
    columns: tuple[Object, ...] = ()
    """`additionalPrinterColumns`."""
    scale: Object | None = None
    """The paths of the scale subresource (`specReplicasPath`, ...)."""
    selectable: tuple[str, ...] = ()
    """JSON paths that field selectors may name, such as `.spec.color`."""
    list_kind: str = ""
    storage_version: str = ""
    """The version in which objects lie in the store."""
    stored_structure: Object = field(default_factory=dict[str, Any])
    """The schema of that version, which alone says what is kept and filled in on reading."""
    has_defaults: bool = False
    """Whether that schema fills in anything, so that what is read may have more than what was written."""
    has_rules: bool = False
    """Whether its schema has rules in CEL."""
    deprecation: str = ""
    """The warning that a deprecated version answers with."""

    @property
    def stored_api_version(self) -> str:
        """The `apiVersion` under which objects lie in the store."""
        return f"{self.group}/{self.storage_version}"


def versions_of(definition: Object) -> Iterator[tuple[CustomResource, bool]]:
    """Return a row for each version of a definition, and whether that version is served."""
    spec: Object = definition["spec"]
    names: Object = dig(definition, "status", "acceptedNames", default={})
    stored = next(item for item in spec["versions"] if item.get("storage"))
    for version in sorted(spec["versions"], key=lambda item: version_order(str(item["name"]))):
        yield _row(spec, names, version, stored), bool(version.get("served"))


def _row(spec: Object, names: Object, version: Object, stored: Object) -> CustomResource:
    group, name, kind = str(spec["group"]), str(version["name"]), str(names["kind"])
    subresources: list[Subresource] = []
    if dig(version, "subresources", "status") is not None:
        subresources.append(Subresource("status", kind, _SUBRESOURCE_VERBS))
    scale: Object | None = dig(version, "subresources", "scale")
    if scale is not None:
        subresources.append(Subresource("scale", "Scale", _SUBRESOURCE_VERBS, "autoscaling", "v1"))
    return CustomResource(
        group=group,
        version=name,
        plural=str(names["plural"]),
        singular=str(names.get("singular", "")),
        kind=kind,
        schema=definition_name(group, name, kind),
        namespaced=spec["scope"] == "Namespaced",
        short=tuple(names.get("shortNames", ())),
        categories=tuple(names.get("categories", ())),
        verbs=VERBS,
        subresources=tuple(subresources),
        generation=True,
        storage=None if version is stored else (group, str(names["plural"])),
        structure=dig(version, "schema", "openAPIV3Schema", default={}),
        columns=tuple(version.get("additionalPrinterColumns", ())),
        scale=scale,
        selectable=tuple(item["jsonPath"] for item in version.get("selectableFields", ())),
        list_kind=str(names.get("listKind", "")) or kind + "List",
        storage_version=str(stored["name"]),
        stored_structure=dig(stored, "schema", "openAPIV3Schema", default={}),
        unconditional=False,
        has_defaults=_has_defaults(dig(stored, "schema", "openAPIV3Schema", default={})),
        has_rules=has_rules(dig(version, "schema", "openAPIV3Schema", default={})),
        deprecation=_deprecation(group, name, kind, version),
    )


def _has_defaults(schema: Object) -> bool:
    return "default" in schema or any(_has_defaults(inner) for _, inner in parts(schema, ""))


def _deprecation(group: str, name: str, kind: str, version: Object) -> str:
    if not version.get("deprecated"):
        return ""
    return str(version.get("deprecationWarning") or f"{group}/{name} {kind} is deprecated")


def definition_name(group: str, version: str, kind: str) -> str:
    """Return the name of the OpenAPI definition of a custom kind: its group backwards, version, kind."""
    return ".".join([*reversed(group.split(".")), version, kind])


def presented(resource: CustomResource, obj: Object) -> Object:
    """Return a stored object in the version of a request: with the defaults of its stored version, and known fields."""
    is_stored = resource.version == resource.storage_version
    if is_stored and not resource.has_defaults:
        return obj
    shown = copied({**obj, "apiVersion": resource.api_version})
    apply_defaults(shown, resource.stored_structure)
    if not is_stored:
        prune(shown, resource.structure)
    return shown


def as_stored(resource: CustomResource, obj: Object) -> Object:
    """Return an object as it lies in the store: in its storage version, with the fields that this one knows."""
    if resource.version == resource.storage_version:
        return obj
    kept = copied({**obj, "apiVersion": resource.stored_api_version})
    apply_defaults(kept, resource.stored_structure)
    prune(kept, resource.stored_structure)
    return kept
