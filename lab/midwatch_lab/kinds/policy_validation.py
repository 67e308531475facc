"""Rules of disruption budgets, quotas, limit ranges and priority classes."""

from typing import Final

from midwatch_lab import names
from midwatch_lab.kinds import resource_names, rules
from midwatch_lab.kinds.rules import Faults
from midwatch_lab.objects import Object, dig, name_of
from midwatch_lab.quantity import parse
from midwatch_lab.status import (
    Struct,
    duplicate,
    forbidden_field,
    invalid_value,
    required,
    unsupported,
)

SYSTEM_CLASSES: Final = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
"""The classes that are there from the start, with their values."""
_SYSTEM: Final = "system-"
_USER_MAX: Final = 1_000_000_000
_POD_SCOPES: Final = ("Terminating", "NotTerminating", "NotBestEffort", "PriorityClass", "CrossNamespacePodAffinity")
_EXISTING: Final = ("Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "CrossNamespacePodAffinity")
_SCOPES: Final = ("BestEffort", *_POD_SCOPES, "VolumeAttributesClass")
_COMPUTE: Final = frozenset({
    "cpu", "memory", "ephemeral-storage", "limits.cpu", "limits.memory", "limits.ephemeral-storage", "requests.cpu",
    "requests.memory", "requests.ephemeral-storage",
})  # fmt: skip
_LIMIT_TYPES: Final = ("Pod", "Container", "PersistentVolumeClaim")


def budget(obj: Object) -> Faults:
    """Check a PodDisruptionBudget."""
    spec: Object = obj.get("spec", {})
    if "minAvailable" in spec and "maxUnavailable" in spec:
        shown = ("MinAvailable", "Selector", "MaxUnavailable", "UnhealthyPodEvictionPolicy")
        fields = tuple((name, spec.get(name[0].lower() + name[1:])) for name in shown)
        yield invalid_value("spec", Struct(fields), "minAvailable and maxUnavailable cannot be both set")
    yield from rules.int_or_percent(spec, "minAvailable", "spec", at_most_100=True)
    yield from rules.int_or_percent(spec, "maxUnavailable", "spec", at_most_100=True)
    yield from rules.label_selector(dig(spec, "selector", default={}), "spec.selector")
    yield from rules.one_of(spec, "unhealthyPodEvictionPolicy", "spec", ("AlwaysAllow", "IfHealthyBudget"))
    status: Object = obj.get("status", {})
    yield from rules.conditions(status.get("conditions", []), "status.conditions")
    for key in ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"):
        yield from rules.non_negative(status, key, "status")


def quota(obj: Object) -> Faults:
    """Check a ResourceQuota."""
    spec, status = obj.get("spec", {}), obj.get("status", {})
    yield from _amounts(spec.get("hard", {}), "spec.hard")
    hard = spec.get("hard", {})
    yield from _scopes(spec.get("scopes", []), hard)
    selector = spec.get("scopeSelector")
    if selector is not None:
        yield from _scope_selector(selector, hard)
    for key in ("hard", "used"):
        yield from _amounts(status.get(key, {}), f"status.{key}")


def _amounts(amounts: dict[str, str], path: str) -> Faults:
    for name, amount in amounts.items():
        where = f"{path}[{name}]"
        for fault in resource_names.quota_faults(name):
            yield invalid_value(where, name, fault)
        yield from amount_faults(name, amount, where)


def amount_faults(name: str, amount: str, path: str) -> Faults:
    """Check that an amount of a resource is not negative, and whole where the resource is counted."""
    value = parse(amount)
    if value < 0:
        yield invalid_value(path, amount, "must be greater than or equal to 0")
    elif resource_names.is_counted(name) and value != value.to_integral_value():
        yield invalid_value(path, amount, "must be an integer")


def _fits(scope: str, resource: str) -> bool:
    """Tell whether a scope can be held to a resource: those of pods alone have any."""
    if scope == "BestEffort":
        return resource == "pods"
    if scope == "VolumeAttributesClass":
        return resource in ("persistentvolumeclaims", "requests.storage")
    return resource == "pods" or resource in _COMPUTE


def _scopes(scopes: list[str], hard: dict[str, str]) -> Faults:
    path = "spec.scopes"
    for scope in scopes:
        if scope not in _SCOPES:
            yield invalid_value(path, scopes, "unsupported scope")
        for resource in hard:
            if scope in _SCOPES and resource in resource_names.QUOTA and not _fits(scope, resource):
                yield invalid_value(path, scopes, "unsupported scope applied to resource")
    for pair in ({"BestEffort", "NotBestEffort"}, {"Terminating", "NotTerminating"}):
        if pair <= set(scopes):
            yield invalid_value(path, scopes, "conflicting scopes")


def _scope_selector(selector: Object, hard: dict[str, str]) -> Faults:
    path = "spec.scopeSelector.matchExpressions"
    requirements: list[Object] = selector.get("matchExpressions", [])
    for item in requirements:
        scope, operator, values = item.get("scopeName", ""), item.get("operator", ""), item.get("values", [])
        if scope not in _SCOPES:
            yield invalid_value(f"{path}.scopeName", scope, "unsupported scope")
        for resource in hard:
            if scope in _SCOPES and resource in resource_names.QUOTA and not _fits(scope, resource):
                keys = ("ScopeName", "Operator", "Values")
                shown = [
                    Struct(tuple((key, one.get(key[0].lower() + key[1:])) for key in keys)) for one in requirements
                ]
                yield invalid_value(
                    path, Struct((("MatchExpressions", shown),)), "unsupported scope applied to resource"
                )
        if scope in _EXISTING and operator != "Exists":
            detail = (
                "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, "
                "ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or "
                "ResourceQuotaScopeCrossNamespacePodAffinity"
            )
            yield invalid_value(f"{path}.operator", operator, detail)
        yield from _operands(operator, values, path)


def _operands(operator: str, values: list[str], path: str) -> Faults:
    if operator in ("In", "NotIn"):
        if not values:
            detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
            yield required(f"{path}.values", detail)
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
            yield invalid_value(f"{path}.values", values, detail)
    else:
        yield invalid_value(f"{path}.operator", operator, "not a valid selector operator")


def quota_update(new: Object, old: Object) -> Faults:
    """Check that a quota keeps its scopes."""
    scopes: list[str] = dig(new, "spec", "scopes", default=[])
    if sorted(scopes) != sorted(dig(old, "spec", "scopes", default=[])):
        yield invalid_value("spec.scopes", scopes, "field is immutable")


def limit_range(obj: Object) -> Faults:
    """Check a LimitRange."""
    seen: set[str] = set()
    items: list[Object] = dig(obj, "spec", "limits", default=[])
    for index, item in enumerate(items):
        path, kind = f"spec.limits[{index}]", str(item.get("type", ""))
        for fault in names.label_key_faults(kind) or ([] if "/" in kind or kind in _LIMIT_TYPES else [_TYPE]):
            yield invalid_value(f"{path}.type", kind, fault)
        if kind in seen:
            yield duplicate(f"{path}.type", kind)
        seen.add(kind)
        yield from _limits(item, kind, path)


_TYPE: Final = "must be a standard limit type or fully qualified"


def _limits(item: Object, kind: str, path: str) -> Faults:
    keys = ["max", "min"]
    if kind == "Pod":
        for key in ("default", "defaultRequest"):
            if item.get(key):
                yield forbidden_field(f"{path}.{key}", "may not be specified when `type` is 'Pod'")
    else:
        keys += ["default", "defaultRequest"]
    keys.append("maxLimitRequestRatio")
    amounts: dict[str, dict[str, str]] = {key: item.get(key, {}) for key in keys}
    for key in keys:
        for name in amounts[key]:
            found = (
                resource_names.container_faults(name)
                if kind in ("Container", "Pod")
                else resource_names.name_faults(name)
            )
            for fault in found:
                yield invalid_value(f"{path}.{key}[{name}]", name, fault)
    if kind == "PersistentVolumeClaim" and not any("storage" in item.get(key, {}) for key in ("min", "max")):
        detail = "either minimum or maximum storage value is required, but neither was provided"
        yield required(f"{path}.limits", detail)
    for name in dict.fromkeys(name for key in keys for name in amounts[key]):
        given = {key: amounts[key][name] for key in keys if name in amounts[key]}
        yield from _ordered(given, name, path)
        yield from _ratio(given, name, path)


_WORDS: Final = {
    "min": "min value", "max": "max value", "defaultRequest": "default request value", "default": "default value",
}  # fmt: skip
_ORDERED: Final = (
    ("min", "max", "min", "min"), ("min", "defaultRequest", "defaultRequest", "defaultRequest"),
    ("defaultRequest", "max", "defaultRequest", "defaultRequest"),
    ("defaultRequest", "default", "defaultRequest", "defaultRequest"),
    ("min", "default", "default", "min"), ("default", "max", "default", "max"),
)  # fmt: skip
"""(what may not be greater, than what, the field that is blamed, the field whose value is shown)."""


def _ordered(given: dict[str, str], name: str, path: str) -> Faults:
    """Check that the minimum, the defaults and the maximum of one resource do not cross."""
    for low, high, blamed, shown in _ORDERED:
        if low in given and high in given and parse(given[low]) > parse(given[high]):
            what = "default limit value" if (low, high) == ("defaultRequest", "default") else _WORDS[high]
            text = f"{_WORDS[low]} {given[low]} is greater than {what} {given[high]}"
            yield invalid_value(f"{path}.{blamed}[{name}]", given[shown], text)


def _ratio(given: dict[str, str], name: str, path: str) -> Faults:
    """Check how far a limit may lie over a request."""
    shown = given.get("maxLimitRequestRatio")
    if shown is not None:
        where, ratio = f"{path}.maxLimitRequestRatio[{name}]", parse(shown)
        if ratio < 1:
            yield invalid_value(where, shown, f"ratio {shown} is less than 1")
        if "min" in given and "max" in given and (least := parse(given["min"])):
            most = parse(given["max"]) / least
            if ratio > most:
                yield invalid_value(where, shown, f"ratio {shown} is greater than max/min = {most:.6f}")
    both = "default" in given and "defaultRequest" in given
    if both and not resource_names.may_overcommit(name) and parse(given["default"]) != parse(given["defaultRequest"]):
        text = (
            f"default value {given['default']} must equal to defaultRequest value {given['defaultRequest']} in {name}"
        )
        yield invalid_value(f"{path}.defaultRequest[{name}]", given["defaultRequest"], text)


def priority_class(obj: Object) -> Faults:
    """Check a PriorityClass."""
    name, value = name_of(obj), int(obj.get("value", 0))
    if name.startswith(_SYSTEM):
        reserved = "priority class names with 'system-' prefix are reserved for system use only. error: "
        if name not in SYSTEM_CLASSES:
            yield forbidden_field("metadata.name", f"{reserved}{name} is not a known system priority class")
        elif value != SYSTEM_CLASSES[name]:
            text = f"value of {name} PriorityClass must be {SYSTEM_CLASSES[name]}"
            yield forbidden_field("metadata.name", reserved + text)
    elif value > _USER_MAX:
        yield forbidden_field("value", f"maximum allowed value of a user defined priority is {_USER_MAX}")
    policy = obj.get("preemptionPolicy")
    if policy is not None and policy not in ("PreemptLowerPriority", "Never"):
        yield unsupported("preemptionPolicy", policy, ("PreemptLowerPriority", "Never"))


def priority_class_update(new: Object, old: Object) -> Faults:
    """Check that a PriorityClass keeps its value and its policy."""
    if new.get("value", 0) != old.get("value", 0):
        yield forbidden_field("value", "may not be changed in an update.")
    if new.get("preemptionPolicy") != old.get("preemptionPolicy"):
        yield invalid_value("preemptionPolicy", new.get("preemptionPolicy"), "field is immutable")
