"""The replicas of a custom resource, at the places that its definition names."""

from http import HTTPStatus

from midwatch_lab.custom.resource import CustomResource
from midwatch_lab.custom.structure import simple_path
from midwatch_lab.errors import ApiError
from midwatch_lab.objects import Object, copied, dig


def custom_scale(resource: CustomResource, obj: Object, missing: int | None = None) -> tuple[int, int, str]:
    """Return the wanted replicas, those there are, and the selector of their pods; `missing` stands for none wanted.

    Raises:
        ApiError: 500 when the object has no replicas where its definition says.
    """
    scale: Object = resource.scale or {}
    path = str(scale["specReplicasPath"])
    wanted = dig(obj, *simple_path(path), default=missing)
    if not isinstance(wanted, int):
        why = f'the spec replicas field "{path}" does not exist'
        message = f"Internal error occurred: {why}"
        details = {"causes": [{"message": why}]}
        raise ApiError(HTTPStatus.INTERNAL_SERVER_ERROR, "InternalError", message, details=details)
    present = dig(obj, *simple_path(str(scale["statusReplicasPath"])), default=0)
    way = simple_path(str(scale.get("labelSelectorPath", "")))
    selector = dig(obj, *way, default="") if way else ""
    return wanted, present if isinstance(present, int) else 0, selector if isinstance(selector, str) else ""


def scaled(resource: CustomResource, obj: Object, replicas: int) -> Object:
    """Return a copy of an object with other replicas wanted."""
    draft = copied(obj)
    *way, last = simple_path(str((resource.scale or {})["specReplicasPath"]))
    place = draft
    for step in way:
        if not isinstance(place.get(step), dict):
            place[step] = {}
        place = place[step]
    place[last] = replicas
    return draft
