"""Which kinds an API server has, and the paths of their objects (pure; the client does the reading)."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast
from urllib.parse import quote

from midwatch_mcp.errors import RefusedError

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9:._-]{0,251}[A-Za-z0-9])?")
"""Names that may stand in a path: DNS names, and RBAC's with colons. No slash, no percent, no leading dot."""


@dataclass(frozen=True)
class Resource:
    """One kind as the API serves it."""

    kind: str
    group: str
    version: str
    plural: str
    singular: str
    short_names: tuple[str, ...]
    namespaced: bool
    verbs: tuple[str, ...]
    subresources: tuple[str, ...] = ()

    @property
    def api_version(self) -> str:
        """`v1`, or `apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def root(self) -> str:
        """Path of the group version: `/api/v1` or `/apis/apps/v1`."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Return the path of the collection, of an object, or of its subresource.

        Raises:
            RefusedError: for a name that is none, or a namespace that is missing for an object in one.
        """
        parts = [self.root]
        if namespace and self.namespaced:
            parts += ["namespaces", checked_name(namespace)]
        elif self.namespaced and name:
            raise RefusedError(f"{self.kind} {name} needs a namespace: {self.kind} objects live in one")
        parts.append(self.plural)
        parts += [checked_name(name)] if name else []
        parts += [subresource] if subresource else []
        return "/".join(parts)


@dataclass(frozen=True)
class Discovery:
    """Every kind of one API server, the preferred version of each."""

    resources: tuple[Resource, ...]

    def find(self, kind: str) -> Resource | None:
        """Find a kind by kind, plural, singular or short name, with or without `.group`; letter case aside.

        The core group wins over others, then the first of discovery's order.
        """
        wanted, _, group = kind.lower().partition(".")
        found = [resource for resource in self._by_name.get(wanted, ()) if not group or resource.group == group]
        return min(found, key=lambda resource: resource.group != "", default=None)

    @cached_property
    def _by_name(self) -> dict[str, list[Resource]]:
        known: dict[str, list[Resource]] = {}
        for resource in self.resources:
            for name in {resource.kind.lower(), resource.plural, resource.singular, *resource.short_names}:
                known.setdefault(name, []).append(resource)
        return known

    def near(self, kind: str) -> list[str]:
        """Return kinds whose name resembles `kind`."""
        part = kind.lower()[:4]
        return sorted({r.kind for r in self.resources if part and part in r.kind.lower()})[:8]


def checked_name(name: str) -> str:
    """Return `name` quoted for a path.

    Raises:
        RefusedError: when it is no name of a Kubernetes object.
    """
    if not _NAME.fullmatch(name):
        raise RefusedError(f"{name!r} is no name of a Kubernetes object: letters, digits, '-', '.' and ':' only")
    return quote(name, safe="")


def from_aggregated(documents: Iterable[Mapping[str, Any]]) -> Discovery:
    """Read `APIGroupDiscoveryList` documents (`apidiscovery.k8s.io/v2`), preferred versions first."""
    found: dict[tuple[str, str], Resource] = {}
    for document in documents:
        for group in _objects(document.get("items")):
            name = str(cast("Mapping[str, Any]", group.get("metadata") or {}).get("name", ""))
            for version in _objects(group.get("versions")):
                for entry in _objects(version.get("resources")):
                    resource = _aggregated(name, str(version.get("version", "")), entry)
                    found.setdefault((resource.group, resource.plural), resource)
    return Discovery(tuple(found.values()))


def from_lists(lists: Iterable[tuple[str, str, Mapping[str, Any]]]) -> Discovery:
    """Read `(group, version, APIResourceList)` triples, preferred versions first."""
    found: dict[tuple[str, str], Resource] = {}
    for group, version, document in lists:
        entries = _objects(document.get("resources"))
        below = [str(entry.get("name", "")) for entry in entries if "/" in str(entry.get("name", ""))]
        for entry in entries:
            plural = str(entry.get("name", ""))
            if "/" in plural or not entry.get("kind"):
                continue
            found.setdefault(
                (group, plural),
                Resource(
                    kind=str(entry["kind"]),
                    group=group,
                    version=version,
                    plural=plural,
                    singular=str(entry.get("singularName") or str(entry["kind"]).lower()),
                    short_names=_texts(entry.get("shortNames")),
                    namespaced=bool(entry.get("namespaced")),
                    verbs=_texts(entry.get("verbs")),
                    subresources=tuple(b.partition("/")[2] for b in below if b.startswith(plural + "/")),
                ),
            )
    return Discovery(tuple(found.values()))


def _aggregated(group: str, version: str, entry: Mapping[str, Any]) -> Resource:
    kind = cast("Mapping[str, Any]", entry.get("responseKind") or {})
    return Resource(
        kind=str(kind.get("kind", "")),
        group=group,
        version=version,
        plural=str(entry.get("resource", "")),
        singular=str(entry.get("singularResource") or str(kind.get("kind", "")).lower()),
        short_names=_texts(entry.get("shortNames")),
        namespaced=entry.get("scope") == "Namespaced",
        verbs=_texts(entry.get("verbs")),
        subresources=tuple(str(sub.get("subresource", "")) for sub in _objects(entry.get("subresources"))),
    )


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return cast("list[Mapping[str, Any]]", value) if isinstance(value, list) else []


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(str(item) for item in cast("list[Any]", value)) if isinstance(value, list) else ()
