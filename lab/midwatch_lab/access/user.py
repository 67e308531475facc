"""Somebody who asks, as every decision about access sees them: a name, groups, and what came with the token."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

SUPERUSERS: Final = "system:masters"
AUTHENTICATED: Final = "system:authenticated"
UNAUTHENTICATED: Final = "system:unauthenticated"
NODES: Final = "system:nodes"
_ACCOUNTS: Final = "system:serviceaccounts"
_ACCOUNT_NAME: Final = re.compile(r"system:serviceaccount:([^:]+):([^:]+)")


@dataclass(frozen=True)
class User:
    """Somebody who asks; `extra` is what the one who authenticated them says beside the groups."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]], hash=False)

    @property
    def is_superuser(self) -> bool:
        """Whether nothing is denied to the user."""
        return SUPERUSERS in self.groups


ANONYMOUS: Final = User("system:anonymous", (UNAUTHENTICATED,))
"""Whoever sends no credentials."""


def account_name(namespace: str, name: str) -> str:
    """Return the user name of a service account."""
    return f"system:serviceaccount:{namespace}:{name}"


def account_of(user_name: str) -> tuple[str, str] | None:
    """Return namespace and name of the service account that a user name stands for, or None."""
    found = _ACCOUNT_NAME.fullmatch(user_name)
    return (found[1], found[2]) if found else None


def account_groups(namespace: str) -> tuple[str, ...]:
    """Return the groups of every service account of a namespace."""
    return (_ACCOUNTS, f"{_ACCOUNTS}:{namespace}")
