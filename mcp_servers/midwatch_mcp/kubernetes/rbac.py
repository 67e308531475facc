"""Who may do what by role-based access control: roles and bindings read as the API server's RBAC authorizer reads them.

Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/. Pure; `kube_access` does the reading.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from midwatch_mcp.kubernetes.room import at, objects, text, texts

Role = Mapping[str, Any]
RoleKey = tuple[str, str, str]
"""(kind, namespace, name); a ClusterRole has no namespace."""


@dataclass(frozen=True)
class Deed:
    """What is to be done: a verb on a resource, perhaps on one object of it."""

    verb: str
    group: str
    resource: str
    """The plural, with `/subresource` where one is meant."""
    namespace: str = ""
    """Empty: in every namespace, or on a kind that lives in none."""
    name: str = ""


@dataclass(frozen=True)
class Grant:
    """One subject that may, and by which binding and role."""

    kind: str
    namespace: str
    name: str
    binding: str
    role: str


def allows(rule: Mapping[str, Any], deed: Deed) -> bool:
    """Say whether one rule of a role allows a deed. A rule with resourceNames allows no deed without a name."""
    names = texts(rule, "resourceNames")
    return (
        _holds(texts(rule, "verbs"), deed.verb)
        and _holds(texts(rule, "apiGroups"), deed.group)
        and _covers(texts(rule, "resources"), deed.resource)
        and (not names or deed.name in names)
    )


def granted(roles: Mapping[RoleKey, Role], bindings: Iterable[Mapping[str, Any]], deed: Deed) -> list[Grant]:
    """Return the subjects of the bindings that reach the deed and whose role allows it.

    `bindings` are RoleBindings (those of the deed's namespace count) and ClusterRoleBindings.
    """
    found: list[Grant] = []
    for binding in bindings:
        namespace = text(binding, "metadata", "namespace")
        if namespace and namespace != deed.namespace:
            continue
        kind, name = text(binding, "roleRef", "kind"), text(binding, "roleRef", "name")
        role = roles.get((kind, namespace if kind == "Role" else "", name))
        if role is None or not any(allows(rule, deed) for rule in objects(role.get("rules"))):
            continue
        where = (
            f"{'RoleBinding' if namespace else 'ClusterRoleBinding'}/{namespace}/{text(binding, 'metadata', 'name')}"
        )
        found += [
            Grant(
                text(subject, "kind"),
                text(subject, "namespace"),
                text(subject, "name"),
                where,
                f"{kind}/{namespace if kind == 'Role' else ''}/{name}",
            )
            for subject in objects(binding.get("subjects"))
        ]
    return found


def role_key(role: Mapping[str, Any]) -> RoleKey:
    """Return how a binding names a role."""
    namespace = text(role, "metadata", "namespace")
    return ("Role" if namespace else "ClusterRole", namespace, str(at(role, "metadata", "name")))


def _holds(listed: list[str], wanted: str) -> bool:
    return "*" in listed or wanted in listed


def _covers(listed: list[str], wanted: str) -> bool:
    """Say whether `wanted` is listed, by itself, as `*`, or as `*/subresource`."""
    _, slash, subresource = wanted.partition("/")
    return _holds(listed, wanted) or (bool(slash) and f"*/{subresource}" in listed)
