"""One kind of object and its families."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from midwatch_lab.exporters.family import Family
from midwatch_lab.kinds.resources import Resource
from midwatch_lab.metrics.gauges import Gauge
from midwatch_lab.objects import Object, dig

NAMESPACE = {"namespace": ("metadata", "namespace")}
NAME = ("metadata", "name")
UID = ("metadata", "uid")


@dataclass(frozen=True)
class Kind:
    """A kind of object: `identity` are the labels that each of its series has, and where they stand in the object."""

    resource: Resource
    identity: Mapping[str, tuple[str, ...]]
    families: tuple[Family, ...]

    def read(self, obj: Object) -> Iterable[Gauge]:
        """Yield the gauges of an object."""
        base = {label: str(dig(obj, *path, default="")) for label, path in self.identity.items()}
        for family in self.families:
            for labels, value in family.read(obj):
                yield family.name, {**base, **labels} if labels else base, value
