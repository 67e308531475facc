"""Which resources are served at this moment: the built-in rows, and those of the custom resources that were defined.

A catalog belongs to one control plane, since each has other custom resources. `generation` counts its changes, so that
what is derived from it (discovery, OpenAPI) can be kept until the next one.
"""

import re
from collections.abc import Iterable
from typing import Final

from midwatch_lab.kinds.resources import RESOURCES, Resource

_GROUPS: Final = (
    "", "apiregistration.k8s.io", "apps", "events.k8s.io", "authentication.k8s.io", "authorization.k8s.io",
    "autoscaling", "batch", "certificates.k8s.io", "networking.k8s.io", "policy", "rbac.authorization.k8s.io",
    "storage.k8s.io", "admissionregistration.k8s.io", "apiextensions.k8s.io", "scheduling.k8s.io",
    "coordination.k8s.io", "node.k8s.io", "discovery.k8s.io", "resource.k8s.io", "flowcontrol.apiserver.k8s.io",
)  # fmt: skip
"""The built-in groups in the original's order; other groups follow by name."""


def version_order(name: str) -> tuple[int, ...]:
    """Return a key that sorts versions as the original prefers them: v2, v1, v1beta2, v1beta1, v1alpha1, others."""
    found = re.fullmatch(r"v(\d+)(?:(alpha|beta)(\d+))?", name)
    if found is None:
        return (3, 0, 0, *map(ord, name))
    stage = {None: 0, "beta": 1, "alpha": 2}[found[2]]
    return (stage, -int(found[1]), -int(found[3] or 0))


_LAST: Final = frozenset({"metrics.k8s.io"})
"""Groups of other servers, which come last."""


def _order(row: Resource) -> tuple[int, str, tuple[int, ...], str]:
    place = _GROUPS.index(row.group) if row.group in _GROUPS else len(_GROUPS) + (row.group in _LAST)
    return place, row.group, version_order(row.version), row.plural


class Catalog:
    """The served resources, found by path, by kind and by where their objects lie."""

    def __init__(self, rows: Iterable[Resource] = RESOURCES) -> None:
        self.generation = 0
        self._built_in = tuple(rows)
        self._custom: tuple[Resource, ...] = ()
        self._owners: tuple[Resource, ...] = ()
        self._reindex()

    def define(self, served: Iterable[Resource], owners: Iterable[Resource] = ()) -> None:
        """Serve these custom resources from now on, and no others beside the built-in ones.

        `owners` are the rows under which their objects lie; their versions need not be served.
        """
        self._custom, self._owners = tuple(served), tuple(owners)
        self._reindex()

    def aggregate(self, rows: Iterable[Resource]) -> None:
        """Serve these resources too, which another server would have on a cluster."""
        self._built_in = (*self._built_in, *rows)
        self._reindex()

    def _reindex(self) -> None:
        self.generation += 1
        rows = (*self._built_in, *self._custom)
        self.resources = tuple(sorted(rows, key=_order))
        """In the order of discovery."""
        self._by_path = {(row.group, row.version, row.plural): row for row in rows}
        self._by_kind = {(row.api_version, row.kind): row for row in rows}
        self._by_storage = {row.key: row for row in rows if row.stored and row.storage is None}
        self._by_storage |= {row.key: row for row in self._owners}

    def by_path(self, group: str, version: str, plural: str) -> Resource | None:
        """Find a resource by what stands in a request path."""
        return self._by_path.get((group, version, plural))

    def by_kind(self, api_version: str, kind: str) -> Resource | None:
        """Find a resource by what stands in an object."""
        return self._by_kind.get((api_version, kind))

    def by_kind_name(self, kind: str) -> Resource | None:
        """Find the stored resource of a kind by the bare name of the kind, as entities have it."""
        return next((row for row in self._by_storage.values() if row.kind == kind), None)

    def stored(self) -> tuple[Resource, ...]:
        """Return every resource that owns objects in the store."""
        return tuple(self._by_storage.values())

    def by_storage(self, key: tuple[str, str]) -> Resource | None:
        """Return the resource that owns the objects under `key`, or None once it is served no more."""
        return self._by_storage.get(key)

    def of_version(self, group: str, version: str) -> list[Resource]:
        """Return the resources of one version of a group."""
        return [row for row in self.resources if (row.group, row.version) == (group, version)]

    def is_built_in(self, group: str) -> bool:
        """Tell whether a group has built-in resources."""
        return any(row.group == group for row in self._built_in)

    def groups(self) -> dict[str, list[str]]:
        """Return the versions of each group, both in the order of discovery."""
        found: dict[str, list[str]] = {}
        for group, version in self.group_versions():
            found.setdefault(group, []).append(version)
        return found

    def group_versions(self) -> list[tuple[str, str]]:
        """Return each (group, version) once, in the order of discovery."""
        return list(dict.fromkeys((row.group, row.version) for row in self.resources))
