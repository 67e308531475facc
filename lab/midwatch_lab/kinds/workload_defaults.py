"""Defaults of StatefulSets, DaemonSets, Jobs, CronJobs, and bare templates of pods."""

from typing import Final

from midwatch_lab.kinds.pod_defaults import filled, pod_spec
from midwatch_lab.objects import Object, dig
from midwatch_lab.status import bad_request

TEMPLATE_GENERATION: Final = "deprecated.daemonset.template.generation"
"""The annotation as which `apps/v1` still shows how often a DaemonSet's template changed."""
_BACKOFF_LIMIT: Final = 6
_NO_LIMIT: Final = 2**31 - 1


def template(owner: Object) -> None:
    """Fill in the template of pods that a specification holds (in place)."""
    pod_spec(owner.setdefault("template", {}).setdefault("spec", {}))


def stateful_set(obj: Object) -> None:
    """Fill in a StatefulSet."""
    spec = obj.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    filled(spec, podManagementPolicy="OrderedReady")
    strategy: Object = spec.setdefault("updateStrategy", {})
    filled(strategy, type="RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        strategy.setdefault("rollingUpdate", {}).setdefault("partition", 0)
    spec.setdefault("revisionHistoryLimit", 10)
    filled(spec.setdefault("persistentVolumeClaimRetentionPolicy", {}), whenDeleted="Retain", whenScaled="Retain")
    for claim in spec.get("volumeClaimTemplates", []):
        claim["apiVersion"], claim["kind"] = "v1", "PersistentVolumeClaim"
        filled(claim.setdefault("spec", {}), volumeMode="Filesystem")
        filled(claim.setdefault("status", {}), phase="Pending")
    template(spec)


def daemon_set(obj: Object) -> None:
    """Fill in a DaemonSet.

    Raises:
        ApiError: 400 when the annotation that counts its templates holds no number.
    """
    spec = obj.setdefault("spec", {})
    strategy: Object = spec.setdefault("updateStrategy", {})
    filled(strategy, type="RollingUpdate")
    rolls = strategy["type"] == "RollingUpdate"
    if rolls or "rollingUpdate" in strategy:
        rolling: Object = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", 1 if rolls else 0)
        rolling.setdefault("maxSurge", 0)
    spec.setdefault("revisionHistoryLimit", 10)
    number = obj["metadata"].setdefault("annotations", {}).setdefault(TEMPLATE_GENERATION, "0")
    if not number.removeprefix("-").isdecimal():
        why = f'strconv.ParseInt: parsing "{number}": invalid syntax'
        raise bad_request(f'DaemonSet in version "v1" cannot be handled as a DaemonSet: {why}')
    template(spec)


def job(obj: Object) -> None:
    """Fill in a Job."""
    spec = obj.setdefault("spec", {})
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", _NO_LIMIT if "backoffLimitPerIndex" in spec else _BACKOFF_LIMIT)
    filled(spec, completionMode="NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("podReplacementPolicy", "Failed" if "podFailurePolicy" in spec else "TerminatingOrFailed")
    spec.setdefault("manualSelector", False)
    for rule in dig(spec, "podFailurePolicy", "rules", default=[]):
        for condition in rule.get("onPodConditions", []):
            filled(condition, status="True")
    template(spec)
    take_labels(obj)


def take_labels(obj: Object) -> None:
    """Give a Job without labels those of its template: the very map, as the original does, so that they stay alike."""
    labels = dig(obj, "spec", "template", "metadata", "labels")
    if labels and not obj["metadata"].get("labels"):
        obj["metadata"]["labels"] = labels


def cron_job(obj: Object) -> None:
    """Fill in a CronJob; of its Job the template of pods alone, since the Job gets its own when it is made."""
    spec = obj.setdefault("spec", {})
    filled(spec, concurrencyPolicy="Allow")
    spec.setdefault("suspend", False)
    spec.setdefault("successfulJobsHistoryLimit", 3)
    spec.setdefault("failedJobsHistoryLimit", 1)
    template(spec.setdefault("jobTemplate", {}).setdefault("spec", {}))


def pod_template(obj: Object) -> None:
    """Fill in a PodTemplate."""
    template(obj)
