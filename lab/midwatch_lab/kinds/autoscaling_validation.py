"""Rules of autoscalers: targets, metrics and behaviour, and the defaults of a behaviour."""

from collections.abc import Callable
from typing import Any, Final

from midwatch_lab import names
from midwatch_lab.kinds import rules
from midwatch_lab.kinds.rules import Faults
from midwatch_lab.objects import Object, copied, dig
from midwatch_lab.quantity import parse
from midwatch_lab.status import forbidden_field, invalid_value, required, unsupported

_CPU_PERCENT: Final = 80
_WINDOW_MAX_S: Final = 3600
_PERIOD_MAX_S: Final = 1800
_SOURCES: Final = {
    "Object": "object", "Pods": "pods", "Resource": "resource", "ContainerResource": "containerResource",
    "External": "external",
}  # fmt: skip
_ORDER: Final = ("object", "external", "pods", "resource", "containerResource")
_UP: Final[Object] = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ],
}
_DOWN: Final[Object] = {"selectPolicy": "Max", "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]}


def autoscaler_defaults(obj: Object) -> None:
    """Fill in one replica at least, a CPU target where there is no metric, and the rest of a behaviour (in place)."""
    spec = obj.setdefault("spec", {})
    spec.setdefault("minReplicas", 1)
    if not spec.get("metrics"):
        target = {"type": "Utilization", "averageUtilization": _CPU_PERCENT}
        spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    behavior = spec.get("behavior")
    if behavior is not None:
        for key, usual in (("scaleUp", _UP), ("scaleDown", _DOWN)):
            behavior[key] = {**copied(usual), **behavior.get(key, {})}


def autoscaler(obj: Object) -> Faults:
    """Check an autoscaler (`autoscaling/v2`)."""
    spec: Object = obj.get("spec", {})
    low, high = spec.get("minReplicas", 1), spec.get("maxReplicas", 0)
    if low < 1:
        yield invalid_value("spec.minReplicas", low, "must be greater than or equal to 1")
    if high == 0:
        yield required("spec.maxReplicas", "must be set and greater than 0")
    elif high < 1:
        yield invalid_value("spec.maxReplicas", high, "must be greater than or equal to 1")
    if high < low:
        yield invalid_value("spec.maxReplicas", high, "must be greater than or equal to `minReplicas`")
    yield from _reference(spec.get("scaleTargetRef", {}), "spec.scaleTargetRef", needs_group=True)
    metrics: list[Object] = spec.get("metrics") or []
    for index, metric in enumerate(metrics):
        yield from _metric(metric, f"spec.metrics[{index}]")
    if low == 0 and not any(metric.get("type") in ("Object", "External") for metric in metrics):
        detail = "must specify at least one Object or External metric to support scaling to zero replicas"
        yield forbidden_field("spec.metrics", detail)
    for key in ("scaleUp", "scaleDown"):
        scaling = dig(spec, "behavior", key)
        if scaling is not None:
            yield from _scaling(scaling, f"spec.behavior.{key}")
    for key in ("currentReplicas", "desiredReplicas"):
        yield from rules.non_negative(obj.get("status", {}), key, "status")


def _reference(reference: Object, path: str, *, needs_group: bool = False) -> Faults:
    for key in ("kind", "name"):
        text = str(reference.get(key, ""))
        if not text:
            yield required(f"{path}.{key}")
        for fault in names.path_segment_faults(text):
            yield invalid_value(f"{path}.{key}", text, fault)
    version = str(reference.get("apiVersion", ""))
    if version.count("/") > 1:
        yield invalid_value(f"{path}.apiVersion", version, f"unexpected GroupVersion string: {version}")
    elif needs_group and "/" not in version and reference.get("kind") != "ReplicationController":
        yield invalid_value(f"{path}.apiVersion", version, "apiVersion must specify API group")


def _metric(metric: Object, path: str) -> Faults:
    kind = str(metric.get("type", ""))
    if not kind:
        yield required(f"{path}.type", "must specify a metric source type")
    if kind not in _SOURCES:
        # Twice: by its rules and by its schema.
        yield from [unsupported(f"{path}.type", kind, sorted(_SOURCES))] * 2
    expected = _SOURCES.get(kind, "")
    if expected and expected not in metric:
        yield required(f"{path}.{expected}", "must populate information for the given metric source")
    present = [key for key in _ORDER if key in metric]
    if present:
        yield from _CHECKS[present[0]](metric[present[0]], f"{path}.{present[0]}")
    if len(present) != 1:
        for key in present:
            if key != expected:
                yield forbidden_field(f"{path}.{key}", "must populate the given metric source only")


def _identified(source: Object, path: str) -> Faults:
    name = str(dig(source, "metric", "name", default=""))
    if not name:
        yield required(f"{path}.metric.name", "must specify a metric name")
    for fault in names.path_segment_faults(name):
        yield invalid_value(f"{path}.metric.name", name, fault)


def _target(target: Object, path: str) -> Faults:
    kind = target.get("type", "")
    if not kind:
        yield required(f"{path}.type", "must specify a metric target type")
    if kind not in ("Utilization", "Value", "AverageValue"):
        yield invalid_value(f"{path}.type", kind, "must be either Utilization, Value, or AverageValue")
    for key in ("value", "averageValue"):
        if key in target and parse(target[key]) <= 0:
            yield invalid_value(f"{path}.{key}", target[key], "must be positive")
    used = target.get("averageUtilization")
    if used is not None and used < 1:
        yield invalid_value(f"{path}.averageUtilization", used, "must be greater than 0")


def _object_source(source: Object, path: str) -> Faults:
    target: Object = source.get("target", {})
    yield from _reference(source.get("describedObject", {}), f"{path}.describedObject")
    yield from _identified(source, path)
    yield from _target(target, f"{path}.target")
    if "value" not in target and "averageValue" not in target:
        yield required(f"{path}.target.averageValue", "must set either a target value or averageValue")


def _external_source(source: Object, path: str) -> Faults:
    target: Object = source.get("target", {})
    yield from _identified(source, path)
    yield from _target(target, f"{path}.target")
    if "value" not in target and "averageValue" not in target:
        detail = "must set either a target value for metric or a per-pod target"
        yield required(f"{path}.target.averageValue", detail)
    if "value" in target and "averageValue" in target:
        detail = "may not set both a target value for metric and a per-pod target"
        yield forbidden_field(f"{path}.target.value", detail)


def _pods_source(source: Object, path: str) -> Faults:
    target: Object = source.get("target", {})
    yield from _identified(source, path)
    yield from _target(target, f"{path}.target")
    if "averageValue" not in target:
        yield required(f"{path}.target.averageValue", "must specify a positive target averageValue")


def _resource_source(source: Object, path: str) -> Faults:
    target: Object = source.get("target", {})
    if not source.get("name"):
        yield required(f"{path}.name", "must specify a resource name")
    if path.endswith(".containerResource") and not source.get("container"):
        yield required(f"{path}.container", "must specify a container")
    yield from _target(target, f"{path}.target")
    if "averageUtilization" not in target and "averageValue" not in target:
        detail = "must set either a target raw value or a target utilization"
        yield required(f"{path}.target.averageUtilization", detail)
    if "averageUtilization" in target and "averageValue" in target:
        detail = "may not set both a target raw value and a target utilization"
        yield forbidden_field(f"{path}.target.averageValue", detail)


_CHECKS: Final[dict[str, Callable[[Object, str], Faults]]] = {
    "object": _object_source,
    "external": _external_source,
    "pods": _pods_source,
    "resource": _resource_source,
    "containerResource": _resource_source,
}


def _scaling(scaling: Object, path: str) -> Faults:
    window: Any = scaling.get("stabilizationWindowSeconds")
    if window is not None and window < 0:
        yield invalid_value(f"{path}.stabilizationWindowSeconds", window, "must be greater than or equal to zero")
    if window is not None and window > _WINDOW_MAX_S:
        detail = f"must be less than or equal to {_WINDOW_MAX_S}"
        yield invalid_value(f"{path}.stabilizationWindowSeconds", window, detail)
    select = scaling.get("selectPolicy")
    if select is not None and select not in ("Disabled", "Max", "Min"):
        yield unsupported(f"{path}.selectPolicy", select, ("Disabled", "Max", "Min"))
    policies: list[Object] = scaling.get("policies") or []
    if not policies:
        yield required(f"{path}.policies", "must specify at least one Policy")
    for index, policy in enumerate(policies):
        yield from _policy(policy, f"{path}.policies[{index}]")
    tolerance = scaling.get("tolerance")
    if tolerance is not None and parse(tolerance) < 0:
        yield invalid_value(f"{path}.tolerance", tolerance, "must be greater than or equal to 0")


def _policy(policy: Object, path: str) -> Faults:
    if policy.get("type", "") not in ("Percent", "Pods"):
        yield unsupported(f"{path}.type", policy.get("type", ""), ("Percent", "Pods"))
    for key in ("value", "periodSeconds"):
        if policy.get(key, 0) <= 0:
            yield invalid_value(f"{path}.{key}", policy.get(key, 0), "must be greater than zero")
    if policy.get("periodSeconds", 0) > _PERIOD_MAX_S:
        detail = f"must be less than or equal to {_PERIOD_MAX_S}"
        yield invalid_value(f"{path}.periodSeconds", policy["periodSeconds"], detail)
