"""The ResourceQuota controller: a quota's status says what its namespace may use, and uses.

Admission counts what is made. What goes, what is finished and what was there before the quota is counted here.
"""

from collections.abc import Iterable

from midwatch_lab.admission import usage
from midwatch_lab.admission.usage import Amounts
from midwatch_lab.controllers.runtime import Controller, Key
from midwatch_lab.kinds.resources import RESOURCE_QUOTAS, Resource
from midwatch_lab.objects import Object, dig, is_terminating, name_of, namespace_of
from midwatch_lab.store.store import Change


class QuotaController(Controller):
    """Counts what quotas are about."""

    principal = "system:serviceaccount:kube-system:resourcequota-controller"

    def interested(self, change: Change) -> Iterable[Key]:
        """Return a quota itself, or those that count an object which went, or uses another amount than before."""
        namespace = namespace_of(change.obj)
        if change.key == RESOURCE_QUOTAS.key:
            yield namespace, name_of(change.obj)
        resource = self.registry.catalog.by_storage(change.key)
        if not namespace or resource is None or change.type == "ADDED":
            return
        quotas = self.registry.store.items(RESOURCE_QUOTAS.key, namespace)
        counting = [quota for quota in quotas if usage.covered(resource, dig(quota, "spec", "hard", default={}))]
        if counting and (change.type == "DELETED" or self._differs(resource, change)):
            yield from ((namespace, name_of(quota)) for quota in counting)

    @staticmethod
    def _differs(resource: Resource, change: Change) -> bool:
        return change.old is None or usage.usage(resource, change.obj) != usage.usage(resource, change.old)

    def reconcile(self, key: Key) -> float | None:
        """Write what there may be and what there is."""
        quota = self.registry.find(RESOURCE_QUOTAS, *key)
        if quota is None or is_terminating(quota):
            return None
        hard: Amounts = dig(quota, "spec", "hard", default={})
        used = self._used(quota, hard)
        status: Object = {key: amounts for key, amounts in (("hard", hard), ("used", used)) if amounts}
        self.write_status(RESOURCE_QUOTAS, quota, status)
        return None

    def _used(self, quota: Object, hard: Amounts) -> Amounts:
        found: Amounts = {}
        for resource in self.registry.catalog.stored():
            names = usage.covered(resource, hard) if resource.namespaced else []
            if not names:
                continue
            objects = self.registry.store.items(resource.key, namespace_of(quota))
            total = usage.total(resource, (obj for obj in objects if usage.matches(quota, resource, obj)))
            found |= {name: total.get(name, "0") for name in names}
        return found
