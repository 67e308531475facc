"""Acting as somebody else (`kubectl --as`): the headers, and whether the one who asks may.

Two sets of verbs grant it. `impersonate` grants it whatever is asked for then. The constrained ones (KEP-5284) grant
each request by two: `impersonate:MODE` says as whom, `impersonate-on:MODE:VERB` says for what; they are tried first,
but for the way by which the same user got through last. A superuser needs neither and is asked for the first alone.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import unquote

from starlette.requests import Request

from midwatch_lab import status
from midwatch_lab.access.attributes import Attributes
from midwatch_lab.access.authorizer import Authorizer
from midwatch_lab.access.user import (
    ANONYMOUS,
    AUTHENTICATED,
    NODES,
    SUPERUSERS,
    UNAUTHENTICATED,
    User,
    account_groups,
    account_of,
)
from midwatch_lab.errors import ApiError

_GROUP: Final = "authentication.k8s.io"
_EXTRA: Final = "impersonate-extra-"
_NODE: Final = "system:node:"
_LEGACY: Final = "legacy"
_KEPT: Final = 1000


@dataclass(frozen=True)
class Wanted:
    """As whom a request is to be made, as its headers have it."""

    name: str
    groups: tuple[str, ...]
    uid: str
    extra: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, request: Request) -> "Wanted | None":
        """Read the headers; None where there are none.

        Raises:
            ApiError: 400 where there is anything but a name.
        """
        headers = request.headers
        extra: dict[str, tuple[str, ...]] = {}
        for key in dict.fromkeys(headers.keys()):
            if key.startswith(_EXTRA):
                extra[unquote(key.removeprefix(_EXTRA)).lower()] = tuple(headers.getlist(key))
        name, uid = headers.get("impersonate-user", ""), headers.get("impersonate-uid", "")
        wanted = cls(name, tuple(headers.getlist("impersonate-group")), uid, extra)
        if wanted.name:
            return wanted
        if wanted.groups or wanted.uid or wanted.extra:
            raise status.bad_request(f"requested {wanted.as_go} without impersonating a user name")
        return None

    @property
    def is_bare(self) -> bool:
        """Whether only a name is wanted."""
        return not (self.groups or self.uid or self.extra)

    @property
    def as_go(self) -> str:
        """The structure as Go prints it."""

        def texts(found: tuple[str, ...]) -> str:
            return "[]string{" + ", ".join(status.quoted(text) for text in found) + "}" if found else "[]string(nil)"

        pairs = ", ".join(f"{status.quoted(key)}:{texts(values)}" for key, values in sorted(self.extra.items()))
        extra = f"map[string][]string{{{pairs}}}" if pairs else "map[string][]string(nil)"
        name, uid = status.quoted(self.name), status.quoted(self.uid)
        return f"&user.DefaultInfo{{Name:{name}, UID:{uid}, Groups:{texts(self.groups)}, Extra:{extra}}}"

    @property
    def mode(self) -> str:
        """The constrained mode that fits, empty where none does."""
        if self.name.startswith(_NODE):
            return "arbitrary-node" if self.is_bare else ""
        if account_of(self.name) is not None:
            return "serviceaccount" if self.is_bare else ""
        return "user-info"

    def user(self, mode: str) -> User:
        """Return the user that the request is made as."""
        groups, account = self.groups, account_of(self.name)
        if mode == "arbitrary-node":
            groups = (NODES,)
        elif account is not None and not groups:
            groups = account_groups(account[0])
        if self.name == ANONYMOUS.name:
            groups += () if UNAUTHENTICATED in groups else (UNAUTHENTICATED,)
        elif not {AUTHENTICATED, UNAUTHENTICATED} & set(groups):
            groups += (AUTHENTICATED,)
        return User(self.name, groups, self.uid, self.extra)


class Impersonation:
    """Decides as whom requests are made."""

    def __init__(self, authorizer: Authorizer) -> None:
        self.authorizer = authorizer
        self._last: dict[str, str] = {}

    def user_of(self, request: Request, asked: Attributes) -> User:
        """Return as whom a request is made.

        Raises:
            ApiError: 400, or 403 where its sender may not be that user.
        """
        wanted = Wanted.of(request)
        if wanted is None:
            return asked.user
        refusals: list[ApiError] = []
        for mode in self._modes(wanted, asked.user):
            refusal = self._refusal(_needed(wanted, asked, mode))
            if refusal is None:
                if len(self._last) >= _KEPT:
                    self._last.clear()
                self._last[asked.user.name] = mode
                return wanted.user(mode)
            refusals.append(refusal)
        raise refusals[0]

    def _modes(self, wanted: Wanted, sender: User) -> list[str]:
        modes = [mode for mode in (wanted.mode, _LEGACY) if mode and not (sender.is_superuser and mode != _LEGACY)]
        last = self._last.get(sender.name)
        return sorted(modes, key=lambda mode: mode != last)

    def _refusal(self, needed: Iterator[tuple[Attributes, str]]) -> ApiError | None:
        for one, never in needed:
            if never:
                return one.forbidden(never)
            decision = self.authorizer.decide(one)
            if not decision.allowed:
                return one.forbidden(decision.reason)
        return None


def _needed(wanted: Wanted, asked: Attributes, mode: str) -> Iterator[tuple[Attributes, str]]:
    """Yield what the sender must be allowed, each with the reason why nobody is, where there is one."""
    if mode == _LEGACY:
        yield from _legacy(wanted, asked.user)
        return
    yield replace(asked, verb=f"impersonate-on:{mode}:{asked.verb}"), ""
    whom = Attributes(asked.user, f"impersonate:{mode}", group=_GROUP, version="v1")
    account = account_of(wanted.name)
    if mode == "arbitrary-node":
        yield replace(whom, resource="nodes", name=wanted.name.removeprefix(_NODE)), ""
        return
    if mode == "serviceaccount" and account is not None:
        yield replace(whom, resource="serviceaccounts", namespace=account[0], name=account[1]), ""
        return
    yield replace(whom, resource="users", name=wanted.name), ""
    if wanted.uid:
        yield replace(whom, resource="uids", name=wanted.uid), ""
    for group in wanted.groups:
        never = f"impersonating the {SUPERUSERS} group is not allowed" if group == SUPERUSERS else ""
        yield replace(whom, resource="groups", name=group), never
    for key, values in wanted.extra.items():
        if "/" not in key:
            detail = 'must be a domain-prefixed path (such as "acme.io/foo")'
            why = f"extra.key: Invalid value: {status.quoted(key)}: {detail}"
            yield replace(whom, resource="userextras"), f"impersonating an invalid key in extra is not allowed: {why}"
        for value in values:
            yield replace(whom, resource="userextras", subresource=key, name=value), ""


def _legacy(wanted: Wanted, sender: User) -> Iterator[tuple[Attributes, str]]:
    whom = Attributes(sender, "impersonate", version="v1")
    account = account_of(wanted.name)
    if account is None:
        yield replace(whom, resource="users", name=wanted.name), ""
    else:
        yield replace(whom, resource="serviceaccounts", namespace=account[0], name=account[1]), ""
    for group in wanted.groups:
        yield replace(whom, resource="groups", name=group), ""
    for key, values in wanted.extra.items():
        for value in values:
            yield replace(whom, group=_GROUP, resource="userextras", subresource=key, name=value), ""
    if wanted.uid:
        yield replace(whom, group=_GROUP, resource="uids", name=wanted.uid), ""
