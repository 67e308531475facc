"""Rules of what makes pods from a template and keeps them running, and what stands in all such templates."""

from dataclasses import replace
from typing import Final

from midwatch_lab import names
from midwatch_lab.kinds import pod_validation, rules, storage_validation
from midwatch_lab.kinds.go_structs import go_struct
from midwatch_lab.kinds.rules import Faults
from midwatch_lab.objects import Object, annotations_of, dig, without
from midwatch_lab.selectors import LabelSelector
from midwatch_lab.status import FieldFault, forbidden_field, go_json, invalid_value, required, unsupported

_ZEROS: Final = (0, "0%", "0")
_CHANGEABLE: Final = (
    "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy", "minReadySeconds",
)  # fmt: skip


def template_metadata(found: Object, path: str) -> Faults:
    """Check labels and annotations of a template of pods."""
    yield from rules.labels(dig(found, "metadata", "labels"), f"{path}.labels")
    for key in annotations_of(found):
        for fault in names.label_key_faults(key.lower()):
            yield invalid_value(f"{path}.annotations", key, fault)


def any_template(found: Object, path: str) -> Faults:
    """Check a template of pods, whatever is to be made of it."""
    yield from template_metadata(found, path)
    yield from pod_validation.pod_spec(found.get("spec", {}), f"{path}.spec")


def pod_template(obj: Object) -> Faults:
    """Check a PodTemplate."""
    yield from any_template(obj.get("template", {}), "template")


def not_selected(spec: Object, path: str) -> Faults:
    """Check that the selector selects the labels of the template."""
    labels = dig(spec, "template", "metadata", "labels")
    selected = spec.get("selector")
    if selected is None or not LabelSelector.of(selected).matches(labels or {}):
        yield invalid_value(f"{path}.template.metadata.labels", labels, "`selector` does not match template `labels`")


def _always(spec: Object, path: str, kind: str) -> Faults:
    """Check that the pods are to run for ever."""
    inner: Object = dig(spec, "template", "spec", default={})
    if inner.get("restartPolicy") != "Always":
        yield unsupported(f"{path}.template.spec.restartPolicy", inner.get("restartPolicy", ""), ("Always",))
    if "activeDeadlineSeconds" in inner:
        where = f"{path}.template.spec.activeDeadlineSeconds"
        yield forbidden_field(where, f"activeDeadlineSeconds in {kind} is not Supported")


def _selected_template(spec: Object, kind: str, unusable: str) -> Faults:
    """Check selector and template; the template of a selector that cannot be used is not looked at."""
    selected = spec.get("selector")
    if selected is None:
        yield required("spec.selector")
        yield from not_selected(spec, "spec")
        yield from any_template(spec.get("template", {}), "spec.template")
        return
    faults = list(rules.label_selector(selected, "spec.selector"))
    yield from faults
    if rules.is_empty_selector(selected):
        yield invalid_value("spec.selector", selected, f"empty selector is invalid for {kind}")
    if faults:
        yield FieldFault("spec.selector", "FieldValueInvalid", f"Invalid value: {go_json(selected)}{unusable}")
        return
    yield from not_selected(spec, "spec")
    yield from any_template(spec.get("template", {}), "spec.template")


def deployment(obj: Object) -> Faults:
    """Check a Deployment."""
    spec: Object = obj.get("spec", {})
    yield from rules.non_negative(spec, "replicas", "spec")
    yield from _replicated(spec)
    yield from _strategy(spec.get("strategy", {}))
    for key in ("minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"):
        yield from rules.non_negative(spec, key, "spec")
    if spec.get("progressDeadlineSeconds", 600) <= spec.get("minReadySeconds", 0):
        detail = "must be greater than minReadySeconds"
        yield invalid_value("spec.progressDeadlineSeconds", spec.get("progressDeadlineSeconds"), detail)


def _replicated(spec: Object) -> Faults:
    """Check selector and template of a Deployment or a ReplicaSet."""
    broken = any(True for _ in rules.label_selector(spec.get("selector") or {}, ""))
    yield from _selected_template(spec, "deployment", ": invalid label selector")
    if not broken:
        yield from _always(spec, "spec", "ReplicaSet")


def _strategy(strategy: Object) -> Faults:
    path = "spec.strategy"
    rolling: Object | None = strategy.get("rollingUpdate")
    yield from rules.one_of(strategy, "type", path, ("Recreate", "RollingUpdate"))
    if strategy.get("type") == "Recreate":
        if rolling is not None:
            yield forbidden_field(f"{path}.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'")
        return
    limits: Object = rolling or {}
    yield from rules.int_or_percent(limits, "maxUnavailable", f"{path}.rollingUpdate", at_most_100=True)
    yield from rules.int_or_percent(limits, "maxSurge", f"{path}.rollingUpdate")
    if limits.get("maxUnavailable") in _ZEROS and limits.get("maxSurge") in _ZEROS:
        where = f"{path}.rollingUpdate.maxUnavailable"
        yield invalid_value(where, limits["maxUnavailable"], "may not be 0 when `maxSurge` is 0")


def replica_set(obj: Object) -> Faults:
    """Check a ReplicaSet."""
    spec: Object = obj.get("spec", {})
    yield from rules.non_negative(spec, "replicas", "spec")
    yield from rules.non_negative(spec, "minReadySeconds", "spec")
    yield from _replicated(spec)


def stateful_set(obj: Object) -> Faults:
    """Check a StatefulSet."""
    spec: Object = obj.get("spec", {})
    policy = spec.get("podManagementPolicy", "")
    if policy not in ("OrderedReady", "Parallel"):
        yield invalid_value("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'")
    yield from _stateful_strategy(spec.get("updateStrategy", {}))
    retention: Object = spec.get("persistentVolumeClaimRetentionPolicy", {})
    for key in ("whenDeleted", "whenScaled"):
        yield from rules.one_of(retention, key, "spec.persistentVolumeClaimRetentionPolicy", ("Retain", "Delete"))
    yield from rules.non_negative(spec, "replicas", "spec")
    yield from rules.non_negative(spec, "minReadySeconds", "spec")
    yield from rules.non_negative(spec.get("ordinals", {}), "start", "spec.ordinals")
    if (service := spec.get("serviceName", "")) and (fault := names.dns_label_fault(service)):
        yield invalid_value("spec.serviceName", service, fault)
    yield from _claims(spec.get("volumeClaimTemplates", []))
    yield from _selected_template(with_claims(spec), "statefulset", "")
    if not any(True for _ in rules.label_selector(spec.get("selector") or {}, "")) and "selector" in spec:
        yield from template_metadata(spec.get("template", {}), "spec.template")
    yield from _always(spec, "spec", "StatefulSet")


def _stateful_strategy(strategy: Object) -> Faults:
    path, rolling = "spec.updateStrategy", strategy.get("rollingUpdate")
    match strategy.get("type", ""):
        case "OnDelete":
            if rolling is not None:
                shown = go_struct("RollingUpdateStatefulSetStrategy", rolling)
                yield _shown(f"{path}.rollingUpdate", shown, "only allowed for updateStrategy 'RollingUpdate'")
        case "RollingUpdate":
            yield from rules.non_negative(rolling or {}, "partition", f"{path}.rollingUpdate")
        case _:
            shown = go_struct("StatefulSetUpdateStrategy", strategy)
            yield _shown(path, shown, "must be 'RollingUpdate' or 'OnDelete'")


def _shown(field: str, shown: str, detail: str) -> FieldFault:
    return FieldFault(field, "FieldValueInvalid", f"Invalid value: {shown}: {detail}")


def _claims(claims: list[Object]) -> Faults:
    for index, claim in enumerate(claims):
        for fault in storage_validation.claim(claim):
            yield replace(fault, field=f"spec.volumeClaimTemplates[{index}].{fault.field}")


def with_claims(spec: Object) -> Object:
    """Return a StatefulSet's specification whose template has a volume for each of its claims."""
    claims: list[str] = [
        str(dig(claim, "metadata", "name", default="")) for claim in spec.get("volumeClaimTemplates", [])
    ]
    if not claims:
        return spec
    template: Object = spec.get("template", {})
    inner: Object = template.get("spec", {})
    volumes = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in claims]
    volumes += [volume for volume in inner.get("volumes", []) if volume.get("name") not in claims]
    return {**spec, "template": {**template, "spec": {**inner, "volumes": volumes}}}


def stateful_set_update(new: Object, old: Object) -> Faults:
    """Check that an update of a StatefulSet changes only what may change."""
    before, after = (without(obj.get("spec", {}), _CHANGEABLE) for obj in (old, new))
    if before != after:
        detail = (
            "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
            "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
        )
        yield forbidden_field("spec", detail)


def stateful_set_name(name: str) -> str | None:
    """Say why a text names no StatefulSet: its pods' names are host names."""
    if "." in name:
        return "must not contain dots"
    fault = names.dns_label_fault(name)
    return None if fault is None else fault.replace("63 bytes", "63 characters")


def daemon_set(obj: Object) -> Faults:
    """Check a DaemonSet."""
    spec: Object = obj.get("spec", {})
    selected: Object = spec.get("selector") or {}
    faults = list(rules.label_selector(selected, "spec.selector"))
    yield from faults
    if not faults:
        yield from not_selected(spec, "spec")
    if "selector" in spec and rules.is_empty_selector(selected):
        yield invalid_value("spec.selector", selected, "empty selector is invalid for daemonset")
    yield from any_template(spec.get("template", {}), "spec.template")
    yield from _always(spec, "spec", "DaemonSet")
    yield from rules.non_negative(spec, "minReadySeconds", "spec")
    yield from _daemon_strategy(spec.get("updateStrategy", {}))
    yield from rules.non_negative(spec, "revisionHistoryLimit", "spec")


def _daemon_strategy(strategy: Object) -> Faults:
    path = "spec.updateStrategy"
    if strategy.get("type") not in ("RollingUpdate", "OnDelete"):
        shown = go_struct("DaemonSetUpdateStrategy", strategy)
        detail = f'Unsupported value: {shown}: supported values: "RollingUpdate", "OnDelete"'
        yield FieldFault(path, "FieldValueNotSupported", detail)
    if strategy.get("type") != "RollingUpdate":
        return
    where, rolling = f"{path}.rollingUpdate", strategy.get("rollingUpdate", {})
    yield from rules.int_or_percent(rolling, "maxUnavailable", where, at_most_100=True)
    yield from rules.int_or_percent(rolling, "maxSurge", where, at_most_100=True)
    unavailable, surge = (_amount(rolling.get(key)) for key in ("maxUnavailable", "maxSurge"))
    if unavailable and surge:
        yield invalid_value(f"{where}.maxSurge", rolling["maxSurge"], "may not be set when maxUnavailable is non-zero")
    if not unavailable and not surge:
        yield required(f"{where}.maxUnavailable", "cannot be 0 when maxSurge is 0")


def _amount(value: object) -> int:
    """Return a number or the number of percent, 0 for what is neither."""
    if isinstance(value, str):
        digits = value.removesuffix("%")
        return int(digits) if value.endswith("%") and digits.isdigit() else 0
    return value if isinstance(value, int) else 0


def daemon_set_update(new: Object, old: Object) -> Faults:
    """Check an update of a DaemonSet: that it selects as before, then all of it."""
    selected = dig(new, "spec", "selector")
    if selected != dig(old, "spec", "selector"):
        yield invalid_value("spec.selector", selected, "field is immutable")
    yield from daemon_set(new)


def _revision(obj: Object) -> Faults:
    if (revision := obj.get("revision", 0)) < 0:
        yield invalid_value("revision", revision, "must be greater than or equal to 0")


def controller_revision(obj: Object) -> Faults:
    """Check a ControllerRevision."""
    yield from _revision(obj)
    data = obj.get("data")
    if data is None:
        yield required("data", "data is mandatory")
    elif not isinstance(data, dict):
        yield required("data", "data must be a valid JSON object")


def controller_revision_update(new: Object, old: Object) -> Faults:
    """Check that an update of a ControllerRevision leaves its data alone."""
    yield from _revision(new)
    if new.get("data") != old.get("data"):
        yield invalid_value("data", new.get("data"), "field is immutable")
