"""Rules of CronJobs."""

from typing import Final

from midwatch_lab import cron
from midwatch_lab.errors import CronError
from midwatch_lab.kinds import rules
from midwatch_lab.kinds.job_validation import without_selector
from midwatch_lab.kinds.rules import Faults
from midwatch_lab.objects import Object, dig, name_of
from midwatch_lab.status import invalid_value, required, unsupported

_NAME_MAX: Final = 52
"""A Job's name is that of its CronJob, a dash and the minute (10 digits), and may not be longer than a label."""


def cron_job(obj: Object) -> Faults:
    """Check a CronJob."""
    yield from _spec(obj.get("spec", {}))
    if len(name_of(obj)) > _NAME_MAX:
        yield invalid_value("metadata.name", name_of(obj), f"must be no more than {_NAME_MAX} characters")


def _spec(spec: Object) -> Faults:
    schedule = spec.get("schedule", "")
    if not schedule:
        yield required("spec.schedule")
    else:
        yield from _schedule(schedule)
    yield from rules.non_negative(spec, "startingDeadlineSeconds", "spec")
    if "timeZone" in spec:
        yield from _time_zone(spec["timeZone"])
    yield from rules.one_of(spec, "concurrencyPolicy", "spec", ("Allow", "Forbid", "Replace"))
    yield from _job_template(dig(spec, "jobTemplate", "spec", default={}))
    yield from rules.non_negative(spec, "successfulJobsHistoryLimit", "spec")
    yield from rules.non_negative(spec, "failedJobsHistoryLimit", "spec")


def _schedule(text: str) -> Faults:
    try:
        cron.parse(text)
    except CronError as error:
        yield invalid_value("spec.schedule", text, str(error))
    if "TZ" in text:
        yield invalid_value("spec.schedule", text, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead")


def _time_zone(name: str) -> Faults:
    if not name:
        yield invalid_value("spec.timeZone", name, "timeZone must be nil or non-empty string")
        return
    if name.lower() == "local":
        detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        yield invalid_value("spec.timeZone", name, detail)
    if name == "Local":
        return
    try:
        cron.time_zone(name)
    except CronError as error:
        yield invalid_value("spec.timeZone", name, str(error))


def _job_template(spec: Object) -> Faults:
    yield from without_selector(spec, "spec.jobTemplate.spec")
    if spec.get("selector") is not None:
        where = "spec.jobTemplate.spec.selector"
        yield invalid_value(where, spec["selector"], "`selector` will be auto-generated")
    if spec.get("manualSelector"):
        yield unsupported("spec.jobTemplate.spec.manualSelector", value=True, supported=("nil", "false"))
