"""The lab's own users: their tokens, and the bindings that give them their rights."""

import secrets
from typing import Final

from midwatch_lab.access.authentication import StaticTokens
from midwatch_lab.access.bootstrap import made_by_server
from midwatch_lab.access.user import AUTHENTICATED, SUPERUSERS, User
from midwatch_lab.kinds.access_validation import GROUP
from midwatch_lab.kinds.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, Resource
from midwatch_lab.objects import Object, name_of
from midwatch_lab.registry.registry import Registry


def _user(name: str, group: str) -> User:
    return User(name, (group, AUTHENTICATED), name)


ADMIN: Final = _user("admin", SUPERUSERS)
MIDWATCH: Final = _user("midwatch", "midwatch")
EDITOR: Final = _user("editor", "editors")
VIEWER: Final = _user("viewer", "viewers")
NOBODY: Final = _user("nobody", "nobodies")
_USERS: Final = (ADMIN, MIDWATCH, EDITOR, VIEWER, NOBODY)
_ROLES: Final = {"midwatch": "cluster-admin", "editors": "edit", "viewers": "view"}
"""The cluster role of each group."""


def fresh_users() -> tuple[StaticTokens, dict[str, str]]:
    """Return the lab's users under new random tokens, and the token of each by name."""
    tokens = {user.name: secrets.token_hex(16) for user in _USERS}
    return StaticTokens({tokens[user.name]: user for user in _USERS}), tokens


_METRICS_READER: Final[Object] = {
    "metadata": {
        "name": "system:aggregated-metrics-reader",
        "labels": {f"{GROUP}/aggregate-to-{role}": "true" for role in ("admin", "edit", "view")},
    },
    "rules": [{"apiGroups": ["metrics.k8s.io"], "resources": ["pods", "nodes"], "verbs": ["get", "list", "watch"]}],
}
"""What metrics-server brings, whose part the lab plays: whoever may view may see what pods use."""


def bind_users(registry: Registry) -> None:
    """Give the lab's users their rights: one ClusterRoleBinding a group, named after it. What is there stays."""
    _make(registry, CLUSTER_ROLES, _METRICS_READER)
    for group, role in _ROLES.items():
        binding: Object = {
            "metadata": {"name": group},
            "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": GROUP, "kind": "Group", "name": group}],
        }
        _make(registry, CLUSTER_ROLE_BINDINGS, binding)


def _make(registry: Registry, resource: Resource, obj: Object) -> None:
    if registry.find(resource, "", name_of(obj)) is None:
        registry.create(resource, "", obj, made_by_server(resource))
