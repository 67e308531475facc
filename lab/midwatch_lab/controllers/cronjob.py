"""The CronJob controller: a Job at each time of a schedule, as many at once and as many kept as the spec allows."""

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from midwatch_contracts.clock import Clock
from midwatch_contracts.times import rfc3339, unix_seconds
from midwatch_lab import cron
from midwatch_lab.controllers.job import end_of
from midwatch_lab.controllers.recorder import Recorder
from midwatch_lab.controllers.runtime import Controller, Key, owner_key
from midwatch_lab.cron import Schedule
from midwatch_lab.errors import ApiError, CronError
from midwatch_lab.kinds.resources import CRON_JOBS, JOBS
from midwatch_lab.objects import (
    Object,
    copied,
    dig,
    is_controlled_by,
    is_terminating,
    meta,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from midwatch_lab.registry.registry import Registry
from midwatch_lab.registry.upkeep import DeleteOptions
from midwatch_lab.store.store import Change

SCHEDULED: Final = "batch.kubernetes.io/cronjob-scheduled-timestamp"
_COMPONENT: Final = "cronjob-controller"
_MISSED_TOLD: Final = 100
"""Missed times from which on the owner is told to look at the clock or the deadline."""
_CONFLICT: Final = "AlreadyExists"


class CronJobController(Controller):
    """Makes Jobs when they are due."""

    principal = "system:serviceaccount:kube-system:cronjob-controller"

    def __init__(self, registry: Registry, clock: Clock, recorder: Recorder) -> None:
        super().__init__(registry, clock)
        self.recorder = recorder

    def interested(self, change: Change) -> Iterable[Key]:
        """Return a CronJob itself, or one whose Job changed."""
        if change.key == CRON_JOBS.key:
            yield namespace_of(change.obj), name_of(change.obj)
        elif change.key == JOBS.key:
            yield from owner_key(change, "CronJob")

    def reconcile(self, key: Key) -> float | None:
        """Look after the Jobs that there are, then make the one that is due; returns when the next will be."""
        found = self.registry.find(CRON_JOBS, *key)
        if found is None or is_terminating(found):
            return None
        jobs = [job for job in self.registry.store.items(JOBS.key, key[0]) if is_controlled_by(job, found)]
        found = self._follow(found, jobs)
        self._tidy(found, jobs)
        if dig(found, "spec", "suspend"):
            return None
        try:
            schedule = cron.parse(dig(found, "spec", "schedule"), dig(found, "spec", "timeZone", default=""))
        except CronError as error:
            self._say(found, "UnparseableSchedule", f"unparseable schedule: {error}", kind="Warning")
            return None
        due = self._due(found, schedule)
        if due is not None:
            self._start(found, jobs, due, schedule)
        following = schedule.after(self.clock.now())
        return None if following is None else max(0.0, following - self.clock.now())

    def _follow(self, found: Object, jobs: list[Object]) -> Object:
        """Keep the status's list of Jobs that run, and the time of the last that ended well."""
        status: Object = copied(found.get("status", {}))
        known: dict[str, Object] = {str(item.get("uid")): item for item in status.get("active", [])}
        active: list[Object] = []
        for job in jobs:
            ended = end_of(job)
            if ended and uid_of(job) in known:
                text = f"Saw completed job: {name_of(job)}, condition: {ended}"
                self._say(found, "SawCompletedJob", text)
            if ended == "Complete":
                last = dig(job, "status", "completionTime")
                before = status.get("lastSuccessfulTime")
                if last and (before is None or unix_seconds(last) > unix_seconds(before)):
                    status["lastSuccessfulTime"] = last
            elif not ended and not is_terminating(job):
                active.append(known.get(uid_of(job)) or _reference(job))
        for uid, item in known.items():
            if all(uid_of(job) != uid for job in jobs):
                self._say(found, "MissingJob", f"Active job went missing: {item.get('name')}")
        status["active"] = active
        if not active:
            del status["active"]
        return self._write(found, status)

    def _tidy(self, found: Object, jobs: list[Object]) -> None:
        """Delete the oldest Jobs that are over, beyond those that are to be kept."""
        for kind, key in (("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")):
            over = sorted((job for job in jobs if end_of(job) == kind), key=_began)
            for job in over[: max(0, len(over) - int(dig(found, "spec", key, default=1)))]:
                self._delete(found, job)

    def _due(self, found: Object, schedule: Schedule) -> float | None:
        """Return the last time that is due and was not served, None where there is none or it is too late for it."""
        now, deadline = self.clock.now(), dig(found, "spec", "startingDeadlineSeconds")
        last = dig(found, "status", "lastScheduleTime") or meta(found)["creationTimestamp"]
        since = unix_seconds(last)
        if deadline is not None:
            since = max(since, now - deadline)
        due, missed = _latest(schedule, since, now)
        if missed > _MISSED_TOLD:
            text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
            self._say(found, "TooManyMissedTimes", text, kind="Warning")
        return due

    def _start(self, found: Object, jobs: list[Object], due: float, schedule: Schedule) -> None:
        running = [job for job in jobs if not end_of(job) and not is_terminating(job)]
        policy = dig(found, "spec", "concurrencyPolicy")
        if policy == "Forbid" and running:
            text = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self._say(found, "JobAlreadyActive", text)
            return
        if policy == "Replace":
            for job in running:
                self._delete(found, job)
            found = self._follow(found, [job for job in jobs if job not in running])
        body = _job_of(found, due, schedule)
        origin = self.origin("create", JOBS, namespace_of(found), name_of(body))
        try:
            job = self.registry.create(JOBS, namespace_of(found), body, origin)
        except ApiError as error:
            if error.reason != _CONFLICT:
                self._say(found, "FailedCreate", f"Error creating job: {error}", kind="Warning")
                raise
            job = self.registry.read(JOBS, namespace_of(found), name_of(body))
        else:
            self._say(found, "SuccessfulCreate", f"Created job {name_of(job)}")
        status: Object = copied(found.get("status", {}))
        status["lastScheduleTime"] = _text(due)
        if is_controlled_by(job, found) and not end_of(job):
            status.setdefault("active", []).append(_reference(job))
        self._write(found, status)

    def _delete(self, found: Object, job: Object) -> None:
        options = DeleteOptions(propagation="Background", uid=uid_of(job))
        origin = self.origin("delete", JOBS, namespace_of(job), name_of(job))
        self.registry.delete(JOBS, job, options, origin)
        self._say(found, "SuccessfulDelete", f"Deleted job {name_of(job)}")

    def _write(self, found: Object, status: Object) -> Object:
        self.write_status(CRON_JOBS, found, status)
        return self.registry.read(CRON_JOBS, namespace_of(found), name_of(found))

    def _say(self, found: Object, reason: str, message: str, *, kind: str = "Normal") -> None:
        self.recorder.record(found, kind, reason, message, component=_COMPONENT)


def _latest(schedule: Schedule, since: float, now: float) -> tuple[float | None, int]:
    """Return the last time of a schedule in (since, now], and how many there are, as far as that is told of."""
    due, count = schedule.after(since), 0
    if due is None or due > now:
        return None, 0
    while (following := schedule.after(due)) is not None and following <= now:
        due, count = following, count + 1
        if count > _MISSED_TOLD:
            # The rest need not be walked through: times are at least a second apart, so look from just before now.
            span = following - due or 60.0
            return _last_before(schedule, due, now, span), count
    return due, count + 1


def _last_before(schedule: Schedule, known: float, now: float, span: float) -> float:
    """Return the last time of a schedule up to now, given one that is earlier; `span` is a first guess of a stride."""
    reach = span
    while now - reach > known:
        found = schedule.after(now - reach)
        if found is not None and found <= now:
            break
        reach *= 2
    due = max(known, now - reach)
    while (following := schedule.after(due)) is not None and following <= now:
        due = following
    return due


def _text(moment: float) -> str:
    return rfc3339(moment).partition(".")[0].removesuffix("Z") + "Z"


def _began(job: Object) -> tuple[float, str]:
    start = dig(job, "status", "startTime")
    return (unix_seconds(start) if start else math.inf, name_of(job))


def _reference(job: Object) -> Object:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "namespace": namespace_of(job),
        "name": name_of(job),
        "uid": uid_of(job),
        "resourceVersion": meta(job).get("resourceVersion", ""),
    }


def _job_of(found: Object, due: float, schedule: Schedule) -> Object:
    """Return the Job of a time: its name ends with the minute, so that no time is served twice."""
    template: Object = copied(dig(found, "spec", "jobTemplate", default={}))
    metadata: Object = template.get("metadata", {})
    zone = schedule.zone if dig(found, "spec", "timeZone") else UTC
    at = datetime.fromtimestamp(due, zone).isoformat().replace("+00:00", "Z")
    return {
        "metadata": {
            **({"labels": metadata["labels"]} if metadata.get("labels") else {}),
            "annotations": {**metadata.get("annotations", {}), SCHEDULED: at},
            "name": f"{name_of(found)}-{int(due) // 60}",
            "ownerReferences": [owner_reference(found)],
        },
        "spec": template.get("spec", {}),
    }
