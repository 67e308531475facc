"""Server-side printing: objects as a `meta.k8s.io` Table, or as their metadata alone."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from midwatch_lab import status
from midwatch_lab.api.answers import Form
from midwatch_lab.api.parts import Parts
from midwatch_lab.custom.columns import custom_columns
from midwatch_lab.custom.resource import CustomResource
from midwatch_lab.kinds.columns import columns_of
from midwatch_lab.kinds.resources import Resource
from midwatch_lab.objects import Object, meta

_INCLUDES: Final = ("None", "Metadata", "Object")


@dataclass(frozen=True)
class Shown:
    """How objects are to be shown: the form that the client wants, how much of each object a row carries, when."""

    form: Form
    include: str
    now: float
    parts: Parts


def table(resource: Resource, objects: list[Object], list_meta: Object, shown: Shown) -> Object:
    """Return stored objects as a Table.

    Raises:
        ApiError: 400 when `include` is no such word.
    """
    include, version, parts = shown.include or "Metadata", shown.form.as_version, shown.parts
    if include not in _INCLUDES:
        why = f"includeObject: Invalid value: \"{include}\": must be 'Metadata', 'Object', 'None', or empty"
        raise status.bad_request(f"Unable to convert to Table as requested: {why}")
    columns = custom_columns(resource) if isinstance(resource, CustomResource) else columns_of(resource.kind)
    carried: dict[str, Callable[[Object], Any]] = {
        "None": lambda _obj: None,
        "Metadata": lambda obj: parts.partial(obj, version),
        "Object": lambda obj: parts.whole(resource, obj),
    }
    carry, cells = carried[include], parts.cells(resource, columns, shown.now)
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{version}",
        "metadata": list_meta,
        "columnDefinitions": [column.definition for column in columns],
        "rows": [{"cells": cells(obj), "object": carry(obj)} for obj in objects],
    }


def shown_object(resource: Resource, obj: Object, shown: Shown) -> Any:
    """Return a stored object in the form that the client wants."""
    match shown.form.as_kind:
        case "Table":
            return table(resource, [obj], {"resourceVersion": meta(obj).get("resourceVersion", "")}, shown)
        case "PartialObjectMetadata":
            return shown.parts.partial(obj, shown.form.as_version)
        case "PartialObjectMetadataList":
            what = f"not a list (*{_go_package(resource)}.{resource.kind})"
            raise status.wrong_form(f"you requested PartialObjectMetadataList, but the requested object is {what}")
        case _:
            return shown.parts.whole(resource, obj)


def _go_package(resource: Resource) -> str:
    return resource.group.partition(".")[0] or "core"


def shown_list(resource: Resource, objects: list[Object], list_meta: Object, shown: Shown) -> Object:
    """Return stored objects as a list in the form that the client wants."""
    match shown.form.as_kind:
        case "Table":
            return table(resource, objects, list_meta, shown)
        case "PartialObjectMetadataList":
            version = f"meta.k8s.io/{shown.form.as_version}"
            items = [shown.parts.partial(obj, shown.form.as_version) for obj in objects]
            return {"kind": "PartialObjectMetadataList", "apiVersion": version, "metadata": list_meta, "items": items}
        case "PartialObjectMetadata":
            what = f"a list (*{_go_package(resource)}.{resource.kind}List)"
            raise status.wrong_form(f"you requested PartialObjectMetadata, but the requested object is {what}")
        case _:
            items = [shown.parts.item(resource, obj) for obj in objects]
            kind = resource.kind + "List"
            if isinstance(resource, CustomResource):
                kind, list_meta = resource.list_kind, {"continue": "", **list_meta}
            return {"kind": kind, "apiVersion": resource.api_version, "metadata": list_meta, "items": items}
