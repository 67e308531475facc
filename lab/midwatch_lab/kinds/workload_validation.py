"""Rules of what makes pods from a template, and what stands in all of them."""

from midwatch_lab.kinds import pod_validation, rules
from midwatch_lab.kinds.rules import Faults
from midwatch_lab.objects import Object, dig
from midwatch_lab.selectors import LabelSelector
from midwatch_lab.status import forbidden_field, invalid_value, required


def template(spec: Object, path: str) -> Faults:
    """Check the template of pods, and that the selector selects them."""
    found: Object = spec.get("template", {})
    labels = dig(found, "metadata", "labels")
    yield from rules.labels(labels, f"{path}.metadata.labels")
    selected = spec.get("selector")
    if selected is None or not LabelSelector.of(selected).matches(labels or {}):
        yield invalid_value(f"{path}.metadata.labels", labels, "`selector` does not match template `labels`")
    inner: Object = found.get("spec", {})
    yield from pod_validation.template_restart(inner, f"{path}.spec")
    yield from pod_validation.pod_spec(inner, f"{path}.spec", restart=(inner.get("restartPolicy", ""),))


def selector(spec: Object, path: str) -> Faults:
    """Check that there is a selector, and that it does not select everything."""
    selected = spec.get("selector")
    if selected is None:
        yield required(f"{path}.selector")
        return
    yield from rules.label_selector(selected, f"{path}.selector")
    if rules.is_empty_selector(selected):
        yield invalid_value(f"{path}.selector", selected, "empty selector is invalid for deployment")


def deployment(obj: Object) -> Faults:
    """Check a Deployment."""
    spec: Object = obj.get("spec", {})
    yield from rules.non_negative(spec, "replicas", "spec")
    yield from selector(spec, "spec")
    yield from template(spec, "spec.template")
    yield from _strategy(spec.get("strategy", {}))
    for key in ("minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"):
        yield from rules.non_negative(spec, key, "spec")
    if spec.get("progressDeadlineSeconds", 600) <= spec.get("minReadySeconds", 0):
        detail = "must be greater than minReadySeconds"
        yield invalid_value("spec.progressDeadlineSeconds", spec.get("progressDeadlineSeconds"), detail)


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
    zeros = (0, "0%", "0")
    if limits.get("maxUnavailable") in zeros and limits.get("maxSurge") in zeros:
        where = f"{path}.rollingUpdate.maxUnavailable"
        yield invalid_value(where, limits["maxUnavailable"], "may not be 0 when `maxSurge` is 0")


def replica_set(obj: Object) -> Faults:
    """Check a ReplicaSet."""
    spec: Object = obj.get("spec", {})
    yield from rules.non_negative(spec, "replicas", "spec")
    yield from rules.non_negative(spec, "minReadySeconds", "spec")
    yield from selector(spec, "spec")
    yield from template(spec, "spec.template")
