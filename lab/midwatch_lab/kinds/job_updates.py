"""What may change of a Job once it is made, and what its status may say."""

from typing import Any, Final

from midwatch_contracts.times import unix_seconds
from midwatch_lab.errors import DecodeError
from midwatch_lab.job_indexes import read_indexes
from midwatch_lab.kinds import rules
from midwatch_lab.kinds.go_structs import go_pod_spec, go_struct, go_template
from midwatch_lab.kinds.job_validation import job, job_spec
from midwatch_lab.kinds.rules import Faults
from midwatch_lab.objects import Object, dig, is_condition_true, without
from midwatch_lab.status import FieldFault, duplicate, invalid_value, required

_IMMUTABLE: Final = "field is immutable"
_DIRECTIVES: Final = ("nodeSelector", "affinity", "tolerations", "schedulingGates")
"""What of a template's specification may change before its Job has begun."""
_TRUE_TOGETHER: Final = (
    ("Complete", "Failed"), ("Complete", "FailureTarget"), ("SuccessCriteriaMet", "Failed"),
    ("SuccessCriteriaMet", "FailureTarget"),
)  # fmt: skip


def job_update(new: Object, old: Object) -> Faults:
    """Check an update of a Job: all of it, its specification once more, and what may not change."""
    yield from job(new)
    yield from job_spec(new.get("spec", {}))
    after, before = new.get("spec", {}), old.get("spec", {})
    yield from _completions(after, before)
    yield from _same(after, before, "selector")
    yield from _template(new, old)
    yield from _same(after, before, "completionMode")
    yield from _same(after, before, "podFailurePolicy", "PodFailurePolicy")
    yield from _same(after, before, "backoffLimitPerIndex")
    yield from _same(after, before, "managedBy")
    yield from _same(after, before, "successPolicy", "SuccessPolicy")


def _same(after: Object, before: Object, key: str, struct: str = "") -> Faults:
    value = after.get(key)
    if value == before.get(key):
        return
    if struct and value is not None:
        yield _shown(f"spec.{key}", go_struct(struct, value), _IMMUTABLE)
    else:
        yield invalid_value(f"spec.{key}", value, _IMMUTABLE)


def _shown(path: str, shown: str, detail: str) -> FieldFault:
    return FieldFault(path, "FieldValueInvalid", f"Invalid value: {shown}: {detail}")


def _completions(after: Object, before: Object) -> Faults:
    value = after.get("completions")
    if value == before.get("completions"):
        return
    if before.get("completionMode") != "Indexed" or value is None or before.get("completions") is None:
        yield invalid_value("spec.completions", value, _IMMUTABLE)
    elif after.get("parallelism") != value:
        yield invalid_value("spec.completions", value, "can only be modified in tandem with spec.parallelism")


def _template(new: Object, old: Object) -> Faults:
    """Check that the template stays, but for what says where pods may go while the Job has not begun."""
    after, before = dig(new, "spec", "template", default={}), dig(old, "spec", "template", default={})
    if after == before:
        return
    if not _may_be_directed(old):
        yield _shown("spec.template", go_template(after), _IMMUTABLE)
        return
    if _fixed(after) != _fixed(before):
        yield _shown("spec.template.spec", go_pod_spec(after.get("spec", {})), _IMMUTABLE)


def _may_be_directed(old: Object) -> bool:
    suspended = bool(dig(old, "spec", "suspend"))
    begun = dig(old, "status", "startTime") is not None and not is_condition_true(old, "Suspended")
    return suspended and not begun and not dig(old, "status", "active", default=0)


def _fixed(template: Object) -> Object:
    spec = without(template.get("spec", {}), _DIRECTIVES)
    for kind in ("containers", "initContainers"):
        if kind in spec:
            spec[kind] = [without(container, ["resources"]) for container in spec[kind]]
    return spec


def job_status(new: Object, old: Object) -> Faults:
    """Check an update of a Job's status: its counts and times, then what its conditions claim."""
    status: Object = new.get("status", {})
    for key in ("active", "succeeded", "failed", "ready", "terminating"):
        yield from rules.non_negative(status, key, "status")
    yield from _uncounted(status.get("uncountedTerminatedPods", {}))
    before: Object = old.get("status", {})
    for key in ("failed", "succeeded"):
        if status.get(key, 0) < before.get(key, 0) or status.get(key, 0) < 0:
            yield invalid_value(f"status.{key}", status.get(key, 0), f"cannot decrease the {key} counter")
    yield from _conditions(new)
    yield from _times(new, old)
    yield from _indexes(new)
    active, ready = status.get("active", 0), status.get("ready")
    finished = is_condition_true(new, "Complete") or is_condition_true(new, "Failed")
    if finished and active > 0:
        yield invalid_value("status.active", active, "active>0 is invalid for finished job")
    if ready is not None and ready > max(active, 0):
        yield invalid_value("status.ready", ready, "cannot set more ready pods than active")


def _uncounted(pods: Object) -> Faults:
    seen: set[str] = set()
    for key in ("succeeded", "failed"):
        for index, uid in enumerate(pods.get(key, [])):
            where = f"status.uncountedTerminatedPods.{key}[{index}]"
            if not uid:
                yield invalid_value(where, uid, "must not be empty")
            elif uid in seen:
                yield duplicate(where, uid)
            seen.add(uid)


def _conditions(new: Object) -> Faults:
    def claim(detail: str) -> FieldFault:
        return FieldFault("status.conditions", "FieldValueInvalid", f"Invalid value: {detail}")

    for first, second in _TRUE_TOGETHER[:2]:
        if is_condition_true(new, first) and is_condition_true(new, second):
            yield claim(f"cannot set {first}=True and {second}=true conditions")
    if is_condition_true(new, "Complete") and dig(new, "status", "completionTime") is None:
        yield required("status.completionTime", "completionTime is required for Complete jobs")
    for first, second in _TRUE_TOGETHER[2:]:
        if is_condition_true(new, first) and is_condition_true(new, second):
            yield claim(f"cannot set {first}=True and {second}=true conditions")
    for first, second in (("Failed", "FailureTarget"), ("Complete", "SuccessCriteriaMet")):
        if is_condition_true(new, first) and not is_condition_true(new, second):
            yield claim(f"cannot set {first}=True condition without the {second}=true condition")


def _times(new: Object, old: Object) -> Faults:
    start, end = dig(new, "status", "startTime"), dig(new, "status", "completionTime")
    if end is not None and not is_condition_true(new, "Complete"):
        yield invalid_value(
            "status.completionTime", end, "cannot set completionTime when there is no Complete=True condition"
        )
    if start and end and unix_seconds(end) < unix_seconds(start):
        yield invalid_value("status.completionTime", end, "must be equal to or after `startTime`")
    before: Any = dig(old, "status", "startTime")
    if before is not None and start != before and not dig(new, "spec", "suspend") and not dig(old, "spec", "suspend"):
        yield invalid_value("status.startTime", start, "field is immutable for unsuspended job once set")


def _indexes(new: Object) -> Faults:
    spec: Object = new.get("spec", {})
    read: dict[str, list[int]] = {}
    for key in ("completedIndexes", "failedIndexes"):
        text = dig(new, "status", key)
        if text is None or (key == "failedIndexes" and "backoffLimitPerIndex" not in spec):
            continue
        try:
            read[key] = read_indexes(text, spec.get("completions", 0))
        except DecodeError as error:
            yield invalid_value(f"status.{key}", text, f"error parsing {key}: {error}")
    failed, completed = dig(new, "status", "failedIndexes"), dig(new, "status", "completedIndexes")
    if completed and spec.get("completionMode") != "Indexed":
        detail = "cannot set non-empty completedIndexes when non-indexed completion mode"
        yield invalid_value("status.completedIndexes", completed, detail)
    if failed is not None and "backoffLimitPerIndex" not in spec:
        detail = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
        yield invalid_value("status.failedIndexes", failed, detail)
    both = sorted(set(read.get("failedIndexes", [])) & set(read.get("completedIndexes", [])))
    if both:
        yield invalid_value(
            "status.failedIndexes", failed, f"failedIndexes and completedIndexes overlap at index: {both[0]}"
        )
