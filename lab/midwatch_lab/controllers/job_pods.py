"""The pods of a Job: which have ended and how, which indexes they are of, and what the next one is made like."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from midwatch_contracts.times import unix_seconds
from midwatch_lab.controllers.pod_control import FINISHED, is_active, is_ready, pod_of
from midwatch_lab.job_indexes import read_indexes
from midwatch_lab.objects import Object, annotations_of, copied, dig, is_terminating, meta, name_of, uid_of

FINALIZER: Final = "batch.kubernetes.io/job-tracking"
"""Keeps a pod until its end is counted."""
INDEX: Final = "batch.kubernetes.io/job-completion-index"
FAILURES: Final = "batch.kubernetes.io/job-index-failure-count"


def is_indexed(job: Object) -> bool:
    """Tell whether each pod of a Job is of an index."""
    return dig(job, "spec", "completionMode") == "Indexed"


def is_held(pod: Object) -> bool:
    """Tell whether a pod waits for its end to be counted."""
    return FINALIZER in meta(pod).get("finalizers", [])


def index_of(pod: Object) -> int:
    """Return the index of a pod, -1 where it has none."""
    text = annotations_of(pod).get(INDEX, "")
    return int(text) if text.isdecimal() else -1


def has_failed(job: Object, pod: Object) -> bool:
    """Tell whether a pod counts as failed: also one that is made to go, unless the Job waits for its end."""
    phase = dig(pod, "status", "phase")
    if phase in FINISHED:
        return phase == "Failed"
    return is_terminating(pod) and dig(job, "spec", "podReplacementPolicy") != "Failed"


def has_succeeded(pod: Object) -> bool:
    """Tell whether a pod ended well."""
    return dig(pod, "status", "phase") == "Succeeded"


def finish_time(pod: Object, now: float) -> float:
    """Return when the last container of a pod ended (Unix seconds), as far as its status says."""
    ends = [
        unix_seconds(end)
        for item in dig(pod, "status", "containerStatuses", default=[])
        if (end := dig(item, "state", "terminated", "finishedAt"))
    ]
    if ends:
        return max(ends)
    deleted = meta(pod).get("deletionTimestamp")
    return unix_seconds(deleted) if deleted else now


def restarts_of(pods: Iterable[Object]) -> int:
    """Return how often containers of pods that run were started again."""
    return sum(
        int(item.get("restartCount", 0))
        for pod in pods
        if dig(pod, "status", "phase") in ("Running", "Pending")
        for key in ("containerStatuses", "initContainerStatuses")
        for item in dig(pod, "status", key, default=[])
    )


@dataclass(frozen=True)
class Tally:
    """A Job's pods at one moment, with the counts that its status already holds."""

    job: Object
    pods: list[Object]

    @property
    def active(self) -> list[Object]:
        """The pods that are neither finished nor on their way out."""
        return [pod for pod in self.pods if is_active(pod)]

    @property
    def ready(self) -> int:
        """How many of the active pods are ready."""
        return sum(is_ready(pod) for pod in self.active)

    @property
    def terminating(self) -> int:
        """How many pods are on their way out and have not ended."""
        return sum(is_terminating(pod) and dig(pod, "status", "phase") not in FINISHED for pod in self.pods)

    def uncounted(self) -> tuple[list[Object], list[Object]]:
        """Return the pods whose end no count holds yet: those that succeeded, and those that failed."""
        held = [pod for pod in self.pods if is_held(pod)]
        succeeded = [pod for pod in held if has_succeeded(pod)]
        failed = [pod for pod in held if has_failed(self.job, pod)]
        return succeeded, failed

    def succeeded_indexes(self) -> set[int]:
        """Return the indexes that are done, by the status and by pods that are not counted yet."""
        wanted = int(dig(self.job, "spec", "completions", default=0))
        done = set(read_indexes(dig(self.job, "status", "completedIndexes", default=""), wanted))
        return done | {index_of(pod) for pod in self.uncounted()[0] if 0 <= index_of(pod) < wanted}

    def failed_indexes(self) -> set[int]:
        """Return the indexes that have failed more often than the limit an index allows."""
        limit = dig(self.job, "spec", "backoffLimitPerIndex")
        if limit is None:
            return set()
        wanted = int(dig(self.job, "spec", "completions", default=0))
        known = set(read_indexes(dig(self.job, "status", "failedIndexes", default=""), wanted))
        given_up = {index_of(pod) for pod in self.uncounted()[1] if self.failures(pod) > limit}
        return (known | given_up) - self.succeeded_indexes()

    @staticmethod
    def failures(pod: Object) -> int:
        """Return how often an index has failed, once this pod has."""
        return int(annotations_of(pod).get(FAILURES, "0")) + 1

    def free_indexes(self) -> list[int]:
        """Return the indexes for which a pod is to be made, the lowest first."""
        taken = self.succeeded_indexes() | self.failed_indexes() | {index_of(pod) for pod in self.active}
        if dig(self.job, "spec", "podReplacementPolicy") == "Failed":
            taken |= {index_of(pod) for pod in self.pods if is_terminating(pod) and not has_failed(self.job, pod)}
        return [index for index in range(int(dig(self.job, "spec", "completions", default=0))) if index not in taken]

    def doubled(self) -> list[Object]:
        """Return active pods of an index that has another one already."""
        seen: Counter[int] = Counter()
        found: list[Object] = []
        for pod in self.active:
            seen[index_of(pod)] += 1
            if seen[index_of(pod)] > 1:
                found.append(pod)
        return found


def next_pod(job: Object, index: int | None, failures: int) -> Object:
    """Return the pod that is to be made next; `failures` is how often its index has failed."""
    pod = pod_of(job, dig(job, "spec", "template"))
    pod["metadata"]["finalizers"] = [*pod["metadata"].get("finalizers", []), FINALIZER]
    if index is None:
        return pod
    metadata: Object = pod["metadata"]
    metadata["generateName"] = f"{name_of(job)}-{index}-"
    metadata["labels"] = {**metadata.get("labels", {}), INDEX: str(index)}
    annotations = {**metadata.get("annotations", {}), INDEX: str(index)}
    if "backoffLimitPerIndex" in job["spec"]:
        annotations[FAILURES] = str(failures)
    metadata["annotations"] = annotations
    pod["spec"]["hostname"] = f"{name_of(job)}-{index}"
    source = {"fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.labels['{INDEX}']"}}
    for kind in ("containers", "initContainers"):
        for container in pod["spec"].get(kind, []):
            known: list[Object] = container.setdefault("env", [])
            if not any(item.get("name") == "JOB_COMPLETION_INDEX" for item in known):
                known.append({"name": "JOB_COMPLETION_INDEX", "valueFrom": copied(source)})
    return pod


def with_uids(pods: Iterable[Object]) -> list[str]:
    """Return the uids of pods."""
    return [uid_of(pod) for pod in pods]
