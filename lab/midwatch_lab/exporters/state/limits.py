"""ResourceQuotas and LimitRanges."""

from collections.abc import Iterator
from typing import Final

from midwatch_lab.exporters.family import Family, Point
from midwatch_lab.exporters.state.kind import NAME, NAMESPACE, Kind
from midwatch_lab.exporters.state.reading import amount, created
from midwatch_lab.kinds.resources import LIMIT_RANGES, RESOURCE_QUOTAS
from midwatch_lab.objects import Object, dig

_CONSTRAINTS: Final = ("min", "max", "default", "defaultRequest", "maxLimitRequestRatio")


def _quota(quota: Object) -> Iterator[Point]:
    for kind in ("hard", "used"):
        for resource, text in dig(quota, "status", kind, default={}).items():
            yield {"resource": resource, "type": kind}, amount(str(text))


def _ranges(item: Object) -> Iterator[Point]:
    for limit in dig(item, "spec", "limits", default=[]):
        for constraint in _CONSTRAINTS:
            for resource, text in limit.get(constraint, {}).items():
                yield {"resource": resource, "type": limit["type"], "constraint": constraint}, amount(str(text))


QUOTA_KIND: Final = Kind(
    RESOURCE_QUOTAS,
    {**NAMESPACE, "resourcequota": NAME},
    (
        created("kube_resourcequota"),
        Family("kube_resourcequota", "What the quota allows, and what of it is used", _quota, ("resource", "type")),
    ),
)
RANGE_KIND: Final = Kind(
    LIMIT_RANGES,
    {**NAMESPACE, "limitrange": NAME},
    (
        Family("kube_limitrange", "What the range sets", _ranges, ("resource", "type", "constraint")),
        created("kube_limitrange"),
    ),
)
