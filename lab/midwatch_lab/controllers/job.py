"""The Job controller: pods until enough have succeeded, or too many have failed.

Each end of a pod is counted once, even when the lab is killed in between: it is first noted in the status, then the
pod's finalizer goes, and only then does the count rise.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from midwatch_contracts.clock import Clock
from midwatch_contracts.times import unix_seconds
from midwatch_lab.controllers.job_pods import (
    FINALIZER,
    Tally,
    finish_time,
    index_of,
    is_held,
    is_indexed,
    next_pod,
    with_uids,
)
from midwatch_lab.controllers.job_policies import Verdict, deadline_of, rule_of, verdict
from midwatch_lab.controllers.pod_control import PodControl
from midwatch_lab.controllers.recorder import Recorder
from midwatch_lab.controllers.runtime import Controller, Key, owner_key
from midwatch_lab.job_indexes import indexes_text
from midwatch_lab.kinds.resources import JOBS, PODS
from midwatch_lab.objects import (
    Object,
    condition,
    controller_of,
    copied,
    dig,
    is_condition_true,
    is_terminating,
    name_of,
    namespace_of,
    set_condition,
    uid_of,
)
from midwatch_lab.registry.registry import Registry
from midwatch_lab.registry.upkeep import DeleteOptions
from midwatch_lab.store.store import Change

_SELF: Final = "kubernetes.io/job-controller"
_BACKOFF_S: Final = 10.0
_BACKOFF_MAX_S: Final = 600.0
_ENDS: Final = ("Complete", "Failed")


def end_of(job: Object) -> str:
    """Return the condition by which a Job is over, empty while it is not."""
    return next((kind for kind in _ENDS if is_condition_true(job, kind)), "")


class JobController(Controller):
    """Makes, counts and deletes the pods of Jobs."""

    principal = "system:serviceaccount:kube-system:job-controller"

    def __init__(self, registry: Registry, clock: Clock, recorder: Recorder) -> None:
        super().__init__(registry, clock)
        self.pods = PodControl(self, recorder, "job-controller")

    def interested(self, change: Change) -> Iterable[Key]:
        """Return a Job itself, or one whose pod changed."""
        if change.key == JOBS.key:
            yield namespace_of(change.obj), name_of(change.obj)
        elif change.key == PODS.key:
            yield from owner_key(change, "Job")

    def reconcile(self, key: Key) -> float | None:
        """Count what has ended, make what is missing, and say how far it is."""
        job = self.registry.find(JOBS, *key)
        if job is None:
            self._release_orphans(key)
            return None
        if dig(job, "spec", "managedBy", default=_SELF) != _SELF:
            return None
        if end_of(job):
            self._release(self.pods.of(job))
            return self._expire(job)
        if is_terminating(job):
            self._release(self.pods.of(job))
            return None
        self.pods.adopt(job)
        job = self._begin(job)
        tally = self._counted(job)
        ending = self._ending(tally)
        if ending is not None:
            return self._end(tally, ending)
        if dig(job, "spec", "suspend"):
            self._stop(tally, tally.active)
            again = None
        else:
            again = self._supply(tally)
        self._report(replace(tally, pods=self.pods.of(job)))
        return again

    def _begin(self, job: Object) -> Object:
        """Note when the Job began, was suspended or was resumed."""
        status: Object = copied(job.get("status", {}))
        suspended, known = bool(dig(job, "spec", "suspend")), condition(job, "Suspended")
        if suspended and not is_condition_true(job, "Suspended"):
            self._condition(status, "Suspended", "True", "JobSuspended", "Job suspended")
            self.pods.say(job, "Suspended", "Job suspended")
        elif not suspended and known is not None and known.get("status") == "True":
            self._condition(status, "Suspended", "False", "JobResumed", "Job resumed")
            status["startTime"] = self.registry.now_text()
            self.pods.say(job, "Resumed", "Job resumed")
        elif not suspended and "startTime" not in status:
            status["startTime"] = self.registry.now_text()
        return self._write(job, status)

    def _counted(self, job: Object) -> Tally:
        """Bring the ends of pods into the counts of the status: noted, released, counted."""
        tally = Tally(job, self.pods.of(job))
        succeeded, failed = tally.uncounted()
        ignored = [pod for pod in failed if rule_of(job, pod)[0] == "Ignore"]
        failed = [pod for pod in failed if pod not in ignored]
        status: Object = copied(job.get("status", {}))
        noted: Object = status.get("uncountedTerminatedPods", {})
        for word, pods in (("succeeded", succeeded), ("failed", failed)):
            known: list[str] = noted.get(word, [])
            noted[word] = [*known, *(uid for uid in with_uids(pods) if uid not in known)]
        if is_indexed(job):
            noted["succeeded"] = []
            status |= self._index_counts(tally)
        if any(noted.values()):
            status["uncountedTerminatedPods"] = noted
        job = self._write(job, status)
        self._release([*succeeded, *failed, *ignored])
        status = copied(job.get("status", {}))
        noted = status.get("uncountedTerminatedPods", {})
        for word in ("succeeded", "failed"):
            more = len(noted.get(word, []))
            if more:
                status[word] = status.get(word, 0) + more
        status["uncountedTerminatedPods"] = {}
        return Tally(self._write(job, status), self.pods.of(job))

    @staticmethod
    def _index_counts(tally: Tally) -> Object:
        """Return what the status of an Indexed Job says of its indexes, which are counted by themselves."""
        done = tally.succeeded_indexes()
        found: Object = {"completedIndexes": indexes_text(done), "succeeded": len(done)}
        if "backoffLimitPerIndex" in tally.job["spec"]:
            found["failedIndexes"] = indexes_text(tally.failed_indexes())
        return {key: value for key, value in found.items() if value or key == "failedIndexes"}

    def _ending(self, tally: Tally) -> Verdict | None:
        """Return why the Job is to end: as announced before, or as it is found now."""
        for kind, target in (("Complete", "SuccessCriteriaMet"), ("Failed", "FailureTarget")):
            known = condition(tally.job, target)
            if known is not None and known.get("status") == "True":
                return Verdict(kind, known.get("reason", ""), known.get("message", ""))
        status: Object = tally.job.get("status", {})
        return verdict(tally, status.get("succeeded", 0), status.get("failed", 0), self.clock.now())

    def _end(self, tally: Tally, ending: Verdict) -> float | None:
        """Announce the end, end the pods that still run, and once none does, say that it is over."""
        status: Object = copied(tally.job.get("status", {}))
        if not is_condition_true(tally.job, ending.target):
            self._condition(status, ending.target, "True", ending.reason, ending.message)
            tally = replace(tally, job=self._write(tally.job, status))
        for pod in tally.active:
            self.pods.delete(tally.job, pod)
        job = self.registry.read(JOBS, namespace_of(tally.job), name_of(tally.job))
        tally = self._counted(job)
        self._report(tally)
        job = self.registry.read(JOBS, namespace_of(job), name_of(job))
        if tally.terminating or tally.active:
            return None
        status = copied(job["status"])
        self._condition(status, ending.kind, "True", ending.reason, ending.message)
        if ending.kind == "Complete":
            status["completionTime"] = self.registry.now_text()
            self.pods.say(job, "Completed", "Job completed")
        else:
            self.pods.say(job, ending.reason, ending.message, kind="Warning")
        return self._expire(self._write(job, status))

    def _supply(self, tally: Tally) -> float | None:
        """Make the pods that are missing and stop those that are too many; returns when to look again."""
        active, job = tally.active, tally.job
        doubled = tally.doubled() if is_indexed(job) else []
        surplus = max(0, len(active) - self._wanted(tally))
        too_many = [*doubled, *(pod for pod in reversed(active) if pod not in doubled)][: max(surplus, len(doubled))]
        self._stop(tally, too_many)
        missing = self._wanted(tally) - len(active) + len(too_many)
        if dig(job, "spec", "podReplacementPolicy") == "Failed":
            missing -= tally.terminating
        wait = self._back_off(tally)
        if missing > 0 and wait <= 0:
            indexes = tally.free_indexes() if is_indexed(job) else [None] * missing
            for index in indexes[:missing]:
                self.pods.make(job, next_pod(job, index, self._failures(tally, index)))
        ends = [deadline - self.clock.now() for deadline in [deadline_of(job)] if deadline is not None]
        return min([*ends, *([wait] if wait > 0 else [])], default=None)

    @staticmethod
    def _failures(tally: Tally, index: int | None) -> int:
        pods = [pod for pod in tally.pods if index is not None and index_of(pod) == index]
        return max((tally.failures(pod) for pod in pods), default=0)

    @staticmethod
    def _wanted(tally: Tally) -> int:
        """Return how many pods are to run at this moment."""
        spec, done = tally.job["spec"], int(dig(tally.job, "status", "succeeded", default=0))
        parallelism = int(spec.get("parallelism", 1))
        if "completions" not in spec:
            return len(tally.active) if done else parallelism
        left = int(spec["completions"]) - done - len(tally.failed_indexes())
        return max(0, min(parallelism, left))

    def _back_off(self, tally: Tally) -> float:
        """Return the seconds until a pod may be made: twice as many after each failure since the last success."""
        now = self.clock.now()
        ended = sorted((pod for pod in tally.pods if dig(pod, "status", "phase") in ("Failed", "Succeeded")),
                       key=lambda pod: finish_time(pod, now))  # fmt: skip
        row = 0
        for pod in reversed(ended):
            if dig(pod, "status", "phase") == "Succeeded":
                break
            row += 1
        if not row:
            return 0.0
        pause = min(_BACKOFF_MAX_S, _BACKOFF_S * 2.0 ** (row - 1))
        return finish_time(ended[-1], now) + pause - now

    def _stop(self, tally: Tally, pods: list[Object]) -> None:
        """Delete pods that are too many; they count as nothing."""
        for pod in pods:
            self._release([pod])
            current = self.registry.find(PODS, namespace_of(pod), name_of(pod))
            if current is not None and not is_terminating(current):
                self.pods.delete(tally.job, current)

    def _release(self, pods: list[Object]) -> None:
        """Take our finalizer off pods."""
        for pod in pods:
            current = self.registry.find(PODS, namespace_of(pod), name_of(pod))
            if current is None or uid_of(current) != uid_of(pod) or not is_held(current):
                continue
            draft = copied(current)
            draft["metadata"]["finalizers"].remove(FINALIZER)
            origin = self.origin("patch", PODS, namespace_of(pod), name_of(pod))
            self.registry.update(PODS, current, draft, origin)

    def _release_orphans(self, key: Key) -> None:
        """Let the pods go that a Job left behind which is no more."""
        for pod in self.registry.store.items(PODS.key, key[0]):
            owner = controller_of(pod)
            if is_held(pod) and owner is not None and (owner.get("kind"), owner.get("name")) == ("Job", key[1]):
                self._release([pod])

    def _report(self, tally: Tally) -> None:
        """Write the counts of the moment."""
        job = self.registry.find(JOBS, namespace_of(tally.job), name_of(tally.job))
        if job is None:
            return
        tally = Tally(job, tally.pods)
        status: Object = copied(job.get("status", {}))
        active = len(tally.active)
        status |= {"active": active, "ready": tally.ready, "terminating": tally.terminating}
        if not active:
            del status["active"]
        status.setdefault("uncountedTerminatedPods", {})
        self._write(job, status)

    def _condition(self, status: Object, kind: str, value: str, reason: str, message: str) -> None:
        now = self.registry.now_text()
        new = {
            "type": kind,
            "status": value,
            "lastProbeTime": now,
            "lastTransitionTime": now,
            "reason": reason,
            "message": message,
        }
        set_condition(status.setdefault("conditions", []), new)

    def _write(self, job: Object, status: Object) -> Object:
        self.write_status(JOBS, job, status)
        return self.registry.read(JOBS, namespace_of(job), name_of(job))

    def _expire(self, job: Object) -> float | None:
        """Delete a Job that has been over for as long as it asked to be kept; returns when that will be."""
        kept = dig(job, "spec", "ttlSecondsAfterFinished")
        if kept is None or is_terminating(job):
            return None
        over = condition(job, end_of(job)) or {}
        left = unix_seconds(over["lastTransitionTime"]) + kept - self.clock.now()
        if left > 0:
            return left
        options = DeleteOptions(propagation="Foreground", uid=uid_of(job))
        self.registry.delete(JOBS, job, options, self.origin("delete", JOBS, namespace_of(job), name_of(job)))
        return None
