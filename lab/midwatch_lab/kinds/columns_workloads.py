"""The columns of StatefulSets, DaemonSets, Jobs, CronJobs, ControllerRevisions and PodTemplates."""

from dataclasses import replace
from typing import Final

from midwatch_contracts.times import unix_seconds
from midwatch_lab.kinds.column import AGE, NAME, NONE, WORKLOAD, Column, age, map_text, of, path, selector_text
from midwatch_lab.kinds.durations import human_duration
from midwatch_lab.objects import Object, controller_of, dig, is_condition_true


def _job_status(job: Object) -> str:
    for kind in ("Complete", "Failed"):
        if is_condition_true(job, kind):
            return kind
    if dig(job, "metadata", "deletionTimestamp"):
        return "Terminating"
    for kind in ("Suspended", "FailureTarget", "SuccessCriteriaMet"):
        if is_condition_true(job, kind):
            return kind
    return "Running"


def _completions(job: Object) -> str:
    done, wanted = dig(job, "status", "succeeded", default=0), dig(job, "spec", "completions")
    if wanted is not None:
        return f"{done}/{wanted}"
    parallelism = dig(job, "spec", "parallelism", default=0)
    return f"{done}/1 of {parallelism}" if parallelism > 1 else f"{done}/1"


def _duration(job: Object, now: float) -> str:
    start, end = dig(job, "status", "startTime"), dig(job, "status", "completionTime")
    if start is None:
        return ""
    return human_duration((unix_seconds(end) if end else now) - unix_seconds(start))


def _last_schedule(obj: Object, now: float) -> str:
    last = dig(obj, "status", "lastScheduleTime")
    return age(last, now) if last else NONE


def _controller(obj: Object) -> str:
    owner = controller_of(obj)
    if owner is None:
        return NONE
    group = str(owner.get("apiVersion", "")).rpartition("/")[0]
    kind = str(owner.get("kind", "")).lower()
    return f"{kind}.{group}/{owner.get('name', '')}" if group else f"{kind}/{owner.get('name', '')}"


def _joined(field: str, *way: str) -> Column:
    """Return a column of what the containers under a path have."""
    title = "Containers" if field == "name" else "Images"
    cells = of(lambda obj: ",".join(str(item.get(field, "")) for item in dig(obj, *way, "containers", default=[])))
    return Column(title, cells, priority=1)


def _count(name: str, key: str) -> Column:
    return Column(name, path("status", key, default=0), type="integer")


_JOB: Final = ("spec", "jobTemplate", "spec", "template", "spec")
_READY: Final = of(lambda o: f"{dig(o, 'status', 'readyReplicas', default=0)}/{dig(o, 'spec', 'replicas', default=0)}")

COLUMNS: Final[dict[str, tuple[Column, ...]]] = {
    "StatefulSet": (NAME, Column("Ready", _READY), AGE, *WORKLOAD[:2]),
    "DaemonSet": (
        NAME,
        _count("Desired", "desiredNumberScheduled"),
        _count("Current", "currentNumberScheduled"),
        _count("Ready", "numberReady"),
        _count("Up-to-date", "updatedNumberScheduled"),
        _count("Available", "numberAvailable"),
        Column("Node Selector", of(lambda obj: map_text(dig(obj, "spec", "template", "spec", "nodeSelector")))),
        AGE,
        *WORKLOAD,
    ),
    "Job": (
        NAME,
        Column("Status", of(_job_status)),
        Column("Completions", of(_completions)),
        Column("Duration", _duration),
        AGE,
        *WORKLOAD,
    ),
    "CronJob": (
        NAME,
        Column("Schedule", path("spec", "schedule", default="")),
        Column("Timezone", path("spec", "timeZone")),
        Column("Suspend", of(lambda obj: str(bool(dig(obj, "spec", "suspend")))), type="boolean"),
        Column("Active", of(lambda obj: len(dig(obj, "status", "active", default=[]))), type="integer"),
        Column("Last Schedule", _last_schedule),
        AGE,
        _joined("name", *_JOB),
        _joined("image", *_JOB),
        Column(
            "Selector", of(lambda obj: selector_text(dig(obj, "spec", "jobTemplate", "spec", "selector"))), priority=1
        ),
    ),
    "ControllerRevision": (
        NAME,
        Column("Controller", of(_controller)),
        Column("Revision", path("revision", default=0)),
        AGE,
    ),
    "PodTemplate": (
        NAME,
        replace(_joined("name", "template", "spec"), priority=0),
        replace(_joined("image", "template", "spec"), priority=0),
        Column("Pod Labels", of(lambda obj: map_text(dig(obj, "template", "metadata", "labels")))),
    ),
}
