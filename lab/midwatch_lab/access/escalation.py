"""What the registry asks about whoever writes, beyond what their request was admitted for.

Nobody grants by a role or a binding what they do not hold, unless they may escalate or bind; and nobody makes by a
patch what they may not create. The lab itself and superusers are not asked.
"""

from dataclasses import replace
from typing import Final

from midwatch_lab import status
from midwatch_lab.access.attributes import Attributes
from midwatch_lab.access.authorizer import RBAC, Authorizer
from midwatch_lab.access.rules import EVERYTHING, Rule, described, not_covered, quoted_list
from midwatch_lab.access.user import User
from midwatch_lab.errors import ApiError
from midwatch_lab.kinds.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES, Resource
from midwatch_lab.objects import Object, meta, name_of, namespace_of, without
from midwatch_lab.store.audit import Origin

_ROLES: Final = (ROLES, CLUSTER_ROLES)
_BINDINGS: Final = (ROLE_BINDINGS, CLUSTER_ROLE_BINDINGS)
_OF_COLLECTOR: Final = ("ownerReferences", "finalizers", "managedFields", "resourceVersion", "generation")


def guard(authorizer: Authorizer, resource: Resource, new: Object, old: Object | None, origin: Origin) -> None:
    """Refuse a role or binding by which its writer would grant more than they hold; `new` need not be valid yet.

    Raises:
        ApiError: 403; 404 where a binding's role is not there, 500 where it is of no known kind.
    """
    user = origin.user
    if user is None or user.is_superuser or resource not in (*_ROLES, *_BINDINGS):
        return
    if old is not None and _is_for_the_collector(new, old):
        return
    asked = _Asked(authorizer, resource, user, name_of(new), namespace_of(new if old is None else old))
    if resource in _ROLES:
        # A path that names the role lets those escalate who may do so for that name only.
        asked.role(new, old, named=origin.verb != "create")
    else:
        asked.binding(new)


def check_may_create(authorizer: Authorizer, resource: Resource, new: Object, origin: Origin) -> None:
    """Refuse what a verb that changes objects would make, where its user may not create them.

    Raises:
        ApiError: 403.
    """
    if origin.user is None or origin.verb == "create":
        return
    wanted = Attributes(
        origin.user, "create", group=resource.group, version=resource.version, resource=resource.plural,
        namespace=namespace_of(new), name=name_of(new),
    )  # fmt: skip
    authorizer.check(wanted)


def _is_for_the_collector(new: Object, old: Object) -> bool:
    """Tell whether nothing changes but what the garbage collector must be able to change."""

    def rest(obj: Object) -> Object:
        return {**obj, "metadata": without(meta(obj), _OF_COLLECTOR)}

    return rest(new) == rest(old)


class _Asked:
    """One write that is asked about."""

    def __init__(self, authorizer: Authorizer, resource: Resource, user: User, name: str, namespace: str) -> None:
        self.authorizer = authorizer
        self.resource = resource
        self.user = user
        self.name = name
        self.namespace = namespace

    def role(self, new: Object, old: Object | None, *, named: bool) -> None:
        escalate = Attributes(
            self.user, "escalate", group=RBAC, version=self.resource.version, resource=self.resource.plural,
            namespace=self.namespace, name=self.name if named else "",
        )  # fmt: skip
        if self.authorizer.decide(escalate).allowed:
            return
        self._confirm(new.get("rules") or [])
        if any(obj.get("aggregationRule") is not None for obj in (new, old or {})):
            held = [rule for rule, _ in self.authorizer.held(self.user, "").rules]
            if not_covered(held, EVERYTHING):
                raise self._refused("must have cluster-admin privileges to use the aggregationRule")

    def binding(self, new: Object) -> None:
        reference: Object = new.get("roleRef", {})
        kinds = {role.kind: role for role in _ROLES}
        kind = str(reference.get("kind", ""))
        bind = Attributes(
            self.user, "bind", group=RBAC, version=self.resource.version, namespace=self.namespace,
            name=str(reference.get("name", "")),
        )  # fmt: skip
        if kind not in kinds:
            raise status.internal(f"unsupported role reference kind: {status.quoted(kind)}")
        if self.authorizer.decide(replace(bind, resource=kinds[kind].plural)).allowed:
            return
        role = self.authorizer.role(reference, self.namespace)
        if role is None:
            raise status.not_found(self.resource, bind.name)
        self._confirm(role.get("rules") or [])

    def _confirm(self, granted: list[Rule]) -> None:
        held = self.authorizer.held(self.user, self.namespace)
        parts = not_covered([rule for rule, _ in held.rules], granted)
        if not parts:
            return
        who = f"user {status.quoted(self.user.name)} (groups={quoted_list(self.user.groups)})"
        text = f"{who} is attempting to grant RBAC permissions not currently held:\n" + "\n".join(described(parts))
        if held.missing:
            missing = [f'{self.resource.qualified} "{name}" not found' for _, name in held.missing]
            shown = missing[0] if len(missing) == 1 else f"[{', '.join(missing)}]"
            text += f"; resolution errors: [{shown}]"
        raise self._refused(text)

    def _refused(self, why: str) -> ApiError:
        return status.forbidden(self.resource.plural, self.resource.group, self.name, why)
