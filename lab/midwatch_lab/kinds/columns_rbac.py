"""The columns of roles and of their bindings."""

from typing import Any, Final

from midwatch_lab.kinds.column import AGE, NAME, Column, of, path
from midwatch_lab.objects import Object, dig

_CREATED: Final = Column("Created At", path("metadata", "creationTimestamp"), type="date")


def _role(obj: Object) -> str:
    reference: Object = obj.get("roleRef", {})
    return f"{reference.get('kind', '')}/{reference.get('name', '')}"


def _subjects(kind: str) -> Any:
    def read(obj: Object) -> str:
        found: list[Object] = [item for item in dig(obj, "subjects", default=[]) if item.get("kind") == kind]
        return ", ".join(_subject(item) for item in found)

    return of(read)


def _subject(item: Object) -> str:
    name = str(item.get("name", ""))
    return f"{item.get('namespace', '')}/{name}" if item.get("kind") == "ServiceAccount" else name


_BINDING: Final = (
    NAME,
    Column("Role", of(_role)),
    AGE,
    Column("Users", _subjects("User"), priority=1),
    Column("Groups", _subjects("Group"), priority=1),
    Column("ServiceAccounts", _subjects("ServiceAccount"), priority=1),
)
COLUMNS: Final[dict[str, tuple[Column, ...]]] = {
    "Role": (NAME, _CREATED),
    "ClusterRole": (NAME, _CREATED),
    "RoleBinding": _BINDING,
    "ClusterRoleBinding": _BINDING,
}
