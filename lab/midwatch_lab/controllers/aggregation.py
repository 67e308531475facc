"""Fills the cluster roles that have an aggregation rule with the rules of the roles that it selects."""

from collections.abc import Iterable, Iterator
from typing import Final

from midwatch_lab.controllers.runtime import Controller, Key
from midwatch_lab.kinds.resources import CLUSTER_ROLES
from midwatch_lab.objects import Object, copied, labels_of, name_of
from midwatch_lab.selectors import LabelSelector
from midwatch_lab.store.store import Change

_RULE: Final = "aggregationRule"


class AggregationController(Controller):
    """Keeps aggregated cluster roles filled: `view` from all that is labelled for it, `edit` from that and more."""

    principal = "system:serviceaccount:kube-system:clusterrole-aggregation-controller"
    manager = "clusterrole-aggregation-controller"

    def interested(self, change: Change) -> Iterable[Key]:
        """Look at every aggregated role once any cluster role changes: it may select it now, or no more."""
        if change.key == CLUSTER_ROLES.key:
            for role in self.registry.store.items(CLUSTER_ROLES.key):
                if role.get(_RULE) is not None:
                    yield "", name_of(role)

    def reconcile(self, key: Key) -> float | None:
        """Fill the role."""
        name = key[1]
        role = self.registry.find(CLUSTER_ROLES, "", name)
        if role is None or role.get(_RULE) is None:
            return None
        rules = list(self._gathered(role))
        if rules == (role.get("rules") or []):
            return None
        applied: Object = {
            "apiVersion": CLUSTER_ROLES.api_version,
            "kind": CLUSTER_ROLES.kind,
            "metadata": {"name": name},
            "rules": copied({"rules": rules})["rules"],
        }
        self.registry.apply(CLUSTER_ROLES, "", name, applied, self.origin("patch", CLUSTER_ROLES, "", name), force=True)
        return None

    def _gathered(self, role: Object) -> Iterator[Object]:
        """Yield each rule of the roles that are selected, once, in the order of their names."""
        seen: list[Object] = []
        for selector in role[_RULE].get("clusterRoleSelectors", []):
            wanted = LabelSelector.of(selector)
            for other in self.registry.store.items(CLUSTER_ROLES.key):
                if other is role or not wanted.matches(labels_of(other)):
                    continue
                for rule in other.get("rules") or ():
                    if rule not in seen:
                        seen.append(rule)
                        yield rule
