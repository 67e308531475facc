"""Decides by the roles and bindings in the store (role-based access control), and says by which of them.

What a user holds is worked out once for each user and namespace and kept until a role or a binding changes, so that a
request costs a walk over the rules of its user and nothing else.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from midwatch_lab import status
from midwatch_lab.access.attributes import Attributes
from midwatch_lab.access.rules import Rule, allows
from midwatch_lab.access.user import User, account_of
from midwatch_lab.kinds.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES
from midwatch_lab.objects import Object, name_of, namespace_of
from midwatch_lab.store.store import Change, Store

RBAC: Final = "rbac.authorization.k8s.io"
_Subject: TypeAlias = tuple[str, str, str]
_Index: TypeAlias = dict[str, dict[_Subject, list[tuple[int, Object]]]]
_KEPT: Final = 2000
"""Users and namespaces whose rules are remembered at a time."""


@dataclass(frozen=True)
class Decision:
    """Whether a request is allowed, and why; a refusal says only what went wrong while looking."""

    allowed: bool
    reason: str = ""


@dataclass
class Held:
    """What a user holds by one namespace's bindings, or by those of the cluster."""

    rules: list[tuple[Rule, str]] = field(default_factory=list[tuple[Rule, str]])
    """Each rule, and by which binding it is held."""
    missing: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """Kind and name of the roles that bindings name and that are not there."""

    def __add__(self, other: "Held") -> "Held":
        """Return both together."""
        return Held([*self.rules, *other.rules], [*self.missing, *other.missing])


class Authorizer:
    """Decides, over one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._bindings: _Index | None = None
        self._held: dict[tuple[str, tuple[str, ...], str], Held] = {}
        store.listen(self._heard)

    def decide(self, wanted: Attributes) -> Decision:
        """Decide about a request."""
        if wanted.user.is_superuser:
            return Decision(allowed=True)
        missing: list[tuple[str, str]] = []
        for namespace in ("", wanted.namespace) if wanted.namespace else ("",):
            held = self._of(wanted.user, namespace)
            for rule, binding in held.rules:
                if allows(rule, wanted):
                    return Decision(allowed=True, reason=f"RBAC: allowed by {binding}")
            missing += held.missing
        return Decision(allowed=False, reason=_unresolved(missing))

    def check(self, wanted: Attributes) -> None:
        """Refuse what the user may not do.

        Raises:
            ApiError: 403.
        """
        decision = self.decide(wanted)
        if not decision.allowed:
            raise wanted.forbidden(decision.reason)

    def held(self, user: User, namespace: str) -> Held:
        """Return all that a user holds in a namespace."""
        everywhere = self._of(user, "")
        return everywhere + self._of(user, namespace) if namespace else everywhere

    def role(self, reference: Object, namespace: str) -> Object | None:
        """Return the role that a `roleRef` of a binding in a namespace means, or None where it is not there."""
        name = str(reference.get("name", ""))
        if reference.get("kind") == CLUSTER_ROLES.kind:
            return self._store.get(CLUSTER_ROLES.key, "", name)
        return self._store.get(ROLES.key, namespace, name)

    def _heard(self, change: Change) -> None:
        if change.key[0] != RBAC:
            return
        self._held.clear()
        if change.key in (ROLE_BINDINGS.key, CLUSTER_ROLE_BINDINGS.key):
            self._bindings = None

    def _of(self, user: User, namespace: str) -> Held:
        key = (user.name, user.groups, namespace)
        known = self._held.get(key)
        if known is None:
            if len(self._held) >= _KEPT:
                self._held.clear()
            known = self._held[key] = self._resolve(user, namespace)
        return known

    def _resolve(self, user: User, namespace: str) -> Held:
        by_subject = self._indexed().get(namespace, {})
        found: dict[str, tuple[int, Object]] = {}
        for subject in _subjects_of(user):
            for place, binding in by_subject.get(subject, ()):
                known = found.get(name_of(binding))
                if known is None or place < known[0]:
                    found[name_of(binding)] = (place, binding)
        held = Held()
        for _, (place, binding) in sorted(found.items()):
            reference: Object = binding["roleRef"]
            role = self.role(reference, namespace)
            if role is None:
                held.missing.append((reference["kind"], reference["name"]))
                continue
            text = _described(binding, binding["subjects"][place])
            held.rules += [(rule, text) for rule in role.get("rules") or ()]
        return held

    def _indexed(self) -> _Index:
        """Return the bindings, and the places of their subjects, by namespace and subject."""
        if self._bindings is None:
            self._bindings = {}
            for resource in (CLUSTER_ROLE_BINDINGS, ROLE_BINDINGS):
                for binding in self._store.items(resource.key):
                    own = self._bindings.setdefault(namespace_of(binding), {})
                    for place, entry in enumerate(binding.get("subjects", ())):
                        own.setdefault(_subject(binding, entry), []).append((place, binding))
        return self._bindings


def _subject(binding: Object, entry: Object) -> _Subject:
    kind = str(entry.get("kind", ""))
    home = entry.get("namespace") or namespace_of(binding) if kind == "ServiceAccount" else ""
    return kind, str(home), str(entry.get("name", ""))


def _subjects_of(user: User) -> Iterator[_Subject]:
    yield "User", "", user.name
    for group in user.groups:
        yield "Group", "", group
    account = account_of(user.name)
    if account is not None:
        yield "ServiceAccount", *account


def _described(binding: Object, entry: Object) -> str:
    """Return a binding as the original names it in its reasons."""
    reference: Object = binding["roleRef"]
    kind, home, name = _subject(binding, entry)
    namespace = namespace_of(binding)
    shown = status.quoted(f"{name_of(binding)}/{namespace}" if namespace else name_of(binding))
    who = f"{kind} {status.quoted(f'{name}/{home}' if home else name)}"
    role = f"{reference['kind']} {status.quoted(reference['name'])}"
    return f"{'RoleBinding' if namespace else 'ClusterRoleBinding'} {shown} of {role} to {who}"


def _unresolved(missing: Iterable[tuple[str, str]]) -> str:
    texts = list(dict.fromkeys(f'{kind.lower()}.{RBAC} "{name}" not found' for kind, name in missing))
    if not texts:
        return ""
    return f"RBAC: {texts[0] if len(texts) == 1 else '[' + ', '.join(texts) + ']'}"
