"""Versions of one kind: objects lie in the store in one of them and are read and written in any.

Custom resources differ by their schemas alone; what a built-in kind converts stands in a table. Whoever owns a field
owns it in the version that it was written in, so owners are compared in theirs.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from midwatch_lab.custom import resource as custom_resource
from midwatch_lab.custom import typed_rules
from midwatch_lab.custom.resource import CustomResource
from midwatch_lab.errors import ConversionError
from midwatch_lab.kinds import autoscaling_versions, events
from midwatch_lab.kinds.catalog import Catalog
from midwatch_lab.kinds.resources import AUTOSCALERS, AUTOSCALERS_V1, CLUSTER_ROLES, EVENTS, EVENTS_V1, ROLES, Resource
from midwatch_lab.objects import Object
from midwatch_lab.registry.typed import Typed
from midwatch_lab.schemas.schema import Schemas


@dataclass(frozen=True)
class Conversion:
    """Between a version of a built-in kind and the one that its objects lie in."""

    to_stored: Callable[[Object], Object]
    from_stored: Callable[[Object], Object]


def _as_it_is(obj: Object) -> Object:
    return obj


def _without_empty_rules(role: Object) -> Object:
    """Return a role whose empty list of rules is null, as the original's store cannot tell them apart."""
    return {**role, "rules": role.get("rules") or None}


_CONVERSIONS: Final[dict[str, Conversion]] = {
    AUTOSCALERS_V1.schema: Conversion(autoscaling_versions.as_v2, autoscaling_versions.as_v1),
    EVENTS_V1.schema: Conversion(events.as_core, events.as_events_v1),
    ROLES.schema: Conversion(_without_empty_rules, _as_it_is),
    CLUSTER_ROLES.schema: Conversion(_without_empty_rules, _as_it_is),
}
"""By the name of the version's definition."""
_BLANKS: Final[dict[str, Callable[[Object], None]]] = {
    AUTOSCALERS.schema: autoscaling_versions.blank_v2,
    AUTOSCALERS_V1.schema: autoscaling_versions.blank_v1,
    EVENTS.schema: events.blank,
    EVENTS_V1.schema: events.blank_v1,
}


def fill_blanks(resource: Resource, obj: Object) -> None:
    """Give a decoded object the fields that its version shows even where they are empty (in place)."""
    fill = _BLANKS.get(resource.schema)
    if fill is not None:
        fill(obj)


def as_stored(resource: Resource, obj: Object) -> Object:
    """Return an object of a version as it lies in the store."""
    if isinstance(resource, CustomResource):
        return custom_resource.as_stored(resource, obj)
    conversion = _CONVERSIONS.get(resource.schema)
    return obj if conversion is None else conversion.to_stored(obj)


def presented(resource: Resource, obj: Object) -> Object:
    """Return a stored object in a version."""
    if isinstance(resource, CustomResource):
        return custom_resource.presented(resource, obj)
    conversion = _CONVERSIONS.get(resource.schema)
    return obj if conversion is None else conversion.from_stored(obj)


@dataclass(frozen=True)
class Versions:
    """The versions of the kind of a resource, and its objects as each of them shows them."""

    catalog: Catalog
    schemas: Schemas
    resource: Resource
    """In whose version objects are handed in and out."""

    def knows(self, api_version: str) -> bool:
        """Tell whether the kind has the version."""
        return self._row(api_version) is not None

    def at(self, api_version: str) -> "Versions":
        """Return the same, for objects in another version."""
        return replace(self, resource=self._known(api_version))

    @property
    def own_typed(self) -> Typed:
        """What can be done with objects of the resource's version."""
        return self.typed(self.resource.api_version)

    def typed(self, api_version: str) -> Typed:
        """Return what can be done with objects of a version."""
        return Typed(self.schemas, self._known(api_version).schema)

    def shown(self, api_version: str, obj: Object) -> Object:
        """Return an object of the resource's version in another.

        Raises:
            ConversionError: when that one does not know a field.
        """
        return self._converted(obj, self.resource, self._known(api_version))

    def back(self, api_version: str, obj: Object) -> Object:
        """Return an object of another version in the resource's.

        Raises:
            ConversionError: when that one does not know a field.
        """
        return self._converted(obj, self._known(api_version), self.resource)

    def check(self, api_version: str) -> None:
        """Check that owners at a version can be judged, or may be forgotten.

        Raises:
            ConversionError: when a custom resource has the version no more, of which the original knows no way out.
        """
        if isinstance(self.resource, CustomResource) and not self.knows(api_version):
            raise ConversionError(f"request to convert CR to an invalid group/version: {api_version}")

    def _converted(self, obj: Object, source: Resource, target: Resource) -> Object:
        if source is target:
            return obj
        if not isinstance(target, CustomResource):
            return presented(target, as_stored(source, obj))
        # On this way the original renames the version and drops nothing.
        shown = {**obj, "apiVersion": target.api_version}
        why = typed_rules.fault(self.schemas, target.schema, shown, metadata=False)
        if why is not None:
            raise ConversionError(why)
        return shown

    def _row(self, api_version: str) -> Resource | None:
        if api_version == self.resource.api_version:
            return self.resource
        found = self.catalog.by_kind(api_version, self.resource.kind)
        # The original finds no way between groups, although objects lie in the store of one.
        near = found is not None and found.key == self.resource.key and found.group == self.resource.group
        return found if near else None

    def _known(self, api_version: str) -> Resource:
        found = self._row(api_version)
        if found is None:
            raise KeyError(api_version)
        return found
