"""Who may do what: bearer tokens name users, and each user has a role that is a function of the request."""

import secrets
from dataclasses import dataclass, field

from starlette.requests import Request

from midwatch_lab import status
from midwatch_lab.kinds.resources import Resource

_READ_VERBS = frozenset({"get", "list", "watch"})
_HIDDEN_FROM_VIEWERS = frozenset({"secrets"})
_CLOSED_TO_VIEWERS = frozenset({"proxy", "exec", "attach", "portforward"})


@dataclass(frozen=True)
class User:
    """Somebody with a token. `may_write` is false for those who only look."""

    name: str
    groups: tuple[str, ...]
    may_write: bool
    may_run_the_lab: bool = False
    """Whether `/lab/*` answers this user."""

    def may(self, verb: str, resource: Resource, subresource: str = "") -> bool:
        """Tell whether the user may do `verb` to a resource, as the roles `cluster-admin` and `view` have it."""
        if self.may_write or not resource.stored:
            return True
        hidden = resource.plural in _HIDDEN_FROM_VIEWERS or subresource in _CLOSED_TO_VIEWERS
        return verb in _READ_VERBS and not hidden


@dataclass(frozen=True)
class Users:
    """The users by token."""

    by_token: dict[str, User] = field(repr=False)

    def of(self, request: Request) -> User:
        """Return who sent a request.

        Raises:
            ApiError: 401 when the token is missing or nobody's.
        """
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            for known, user in self.by_token.items():
                if secrets.compare_digest(known.encode(), token.strip().encode()):
                    return user
        raise status.unauthorized()


ADMIN = User("admin", ("system:masters", "system:authenticated"), may_write=True, may_run_the_lab=True)
MIDWATCH = User("midwatch", ("midwatch", "system:authenticated"), may_write=True)
VIEWER = User("viewer", ("viewers", "system:authenticated"), may_write=False)


def fresh_users() -> tuple[Users, dict[str, str]]:
    """Return the lab's users under new random tokens, and the token of each by name."""
    tokens = {user.name: secrets.token_hex(16) for user in (ADMIN, MIDWATCH, VIEWER)}
    return Users({tokens[user.name]: user for user in (ADMIN, MIDWATCH, VIEWER)}), tokens


def check(user: User, verb: str, resource: Resource, namespace: str, name: str, subresource: str) -> None:  # noqa: PLR0917 (one request, spelt out)
    """Refuse what the user may not do.

    Raises:
        ApiError: 403.
    """
    if user.may(verb, resource, subresource):
        return
    what = f"{resource.plural}/{subresource}" if subresource else resource.plural
    where = f' in the namespace "{namespace}"' if namespace else " at the cluster scope"
    message = f'User "{user.name}" cannot {verb} resource "{what}" in API group "{resource.group}"{where}'
    raise status.forbidden(resource.plural, resource.group, name, message)
