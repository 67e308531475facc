"""CronJobs: defaults, schedules and time zones, what is refused, and status."""

from functools import partial
from typing import Any, Final

from contract_harness import Api, Cases

CASES: Final = Cases()

POD: Final[dict[str, Any]] = {"restartPolicy": "Never", "containers": [{"name": "work", "image": "work:1"}]}
JOB: Final[dict[str, Any]] = {"spec": {"template": {"spec": POD}}}
AT: Final = "2026-01-01T00:00:00Z"


def manifest(name: str = "nightly", **spec: Any) -> dict[str, Any]:
    whole = {"schedule": "0 3 * * *", "jobTemplate": JOB} | spec
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name}, "spec": whole}


def job(pod: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": POD | (pod or {})}} | spec}


def cron_jobs(api: Api, *rest: str) -> str:
    return api.path("batch/v1", "cronjobs", *rest)


SCHEDULES: Final = (
    "* * * * *", "*/5 1-10/3 1,,2 jan-mar mon,TUE", "? ? ? ? ?", "1/5 * * * *", "*-5 * * * *", "*/100 * * * *",
    "+5 * * * *", "  * * * * *  ", "0 0 31 2 *", "05 * * * sun-sat", "@daily", "@hourly", "@weekly", "@midnight",
    "@monthly",
    "@yearly", "@annually", "@every 1h30m5s", "@every 10ms", "@every -1h",
)  # fmt: skip
NO_SCHEDULES: Final = (
    "", "x", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 7",
    "*/0 * * * *", "5-1 * * * *", "a-b * * * *", "1-2-3 * * * *", "1/2/3 * * * *", "-1 * * * *", "5/ * * * *",
    "* * * jan-xyz *",
    "mon * * * *", "* * * * MON#2", "L * * * *", "1_0 * * * *", "99999999999999999999 * * * *", "@foo", "@every",
    "@every x", "@every 1d", "@every 1", "@every ", "@EVERY 1h", "@Daily", "@reboot", "TZ=UTC * * * * *",
    "TZ=Nope * * * * *", "CRON_TZ=Asia/Tokyo 0 0 * * *", "TZ= * * * * *", "CRON_TZ=UTC",
)  # fmt: skip
ZONES: Final = (
    "UTC", "Europe/Berlin", "EST", "Etc/GMT+1", "", "Nope/Nope", "Local", "local", "europe/berlin", "../x", "/etc", "Z"
)  # fmt: skip
OTHERS: Final[dict[str, dict[str, Any]]] = {
    "nothing": {"metadata": {"name": "nightly"}, "spec": {}},
    "a name as long as may be": manifest("a" * 52),
    "a name too long": manifest("a" * 53),
    "a name with dots": manifest("a.b"),
    "a name in capitals": manifest("A_"),
    "everything": manifest(
        timeZone="UTC", concurrencyPolicy="Forbid", suspend=True, startingDeadlineSeconds=10,
        successfulJobsHistoryLimit=0, failedJobsHistoryLimit=0, jobTemplate=job(parallelism=2, backoffLimit=1),
    ),
    "an unknown policy": manifest(concurrencyPolicy="X"),
    "negative numbers": manifest(
        startingDeadlineSeconds=-1, successfulJobsHistoryLimit=-1, failedJobsHistoryLimit=-1
    ),
    "jobs that bring a selector": manifest(jobTemplate=job(selector={"matchLabels": {"a": "b"}})),
    "jobs that select by hand": manifest(jobTemplate=job(manualSelector=True)),
    "jobs that never end": manifest(jobTemplate=job({"restartPolicy": "Always"})),
    "jobs below none": manifest(jobTemplate=job(parallelism=-1, completions=-1)),
    "jobs without containers": manifest(jobTemplate=job({"containers": []})),
    "unknown fields": manifest(cron="x", jobTemplate=job(nodes=3)),
    "a schedule as a number": manifest(schedule=5),
}  # fmt: skip
CHANGES: Final[dict[str, Any]] = {
    "its schedule": {"schedule": "5 4 * * *", "timeZone": "Asia/Tokyo"},
    "its schedule to none": {"schedule": "x"},
    "its zone to none": {"timeZone": "Nope"},
    "its jobs": {
        "jobTemplate": {"spec": {"parallelism": 4, "template": {"spec": {"terminationGracePeriodSeconds": 1}}}}
    },
    "its suspension": {"suspend": None, "concurrencyPolicy": "Replace"},
}


async def _make(api: Api, body: dict[str, Any]) -> None:
    await api.ask("POST", cron_jobs(api), body, dryRun="All", fieldManager="m")


async def _change(api: Api, spec: Any) -> None:
    await api.setup("POST", cron_jobs(api), manifest(), fieldManager="m")
    await api.ask("PATCH", cron_jobs(api, "nightly"), {"spec": spec}, "strategic", fieldManager="n")


for text in SCHEDULES:
    CASES.many(f"cron job: a schedule of {text!r} is one", partial(_make, body=manifest(schedule=text)))
for text in NO_SCHEDULES:
    CASES.many(f"cron job: a schedule of {text!r} is none", partial(_make, body=manifest(schedule=text)))
for text in ZONES:
    CASES.many(f"cron job: a time zone of {text!r}", partial(_make, body=manifest(timeZone=text)))
for word, body in OTHERS.items():
    CASES.many(f"cron job: one of {word}", partial(_make, body=body))
for word, change in CHANGES.items():
    CASES.many(f"cron job: a change of {word}", partial(_change, spec=change))


@CASES.case("cron job status: its door writes status and labels, not the specification")
async def _(api: Api) -> None:
    await api.setup("POST", cron_jobs(api), manifest(), fieldManager="m")
    status = {"lastScheduleTime": AT, "lastSuccessfulTime": AT, "active": [{"kind": "Job", "name": "x"}]}
    body = {"metadata": {"labels": {"q": "r"}}, "spec": {"suspend": True}, "status": status}
    await api.ask("PATCH", cron_jobs(api, "nightly", "status"), body, "merge", fieldManager="n")
    await api.ask("PATCH", cron_jobs(api, "nightly", "status"), {"status": {"active": "x"}}, "merge")
    await api.ask("DELETE", cron_jobs(api, "nightly"))


@CASES.case("cron job: apply makes one and changes its schedule")
async def _(api: Api) -> None:
    await api.ask("PATCH", cron_jobs(api, "nightly"), manifest(), "apply", fieldManager="a")
    await api.ask("PATCH", cron_jobs(api, "nightly"), manifest(schedule="@hourly"), "apply", fieldManager="a")
    await api.ask("PATCH", cron_jobs(api, "nightly"), manifest(schedule="@daily"), "apply", fieldManager="b")
