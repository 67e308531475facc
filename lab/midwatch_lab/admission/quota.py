"""The plugin ResourceQuota: nothing is made that would use more than a quota allows, and what is made is counted."""

from dataclasses import dataclass

from midwatch_lab.admission import usage
from midwatch_lab.admission.request import Contents, Request
from midwatch_lab.admission.usage import Amounts
from midwatch_lab.kinds.resources import PODS, RESOURCE_QUOTAS, SERVICES, VOLUME_CLAIMS
from midwatch_lab.objects import Object, dig, name_of
from midwatch_lab.quantity import added, parse, subtracted

_UPDATED = (SERVICES, VOLUME_CLAIMS)
"""Resources of which a change may use more, too."""


@dataclass(frozen=True)
class Charge:
    """A quota, and what is used of it once the write is done."""

    quota: Object
    used: Amounts


def charges(request: Request, contents: Contents) -> list[Charge]:
    """Return what a write uses of the quotas of its namespace.

    Raises:
        ApiError: 403 where a quota does not allow it, is not counted yet, or needs amounts that are not stated.
    """
    resource = request.resource
    if request.subresource or not resource.namespaced or not (request.creates or resource in _UPDATED):
        return []
    quotas = contents.items(RESOURCE_QUOTAS.key, request.namespace)
    counting = [quota for quota in quotas if usage.covered(resource, _hard(quota))]
    concerned = [quota for quota in counting if usage.matches(quota, resource, request.obj)]
    for quota in concerned:
        _check_stated(request, quota)
    delta = usage.usage(resource, request.obj)
    if request.old is not None:
        before = usage.usage(resource, request.old)
        # What is given back is counted by the controller, later.
        delta = {name: subtracted(amount, before.get(name, "0")) for name, amount in delta.items()}
    delta = {name: amount for name, amount in delta.items() if parse(amount) > 0}
    return [_charged(request, quota, delta) for quota in concerned if delta]


def _hard(quota: Object) -> Amounts:
    return dig(quota, "status", "hard", default={})


def _check_stated(request: Request, quota: Object) -> None:
    names = usage.covered(request.resource, _hard(quota))
    if request.resource is PODS and (lacking := usage.missing(request.obj, names)):
        raise request.refuse(f"failed quota: {name_of(quota)}: must specify {lacking}")
    used: Amounts = dig(quota, "status", "used", default={})
    if any(name not in used for name in names):
        shown = ",".join(sorted(names))
        raise request.refuse(f"status unknown for quota: {name_of(quota)}, resources: {shown}")


def _charged(request: Request, quota: Object, delta: Amounts) -> Charge:
    hard, used = _hard(quota), dig(quota, "status", "used", default={})
    wanted = {name: amount for name, amount in delta.items() if name in hard}
    after = {**used, **{name: added(used.get(name, "0"), amount) for name, amount in wanted.items()}}
    over = [name for name in sorted(wanted) if parse(after[name]) > parse(hard[name])]
    if over:
        parts = ((what, amounts) for what, amounts in (("requested", wanted), ("used", used), ("limited", hard)))
        shown = ", ".join(f"{what}: " + ",".join(f"{name}={amounts[name]}" for name in over) for what, amounts in parts)
        raise request.refuse(f"exceeded quota: {name_of(quota)}, {shown}")
    return Charge(quota, after)
