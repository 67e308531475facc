"""Rules of Jobs: their specification, what may change of it, and what their policies may say."""

from typing import Any, Final

from midwatch_lab import names
from midwatch_lab.errors import DecodeError
from midwatch_lab.job_indexes import read_indexes
from midwatch_lab.kinds import rules
from midwatch_lab.kinds.go_structs import go_struct
from midwatch_lab.kinds.rules import Faults
from midwatch_lab.kinds.workload_validation import any_template, not_selected
from midwatch_lab.objects import Object, dig, labels_of, name_of, uid_of
from midwatch_lab.status import FieldFault, duplicate, invalid_value, required, unsupported

CONTROLLER_UID: Final = "batch.kubernetes.io/controller-uid"
JOB_NAME: Final = "batch.kubernetes.io/job-name"
_OLD_CONTROLLER_UID: Final = "controller-uid"
_OLD_JOB_NAME: Final = "job-name"
_INDEXED: Final = "Indexed"
_PARALLEL_MAX: Final = 100_000
_MANY: Final = 100_000
"""Completions above which a Job with a limit an index may not do as much at once."""
_PARALLEL_OF_MANY: Final = 10_000
_MANAGED_BY_MAX: Final = 63
_NON_NEGATIVE: Final = (
    "parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished",
    "backoffLimitPerIndex", "maxFailedIndexes",
)  # fmt: skip


def generated_labels(name: str, uid: str) -> dict[str, str]:
    """Return the labels by which a Job knows its pods: today's, and those from before they had a prefix."""
    return {_OLD_CONTROLLER_UID: uid, _OLD_JOB_NAME: name, CONTROLLER_UID: uid, JOB_NAME: name}


def job(obj: Object) -> Faults:
    """Check a Job."""
    yield from _own_selector(obj)
    yield from job_spec(obj.get("spec", {}))
    yield from _pod_names(obj)


def _own_selector(obj: Object) -> Faults:
    """Check that a Job which brings no selector has the one that was made for it."""
    spec: Object = obj.get("spec", {})
    if spec.get("manualSelector"):
        return
    labels = labels_of(spec.get("template", {}))
    for key, value in generated_labels(name_of(obj), uid_of(obj)).items():
        if labels.get(key) != value:
            where = f"spec.template.metadata.labels[{key}]"
            yield invalid_value(where, labels, f"must be '{value}'")
    if spec.get("selector") != {"matchLabels": {CONTROLLER_UID: uid_of(obj)}}:
        yield invalid_value("spec.selector", spec.get("selector"), "`selector` not auto-generated")


def _pod_names(obj: Object) -> Faults:
    spec: Object = obj.get("spec", {})
    if spec.get("completionMode") == _INDEXED and spec.get("completions", 0) > 0:
        last = f"{name_of(obj)}-{spec['completions'] - 1}"
        if names.dns_label_fault(last):
            detail = f"will not able to create pod with invalid DNS label: {last}"
            yield invalid_value("metadata.name", name_of(obj), detail)


def job_spec(spec: Object) -> Faults:
    """Check the specification of a Job, selector and all."""
    yield from without_selector(spec, "spec")
    if spec.get("selector") is None:
        yield required("spec.selector")
    else:
        yield from rules.label_selector(spec["selector"], "spec.selector")
    yield from not_selected(spec, "spec")


def without_selector(spec: Object, path: str) -> Faults:
    """Check what stands in Jobs and in the templates of them alike."""
    for key in _NON_NEGATIVE:
        yield from rules.non_negative(spec, key, path)
    if "maxFailedIndexes" in spec and "backoffLimitPerIndex" not in spec:
        yield required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified")
    yield from _manager(spec.get("managedBy"), f"{path}.managedBy")
    yield from _completion(spec, path)
    policy = spec.get("podFailurePolicy")
    if policy is not None:
        yield from _failure_policy(spec, policy, f"{path}.podFailurePolicy")
    yield from _success_policy(spec, f"{path}.successPolicy")
    allowed = ("Failed",) if policy is not None else ("Failed", "TerminatingOrFailed")
    yield from rules.one_of(spec, "podReplacementPolicy", path, allowed)
    yield from any_template(spec.get("template", {}), f"{path}.template")
    restart, where = dig(spec, "template", "spec", "restartPolicy", default=""), f"{path}.template.spec.restartPolicy"
    if restart not in ("OnFailure", "Never"):
        yield required(where, 'valid values: "OnFailure", "Never"')
    elif policy is not None and restart != "Never":
        yield invalid_value(where, restart, 'only "Never" is supported when podFailurePolicy is specified')


def _manager(name: str | None, path: str) -> Faults:
    if name is None:
        return
    domain, slash, rest = name.partition("/")
    if not slash or not rest or names.dns_subdomain_fault(domain):
        yield invalid_value(path, name, 'must be a domain-prefixed path (such as "acme.io/foo")')
    if len(name) > _MANAGED_BY_MAX:
        yield FieldFault(path, "FieldValueTooLong", f"Too long: may not be more than {_MANAGED_BY_MAX} bytes")


def _completion(spec: Object, path: str) -> Faults:
    mode = spec.get("completionMode")
    if mode is not None and mode not in ("NonIndexed", _INDEXED):
        yield unsupported(f"{path}.completionMode", mode, ("NonIndexed", _INDEXED))
    if mode == _INDEXED:
        yield from _indexed(spec, path)
        return
    for key in ("backoffLimitPerIndex", "maxFailedIndexes"):
        if key in spec:
            yield invalid_value(f"{path}.{key}", spec[key], "requires indexed completion mode")


def _indexed(spec: Object, path: str) -> Faults:
    completions, parallelism, failed = (spec.get(key) for key in ("completions", "parallelism", "maxFailedIndexes"))
    if completions is None:
        yield required(f"{path}.completions", f"when completion mode is {_INDEXED}")
    if parallelism is not None and parallelism > _PARALLEL_MAX:
        detail = f"must be less than or equal to {_PARALLEL_MAX} when completion mode is {_INDEXED}"
        yield invalid_value(f"{path}.parallelism", parallelism, detail)
    if completions is not None and failed is not None and failed > completions:
        yield invalid_value(f"{path}.maxFailedIndexes", failed, "must be less than or equal to completions")
    if failed is not None and failed > _MANY:
        yield invalid_value(f"{path}.maxFailedIndexes", failed, f"must be less than or equal to {_MANY}")
    if completions is None or completions <= _MANY or "backoffLimitPerIndex" not in spec:
        return
    limit = (
        f"must be less than or equal to {_PARALLEL_OF_MANY} when completions are above {_MANY} and used with backoff "
    )
    limit += "limit per index"
    if failed is None:
        yield required(f"{path}.maxFailedIndexes", f"must be specified when completions is above {_MANY}")
    if parallelism is not None and parallelism > _PARALLEL_OF_MANY:
        yield invalid_value(f"{path}.parallelism", parallelism, limit)
    if failed is not None and failed > _PARALLEL_OF_MANY:
        yield invalid_value(f"{path}.maxFailedIndexes", failed, limit)


def _failure_policy(spec: Object, policy: Object, path: str) -> Faults:
    inner: Object = dig(spec, "template", "spec", default={})
    known = {item.get("name") for key in ("containers", "initContainers") for item in inner.get(key, [])}
    for index, rule in enumerate(policy.get("rules", [])):
        where = f"{path}.rules[{index}]"
        action = rule.get("action", "")
        if action == "FailIndex" and "backoffLimitPerIndex" not in spec:
            yield invalid_value(f"{where}.action", action, "requires the backoffLimitPerIndex to be set")
        elif action not in ("Count", "FailIndex", "FailJob", "Ignore"):
            yield unsupported(f"{where}.action", action, ("Count", "FailIndex", "FailJob", "Ignore"))
        if "onExitCodes" in rule:
            yield from _exit_codes(rule["onExitCodes"], f"{where}.onExitCodes", known)
        for place, pattern in enumerate(rule.get("onPodConditions", [])):
            yield from _condition_pattern(pattern, f"{where}.onPodConditions[{place}]")
        both = [key in rule for key in ("onExitCodes", "onPodConditions")]
        if not any(both):
            yield _alone(where, "specifying one of OnExitCodes and OnPodConditions is required")
        elif all(both):
            yield _alone(where, "specifying both OnExitCodes and OnPodConditions is not supported")


def _alone(path: str, detail: str) -> FieldFault:
    return FieldFault(path, "FieldValueInvalid", f"Invalid value: {detail}")


def _exit_codes(codes: Object, path: str, known: set[Any]) -> Faults:
    operator, values = codes.get("operator", ""), codes.get("values", [])
    if operator not in ("In", "NotIn"):
        yield unsupported(f"{path}.operator", operator, ("In", "NotIn"))
    container = codes.get("containerName")
    if container is not None and container not in known:
        detail = "must be one of the container or initContainer names in the pod template"
        yield invalid_value(f"{path}.containerName", container, detail)
    if not values:
        yield invalid_value(f"{path}.values", values, "at least one value is required")
    for index, value in enumerate(values):
        if value in values[:index]:
            yield duplicate(f"{path}.values[{index}]", value)
        elif operator == "In" and value == 0:
            yield invalid_value(f"{path}.values[{index}]", value, "must not be 0 for the In operator")


def _condition_pattern(pattern: Object, path: str) -> Faults:
    for fault in names.label_key_faults(str(pattern.get("type", ""))):
        yield invalid_value(f"{path}.type", pattern.get("type", ""), fault)
    if pattern.get("status") not in ("False", "True", "Unknown"):
        yield unsupported(f"{path}.status", pattern.get("status", ""), ("False", "True", "Unknown"))


def _success_policy(spec: Object, path: str) -> Faults:
    policy = spec.get("successPolicy")
    if policy is None:
        return
    if spec.get("completionMode") != _INDEXED:
        detail = f"Invalid value: {go_struct('SuccessPolicy', policy)}: requires indexed completion mode"
        yield FieldFault(path, "FieldValueInvalid", detail)
        return
    if not policy.get("rules"):
        yield required(f"{path}.rules", "at least one rules must be specified when the successPolicy is specified")
    for index, rule in enumerate(policy.get("rules", [])):
        yield from _success_rule(rule, f"{path}.rules[{index}]", spec.get("completions"))


def _success_rule(rule: Object, path: str, completions: int | None) -> Faults:
    count, indexes = rule.get("succeededCount"), rule.get("succeededIndexes")
    if count is None and indexes is None:
        yield required(path, "at least one of succeededCount or succeededIndexes must be specified")
    chosen = 0
    if indexes is not None:
        try:
            chosen = len(read_indexes(indexes, completions or 0))
        except DecodeError as error:
            yield invalid_value(f"{path}.succeededIndexes", indexes, f"error parsing succeededIndexes: {error}")
    if count is None:
        return
    yield from rules.non_negative(rule, "succeededCount", path)
    where = f"{path}.succeededCount"
    if completions is not None and count > completions:
        detail = f"must be less than or equal to {completions} (the number of specified completions)"
        yield invalid_value(where, count, detail)
    if indexes is not None and count > chosen:
        what = f"{chosen} (the number of indexes in the specified succeededIndexes field)"
        yield invalid_value(where, count, f"must be less than or equal to {what}")
