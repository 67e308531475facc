"""Server-side printing: objects as a `meta.k8s.io` Table, or as their metadata alone."""

from collections.abc import Sequence
from typing import Any, Final

from midwatch_lab import status
from midwatch_lab.api.answers import Form
from midwatch_lab.custom.columns import custom_columns
from midwatch_lab.custom.resource import CustomResource
from midwatch_lab.kinds.column import Column
from midwatch_lab.kinds.columns import columns_of
from midwatch_lab.kinds.resources import Resource
from midwatch_lab.kinds.workload_defaults import TEMPLATE_GENERATION
from midwatch_lab.objects import Object, annotations_of, meta, without
from midwatch_lab.registry.versions import presented

_INCLUDES: Final = ("None", "Metadata", "Object")


def table(resource: Resource, objects: list[Object], list_meta: Object, form: Form, include: str, now: float) -> Object:  # noqa: PLR0917 (what a Table is made of)
    """Return stored objects as a Table; `include` says how much of each object a row carries.

    Raises:
        ApiError: 400 when `include` is no such word.
    """
    include = include or "Metadata"
    if include not in _INCLUDES:
        why = f"includeObject: Invalid value: \"{include}\": must be 'Metadata', 'Object', 'None', or empty"
        raise status.bad_request(f"Unable to convert to Table as requested: {why}")
    columns = custom_columns(resource) if isinstance(resource, CustomResource) else columns_of(resource.kind)
    return {
        "kind": "Table",
        "apiVersion": f"meta.k8s.io/{form.as_version}",
        "metadata": list_meta,
        "columnDefinitions": [column.definition for column in columns],
        "rows": [_row(resource, columns, obj, include, form, now) for obj in objects],
    }


def _row(resource: Resource, columns: Sequence[Column], obj: Object, include: str, form: Form, now: float) -> Object:  # noqa: PLR0917 (what a row is made of)
    # The columns of a built-in kind read the version that it is stored in, those of a custom one the version asked for.
    read = presented(resource, obj) if isinstance(resource, CustomResource) else obj
    return {"cells": [column.value(read, now) for column in columns], **_carried(resource, obj, include, form)}


def _carried(resource: Resource, obj: Object, include: str, form: Form) -> dict[str, Any]:
    match include:
        case "None":
            return {"object": None}
        case "Metadata":
            return {"object": partial(obj, form.as_version)}
        case _:
            return {"object": presented(resource, obj)}


def partial(obj: Object, version: str) -> Object:
    """Return an object's metadata as a PartialObjectMetadata."""
    metadata = meta(obj)
    if TEMPLATE_GENERATION in annotations_of(obj):
        # To the original this is a field of a DaemonSet, which is an annotation only where the whole object is shown.
        kept = without(annotations_of(obj), [TEMPLATE_GENERATION])
        metadata = {**without(metadata, ["annotations"]), **({"annotations": kept} if kept else {})}
    return {"kind": "PartialObjectMetadata", "apiVersion": f"meta.k8s.io/{version}", "metadata": metadata}


def shown_object(resource: Resource, obj: Object, form: Form, include: str, now: float) -> Object:
    """Return a stored object in the form that the client wants."""
    match form.as_kind:
        case "Table":
            return table(resource, [obj], {"resourceVersion": meta(obj).get("resourceVersion", "")}, form, include, now)
        case "PartialObjectMetadata":
            return partial(obj, form.as_version)
        case "PartialObjectMetadataList":
            what = f"not a list (*{_go_package(resource)}.{resource.kind})"
            raise status.wrong_form(f"you requested PartialObjectMetadataList, but the requested object is {what}")
        case _:
            return presented(resource, obj)


def _go_package(resource: Resource) -> str:
    return resource.group.partition(".")[0] or "core"


def shown_list(  # noqa: PLR0917 (what a list is made of)
    resource: Resource, objects: list[Object], list_meta: Object, form: Form, include: str, now: float
) -> Object:
    """Return stored objects as a list in the form that the client wants."""
    match form.as_kind:
        case "Table":
            return table(resource, objects, list_meta, form, include, now)
        case "PartialObjectMetadataList":
            items = [partial(obj, form.as_version) for obj in objects]
            version = f"meta.k8s.io/{form.as_version}"
            return {"kind": "PartialObjectMetadataList", "apiVersion": version, "metadata": list_meta, "items": items}
        case "PartialObjectMetadata":
            what = f"a list (*{_go_package(resource)}.{resource.kind}List)"
            raise status.wrong_form(f"you requested PartialObjectMetadata, but the requested object is {what}")
        case _:
            dropped, objects = ("kind", "apiVersion"), [presented(resource, obj) for obj in objects]
            items = [{key: value for key, value in obj.items() if key not in dropped} for obj in objects]
            if isinstance(resource, CustomResource):
                # Lists of custom resources repeat kind and version in each item.
                kind, items = resource.list_kind, objects
                list_meta = {"continue": "", **list_meta}
            else:
                kind = resource.kind + "List"
            return {"kind": kind, "apiVersion": resource.api_version, "metadata": list_meta, "items": items}
