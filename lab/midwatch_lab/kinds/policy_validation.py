"""Rules of disruption budgets, quotas, limit ranges and priority classes."""

from midwatch_lab.kinds import rules
from midwatch_lab.kinds.rules import Faults
from midwatch_lab.objects import Object
from midwatch_lab.status import invalid_struct


def budget(obj: Object) -> Faults:
    """Check a PodDisruptionBudget."""
    spec: Object = obj.get("spec", {})
    if "minAvailable" in spec and "maxUnavailable" in spec:
        names = ("MinAvailable", "Selector", "MaxUnavailable", "UnhealthyPodEvictionPolicy")
        shown = ((name, spec.get(name[0].lower() + name[1:])) for name in names)
        yield invalid_struct("spec", shown, "minAvailable and maxUnavailable cannot be both set")
    yield from rules.int_or_percent(spec, "minAvailable", "spec", at_most_100=True)
    yield from rules.int_or_percent(spec, "maxUnavailable", "spec", at_most_100=True)
    yield from rules.label_selector(spec.get("selector") or {}, "spec.selector")
    yield from rules.one_of(spec, "unhealthyPodEvictionPolicy", "spec", ("AlwaysAllow", "IfHealthyBudget"))
    status: Object = obj.get("status", {})
    yield from rules.conditions(status.get("conditions", []), "status.conditions")
    for key in ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"):
        yield from rules.non_negative(status, key, "status")
