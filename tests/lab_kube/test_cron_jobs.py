"""CronJobs on a virtual clock, and schedules: what is due when, in which time zone."""

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest

from midwatch_contracts.clock import VirtualClock
from midwatch_lab import cron
from midwatch_lab.controllers.cronjob import SCHEDULED
from midwatch_lab.errors import CronError
from midwatch_lab.kinds.resources import CRON_JOBS, EVENTS, JOBS
from midwatch_lab.objects import annotations_of, dig, name_of
from midwatch_lab.plane import ControlPlane
from nodes_by_hand import NAMESPACE, TESTER, add_node, fail, pods, succeed

pytestmark = pytest.mark.anyio


def times(text: str, start: str, count: int, zone: str = "") -> list[str]:
    schedule, moment = cron.parse(text, zone), datetime.fromisoformat(start).timestamp()
    found: list[str] = []
    for _ in range(count):
        following = schedule.after(moment)
        if following is None:
            break
        moment = following
        found.append(datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    return found


def test_fields_say_when_something_is_due() -> None:
    assert times("*/20 1-2 * * *", "2026-01-01T01:30:00Z", 4) == [
        "2026-01-01T01:40:00Z", "2026-01-01T02:00:00Z", "2026-01-01T02:20:00Z", "2026-01-01T02:40:00Z",
    ]  # fmt: skip
    assert times("0 0 1 jan,jul *", "2026-01-01T00:00:00Z", 2) == ["2026-07-01T00:00:00Z", "2027-01-01T00:00:00Z"]
    assert times("@every 90s", "2026-01-01T00:00:00Z", 2) == ["2026-01-01T00:01:30Z", "2026-01-01T00:03:00Z"]
    assert times("@weekly", "2026-01-01T00:00:00Z", 1) == ["2026-01-04T00:00:00Z"]


def test_two_kinds_of_day_mean_either_unless_one_is_open() -> None:
    assert times("0 0 13 * fri", "2026-02-01T00:00:00Z", 3) == [
        "2026-02-06T00:00:00Z", "2026-02-13T00:00:00Z", "2026-02-20T00:00:00Z",
    ]  # fmt: skip
    assert times("0 0 13 * *", "2026-02-01T00:00:00Z", 2) == ["2026-02-13T00:00:00Z", "2026-03-13T00:00:00Z"]


def test_a_day_that_never_comes_is_never_due() -> None:
    assert times("0 0 31 2 *", "2026-01-01T00:00:00Z", 1) == []
    assert times("0 0 29 2 *", "2026-01-01T00:00:00Z", 1) == ["2028-02-29T00:00:00Z"]


def test_summer_time_skips_an_hour_and_winter_time_has_one_twice() -> None:
    assert times("30 2 * * *", "2026-03-28T12:00:00Z", 1, "Europe/Berlin") == ["2026-03-30T00:30:00Z"]
    assert times("30 2 * * *", "2026-10-24T12:00:00Z", 2, "Europe/Berlin") == [
        "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["*/0 * * * *", "61 * * * *", "* * * *", "@every soon", "1-2-3 * * * *"])
def test_what_is_no_schedule_is_refused(text: str) -> None:
    with pytest.raises(CronError):
        cron.parse(text)


@pytest.mark.parametrize("text", ["*/7 */5 * * *", "0 12 1,15 * mon", "@hourly", "5 4 * * sun"])
def test_times_only_ever_grow_and_agree_with_the_fields(text: str) -> None:
    found = times(text, "2026-02-27T23:59:59Z", 50, "America/New_York")
    assert all(first < second for first, second in pairwise(found))


@pytest.fixture
def cluster(plane: ControlPlane) -> ControlPlane:
    add_node(plane, "n1")
    return plane


def make(plane: ControlPlane, **spec: Any) -> None:
    pod = {"restartPolicy": "Never", "containers": [{"name": "work", "image": "work:1"}]}
    template = {"metadata": {"labels": {"of": "nightly"}}, "spec": {"template": {"spec": pod}, "backoffLimit": 0}}
    whole = {"schedule": "* * * * *", "jobTemplate": template} | spec
    plane.registry.create(CRON_JOBS, NAMESPACE, {"metadata": {"name": "nightly"}, "spec": whole}, TESTER)


def jobs(plane: ControlPlane) -> list[dict[str, Any]]:
    return plane.store.items(JOBS.key, NAMESPACE)


def status(plane: ControlPlane) -> dict[str, Any]:
    return plane.registry.read(CRON_JOBS, NAMESPACE, "nightly")["status"]


def said(plane: ControlPlane) -> set[str]:
    return {event["reason"] for event in plane.store.items(EVENTS.key, NAMESPACE)}


async def pass_time(plane: ControlPlane, clock: VirtualClock, seconds: float) -> None:
    await plane.settle()
    await clock.advance(seconds)
    await plane.settle()


async def end_pods(plane: ControlPlane, *, well: bool = True) -> None:
    for pod in pods(plane):
        if dig(pod, "status", "phase") not in ("Succeeded", "Failed"):
            (succeed if well else fail)(plane, name_of(pod))
    await plane.settle()


async def test_a_job_is_made_each_minute_and_named_after_it(cluster: ControlPlane, clock: VirtualClock) -> None:
    async with cluster.running():
        make(cluster)
        await cluster.settle()
        assert jobs(cluster) == []
        await pass_time(cluster, clock, 60.0)
        (first,) = jobs(cluster)
        minute = int(clock.now()) // 60
        assert name_of(first) == f"nightly-{minute}"
        assert first["metadata"]["labels"] == {"of": "nightly"}
        due = datetime.fromtimestamp(minute * 60, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        assert annotations_of(first)[SCHEDULED] == due
        assert status(cluster)["lastScheduleTime"] == due
        assert [item["name"] for item in status(cluster)["active"]] == [name_of(first)]
        await end_pods(cluster)
        assert "active" not in status(cluster)
        assert status(cluster)["lastSuccessfulTime"]
        assert {"SuccessfulCreate", "SawCompletedJob"} <= said(cluster)


async def test_only_so_many_finished_jobs_are_kept(cluster: ControlPlane, clock: VirtualClock) -> None:
    async with cluster.running():
        make(cluster, successfulJobsHistoryLimit=2, failedJobsHistoryLimit=1)
        for number in range(6):
            await pass_time(cluster, clock, 60.0)
            await end_pods(cluster, well=number % 2 == 0)
        await cluster.settle()
        ends = [job["status"]["conditions"][-1] for job in jobs(cluster)]
        assert sorted(end["type"] for end in ends) == ["Complete", "Complete", "Failed"]
        assert len(pods(cluster)) == 3, "their pods went with the others"


async def test_forbid_waits_for_the_one_that_runs(cluster: ControlPlane, clock: VirtualClock) -> None:
    async with cluster.running():
        make(cluster, concurrencyPolicy="Forbid")
        for _ in range(3):
            await pass_time(cluster, clock, 60.0)
        assert len(jobs(cluster)) == 1
        assert "JobAlreadyActive" in said(cluster)
        await end_pods(cluster)
        await pass_time(cluster, clock, 60.0)
        assert len(jobs(cluster)) == 2


async def test_replace_ends_the_one_that_runs(cluster: ControlPlane, clock: VirtualClock) -> None:
    async with cluster.running():
        make(cluster, concurrencyPolicy="Replace")
        await pass_time(cluster, clock, 60.0)
        (first,) = jobs(cluster)
        await pass_time(cluster, clock, 60.0)
        (second,) = jobs(cluster)
        assert name_of(first) != name_of(second)
        assert [item["name"] for item in status(cluster)["active"]] == [name_of(second)]


async def test_allow_runs_several_at_once(cluster: ControlPlane, clock: VirtualClock) -> None:
    async with cluster.running():
        make(cluster)
        for _ in range(3):
            await pass_time(cluster, clock, 60.0)
        assert len(jobs(cluster)) == 3
        assert len(status(cluster)["active"]) == 3


async def test_a_suspended_one_makes_nothing_until_it_goes_on(cluster: ControlPlane, clock: VirtualClock) -> None:
    async with cluster.running():
        make(cluster, suspend=True)
        await pass_time(cluster, clock, 600.0)
        assert jobs(cluster) == []
        cluster.registry.modify(CRON_JOBS, NAMESPACE, "nightly", lambda obj: obj["spec"].update(suspend=False), TESTER)
        await cluster.settle()
        assert len(jobs(cluster)) == 1, "the last time that was missed is made up for"


async def test_what_was_missed_longer_ago_than_the_deadline_is_left(cluster: ControlPlane, clock: VirtualClock) -> None:
    async with cluster.running():
        make(cluster, schedule="0 * * * *", suspend=True, startingDeadlineSeconds=60)
        now = clock.now()
        await pass_time(cluster, clock, 3600.0 - now % 3600.0 + 120.0)
        cluster.registry.modify(CRON_JOBS, NAMESPACE, "nightly", lambda obj: obj["spec"].update(suspend=False), TESTER)
        await cluster.settle()
        assert jobs(cluster) == []


async def test_after_a_long_sleep_only_the_last_time_is_made_up_for(cluster: ControlPlane, clock: VirtualClock) -> None:
    async with cluster.running():
        make(cluster, suspend=True)
        await pass_time(cluster, clock, 3 * 86_400.0)
        cluster.registry.modify(CRON_JOBS, NAMESPACE, "nightly", lambda obj: obj["spec"].update(suspend=False), TESTER)
        await cluster.settle()
        assert [name_of(job) for job in jobs(cluster)] == [f"nightly-{int(clock.now()) // 60}"]
        assert "TooManyMissedTimes" in said(cluster)
