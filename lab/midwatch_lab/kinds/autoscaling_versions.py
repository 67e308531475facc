"""Autoscalers in their two versions: stored as `autoscaling/v2`, shown as `autoscaling/v1` too.

What v1 has no field for stands in annotations there, in JSON of the original's order, and is taken out of them again.
"""

from collections.abc import Callable
from typing import Any, Final, cast

import orjson

from midwatch_lab.errors import DecodeError
from midwatch_lab.kinds.json_shapes import Shape, shaped
from midwatch_lab.objects import Object, annotations_of, dig, meta, without

_PREFIX: Final = "autoscaling.alpha.kubernetes.io/"
METRICS: Final = _PREFIX + "metrics"
CURRENT: Final = _PREFIX + "current-metrics"
CONDITIONS: Final = _PREFIX + "conditions"
BEHAVIOR: Final = _PREFIX + "behavior"
_ALL: Final = (METRICS, CURRENT, CONDITIONS, BEHAVIOR)
_LABELS: Final[Shape] = {
    "matchLabels": {"*": str},
    "matchExpressions": [{"key": str, "operator": str, "values": [str]}],
}
_SOURCE: Final[Shape] = {
    "name": str, "container": str, "metricName": str, "selector": _LABELS, "metricSelector": _LABELS,
    "target": {"kind": str, "name": str, "apiVersion": str}, "averageValue": "quantity", "targetValue": "quantity",
    "targetAverageValue": "quantity", "targetAverageUtilization": int, "currentValue": "quantity",
    "currentAverageValue": "quantity", "currentAverageUtilization": int,
}  # fmt: skip
_METRICS: Final[Shape] = [
    {"type": str, **dict.fromkeys(("object", "pods", "resource", "containerResource", "external"), _SOURCE)}
]
_CONDITIONS: Final[Shape] = [dict.fromkeys(("type", "status", "lastTransitionTime", "reason", "message"), str)]
_SCALING: Final[Shape] = {
    "StabilizationWindowSeconds": int, "SelectPolicy": str, "Tolerance": "quantity",
    "Policies": [{"Type": str, "Value": int, "PeriodSeconds": int}],
}  # fmt: skip
_BEHAVIOR: Final[Shape] = {"ScaleUp": _SCALING, "ScaleDown": _SCALING}
_SHARED: Final = ("scaleTargetRef", "minReplicas", "maxReplicas")
_COUNTS: Final = ("observedGeneration", "lastScaleTime", "currentReplicas", "desiredReplicas")


def blank_v1(obj: Object) -> None:
    """Fill in what v1 always shows (in place)."""
    status = obj.setdefault("status", {})
    status.setdefault("currentReplicas", 0)
    status.setdefault("desiredReplicas", 0)


def blank_v2(obj: Object) -> None:
    """Fill in what v2 always shows (in place)."""
    status = obj.setdefault("status", {})
    status.setdefault("currentMetrics", None)
    status.setdefault("desiredReplicas", 0)


def as_v1(obj: Object) -> Object:
    """Return a v2 autoscaler as v1."""
    spec, status = dig(obj, "spec", default={}), dig(obj, "status", default={})
    metrics: list[Object] = spec.get("metrics") or []
    shown: Object = {key: spec[key] for key in _SHARED if key in spec}
    target = next(
        (dig(metric, "resource", "target", "averageUtilization") for metric in metrics if _is_cpu(metric)), None
    )
    if target is not None:
        shown["targetCPUUtilizationPercentage"] = target
    counts: Object = {key: status[key] for key in _COUNTS if key in status}
    current: list[Object] = status.get("currentMetrics") or []
    for metric in current:
        used = dig(metric, "resource", "current", "averageUtilization")
        if _is_cpu(metric) and used is not None:
            counts["currentCPUUtilizationPercentage"] = used
    others = [metric for metric in metrics if not (_is_cpu(metric) and _utilization(metric) is not None)]
    conditions: list[Object] = status.get("conditions") or []
    kept = {
        METRICS: [_metric_v1(metric, "target") for metric in others],
        CURRENT: [_metric_v1(metric, "current") for metric in current],
        CONDITIONS: [_condition(item) for item in conditions],
        BEHAVIOR: _behavior_v1(spec["behavior"]) if "behavior" in spec else None,
    }
    found = {"apiVersion": "autoscaling/v1", "kind": obj["kind"], "metadata": _with_annotations(meta(obj), kept)}
    out: Object = {**found, "spec": shown, "status": counts}
    blank_v1(out)
    return out


def as_v2(obj: Object) -> Object:
    """Return a v1 autoscaler as v2."""
    spec, status = dig(obj, "spec", default={}), dig(obj, "status", default={})
    annotations = annotations_of(obj)
    shown: Object = {key: spec[key] for key in _SHARED if key in spec}
    target = spec.get("targetCPUUtilizationPercentage")
    cpu = [] if target is None else [_cpu("target", {"type": "Utilization", "averageUtilization": target})]
    metrics = [*(_metric_v2(item, "target") for item in _read(annotations, METRICS, _METRICS)), *cpu]
    if metrics:
        shown["metrics"] = metrics
    behavior = _behavior_v2(_read(annotations, BEHAVIOR, _BEHAVIOR))
    if behavior:
        shown["behavior"] = behavior
    counts: Object = {key: status[key] for key in _COUNTS if key in status}
    used = status.get("currentCPUUtilizationPercentage")
    current = [] if used is None else [_cpu("current", {"averageUtilization": used})]
    if CURRENT in annotations:
        current = [_metric_v2(item, "current") for item in _read(annotations, CURRENT, _METRICS)]
    if current:
        counts["currentMetrics"] = current
    conditions = _read(annotations, CONDITIONS, _CONDITIONS)
    if conditions:
        counts["conditions"] = conditions
    metadata = _with_annotations(meta(obj), {})
    out: Object = {"apiVersion": "autoscaling/v2", "kind": obj["kind"], "metadata": metadata, "spec": shown}
    out["status"] = counts
    blank_v2(out)
    return out


def _is_cpu(metric: Object) -> bool:
    return metric.get("type") == "Resource" and dig(metric, "resource", "name") == "cpu"


def _utilization(metric: Object) -> Any:
    return dig(metric, "resource", "target", "averageUtilization")


def _cpu(place: str, values: Object) -> Object:
    return {"type": "Resource", "resource": {"name": "cpu", place: values}}


def _with_annotations(metadata: Object, kept: dict[str, Any]) -> Object:
    """Return metadata without the annotations of a conversion, and with these where they say anything."""
    annotations: Object = without(metadata.get("annotations") or {}, _ALL)
    annotations |= {key: _text(value) for key, value in kept.items() if value}
    bare = without(metadata, ["annotations"])
    return {**bare, "annotations": annotations} if annotations else bare


def _text(value: Any) -> str:
    """Return JSON as Go writes it: what HTML gives a meaning is escaped."""
    text = orjson.dumps(value).decode()
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _read(annotations: dict[str, str], key: str, shape: Shape) -> Any:
    """Return what an annotation holds; nothing where it does not fit, as the original takes it."""
    try:
        return shaped(orjson.loads(annotations.get(key) or "null"), shape)
    except (orjson.JSONDecodeError, DecodeError):
        return type(shape)()


def _condition(item: Object) -> Object:
    return {key: item[key] for key in ("type", "status", "lastTransitionTime", "reason", "message") if key in item}


def _metric_v1(metric: Object, place: str) -> Object:
    """Return a metric's specification (`target`) or status (`current`) as v1 has it."""
    kind = str(metric.get("type", ""))
    field = kind[:1].lower() + kind[1:]
    source: Object = metric.get(field) or {}
    write = _TO_V1.get(kind)
    return (
        {"type": kind}
        if write is None
        else {"type": kind, field: _present(write(source, place, source.get(place) or {}))}
    )


def _present(fields: Object) -> Object:
    return {key: value for key, value in fields.items() if value is not None}


def _resource_v1(source: Object, place: str, values: Object) -> Object:
    average = values.get("averageValue")
    return {
        "name": source.get("name", ""),
        f"{place}AverageUtilization": values.get("averageUtilization"),
        f"{place}AverageValue": average if place == "target" else average or "0",
        "container": source.get("container"),
    }


def _pods_v1(source: Object, place: str, values: Object) -> Object:
    metric: Object = source.get("metric") or {}
    average = values.get("averageValue") or "0"
    return {"metricName": metric.get("name", ""), f"{place}AverageValue": average, "selector": metric.get("selector")}


def _object_v1(source: Object, place: str, values: Object) -> Object:
    metric: Object = source.get("metric") or {}
    about: Object = source.get("describedObject") or {}
    return {
        "target": {"kind": "", "name": "", **{k: about[k] for k in ("kind", "name", "apiVersion") if k in about}},
        "metricName": metric.get("name", ""),
        f"{place}Value": values.get("value") or "0",
        "selector": metric.get("selector"),
        "averageValue": values.get("averageValue"),
    }


def _external_v1(source: Object, place: str, values: Object) -> Object:
    metric: Object = source.get("metric") or {}
    value = values.get("value")
    return {
        "metricName": metric.get("name", ""),
        "metricSelector": metric.get("selector"),
        f"{place}Value": value if place == "target" else value or "0",
        f"{place}AverageValue": values.get("averageValue"),
    }


_TO_V1: Final[dict[str, Callable[[Object, str, Object], Object]]] = {
    "Resource": _resource_v1,
    "ContainerResource": _resource_v1,
    "Pods": _pods_v1,
    "Object": _object_v1,
    "External": _external_v1,
}


def _metric_v2(metric: Object, place: str) -> Object:
    """Return a v1 metric's specification (`target`) or status (`current`) as v2 has it."""
    kind = str(metric.get("type", ""))
    field = kind[:1].lower() + kind[1:]
    source: Object = metric.get(field) or {}
    if kind not in _TO_V1:
        return {"type": kind}
    average = source.get("averageValue") if kind == "Object" else source.get(f"{place}AverageValue")
    values = _present(
        {
            "averageUtilization": source.get(f"{place}AverageUtilization"),
            "averageValue": average,
            "value": source.get(f"{place}Value"),
        }
    )
    if place == "target":
        values["type"] = _target_type(kind, values)
    elif values.get("averageValue") == "0" and "averageUtilization" in values:
        del values["averageValue"]
    if kind in ("Resource", "ContainerResource"):
        named = _present({"name": source.get("name", ""), "container": source.get("container")})
        return {"type": kind, field: {**named, place: values}}
    selector = source.get("metricSelector" if kind == "External" else "selector")
    about: Object = {"describedObject": source.get("target") or {}} if kind == "Object" else {}
    about["metric"] = _present({"name": source.get("metricName", ""), "selector": selector})
    return {"type": kind, field: {**about, place: values}}


def _target_type(kind: str, values: Object) -> str:
    match kind:
        case "Resource" | "ContainerResource":
            return "Utilization" if "averageUtilization" in values else "AverageValue"
        case "Object":
            return "AverageValue" if "averageValue" in values else "Value"
        case "External":
            return "Value" if "value" in values else "AverageValue"
        case _:
            return "AverageValue"


def _behavior_v1(behavior: Object) -> Object:
    """Return a behaviour as the annotation has it: under the names of the original's own structure."""
    return {
        name: _rules_v1(behavior.get(field)) for name, field in (("ScaleUp", "scaleUp"), ("ScaleDown", "scaleDown"))
    }


def _rules_v1(rules: Object | None) -> Object | None:
    if rules is None:
        return None
    policies: list[Object] | None = rules.get("policies")
    names = ("Type", "Value", "PeriodSeconds")
    return {
        "StabilizationWindowSeconds": rules.get("stabilizationWindowSeconds"),
        "SelectPolicy": rules.get("selectPolicy"),
        "Policies": policies
        and [{name: policy.get(name[0].lower() + name[1:]) for name in names} for policy in policies],
        "Tolerance": rules.get("tolerance"),
    }


def _behavior_v2(behavior: Object) -> Object:
    found: Object = {}
    for name, field in (("ScaleUp", "scaleUp"), ("ScaleDown", "scaleDown")):
        rules = behavior.get(name)
        if isinstance(rules, dict):
            found[field] = _lowered(cast("Object", rules))
    return found


def _lowered(value: Any) -> Any:
    if isinstance(value, dict):
        given = cast("Object", value)
        return {key[:1].lower() + key[1:]: _lowered(item) for key, item in given.items() if item is not None}
    return [_lowered(item) for item in cast("list[Any]", value)] if isinstance(value, list) else value
