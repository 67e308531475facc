"""Jobs and CronJobs."""

from collections.abc import Iterable
from typing import Final

from midwatch_contracts.times import unix_seconds
from midwatch_lab import cron
from midwatch_lab.exporters.family import Family, Point
from midwatch_lab.exporters.state.kind import NAME, NAMESPACE, Kind
from midwatch_lab.exporters.state.reading import (
    OWNER_LABELS,
    condition,
    count,
    created,
    given,
    moment,
    number,
    one,
    owners,
    resource_version,
)
from midwatch_lab.kinds.resources import CRON_JOBS, JOBS
from midwatch_lab.objects import Object, dig

_FAILURES: Final = ("BackoffLimitExceeded", "DeadlineExceeded", "Evicted")


def _failed(job: Object) -> Iterable[Point]:
    """Count failed pods; where the Job failed for a known reason, 1 for that reason, as the original does."""
    failed = float(dig(job, "status", "failed", default=0))
    if not failed:
        return [({}, 0.0)]
    found: list[Point] = []
    known = False
    for item in dig(job, "status", "conditions", default=[]):
        if item.get("type") == "Failed":
            known = known or item.get("reason") in _FAILURES
            found += [({"reason": reason}, float(item.get("reason") == reason)) for reason in _FAILURES]
    return found if known else [*found, ({}, failed)]


def _suspended(job: Object) -> Iterable[Point]:
    for item in dig(job, "status", "conditions", default=[]):
        if item.get("type") == "Suspended":
            yield {}, float(item.get("status") == "True")


def _cron_info(item: Object) -> Iterable[Point]:
    spec = item["spec"]
    labels = {"schedule": spec["schedule"], "concurrency_policy": spec.get("concurrencyPolicy", "")}
    yield {**labels, "timezone": spec.get("timeZone") or "local"}, 1.0


def _next(item: Object) -> Iterable[Point]:
    if dig(item, "spec", "suspend"):
        return
    last = dig(item, "status", "lastScheduleTime") or dig(item, "metadata", "creationTimestamp")
    schedule = cron.parse(item["spec"]["schedule"], item["spec"].get("timeZone") or "")
    due = schedule.after(unix_seconds(last)) if last else None
    if due is not None:
        yield {}, due


JOB_KIND: Final = Kind(
    JOBS,
    {**NAMESPACE, "job_name": NAME},
    (
        Family("kube_job_info", "The Job is there", one),
        created("kube_job"),
        Family("kube_job_spec_parallelism", "Pods that may run at once", given("spec", "parallelism")),
        Family("kube_job_spec_completions", "Pods that are to end well", given("spec", "completions")),
        Family(
            "kube_job_spec_active_deadline_seconds",
            "How long the Job may run, in seconds",
            given("spec", "activeDeadlineSeconds"),
        ),
        Family("kube_job_status_succeeded", "Pods of the Job that ended well", number("status", "succeeded")),
        Family(
            "kube_job_status_failed",
            "Pods of the Job that failed; by a reason of the Job's failure, 1 for the one that it was",
            _failed,
            ("reason",),
        ),
        Family("kube_job_status_active", "Pods of the Job that wait or run", number("status", "active")),
        Family("kube_job_complete", "Whether the Job is complete", condition("Complete"), ("condition",)),
        Family("kube_job_failed", "Whether the Job has failed", condition("Failed"), ("condition",)),
        Family("kube_job_status_start_time", "When the Job began, in Unix seconds", moment("status", "startTime")),
        Family(
            "kube_job_status_completion_time",
            "When the Job was complete, in Unix seconds",
            moment("status", "completionTime"),
        ),
        Family("kube_job_status_suspended", "Whether the Job is suspended", _suspended),
        Family("kube_job_owner", "What owns the Job", owners, OWNER_LABELS),
    ),
)
CRON_JOB_KIND: Final = Kind(
    CRON_JOBS,
    {**NAMESPACE, "cronjob": NAME},
    (
        Family(
            "kube_cronjob_info", "The CronJob's schedule", _cron_info, ("schedule", "concurrency_policy", "timezone")
        ),
        created("kube_cronjob"),
        Family("kube_cronjob_status_active", "Jobs of the CronJob that run", count("status", "active")),
        Family(
            "kube_cronjob_status_last_schedule_time",
            "When a Job was last due and made, in Unix seconds",
            moment("status", "lastScheduleTime"),
        ),
        Family(
            "kube_cronjob_status_last_successful_time",
            "When a Job was last complete, in Unix seconds",
            moment("status", "lastSuccessfulTime"),
        ),
        Family("kube_cronjob_next_schedule_time", "When the next Job is due, in Unix seconds", _next),
        Family("kube_cronjob_spec_suspend", "1 while the CronJob is suspended", given("spec", "suspend")),
        Family(
            "kube_cronjob_spec_starting_deadline_seconds",
            "How late a Job may be made, in seconds",
            given("spec", "startingDeadlineSeconds"),
        ),
        Family(
            "kube_cronjob_spec_successful_job_history_limit",
            "Complete Jobs that are kept",
            given("spec", "successfulJobsHistoryLimit"),
        ),
        Family(
            "kube_cronjob_spec_failed_job_history_limit",
            "Failed Jobs that are kept",
            given("spec", "failedJobsHistoryLimit"),
        ),
        resource_version("kube_cronjob"),
    ),
)
