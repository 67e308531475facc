"""Jobs on a virtual clock: completions, retries with growing pauses, indexes, suspension, deadlines and policies."""

from typing import Any

import pytest

from midwatch_contracts.clock import VirtualClock
from midwatch_lab.kinds.resources import EVENTS, JOBS, PODS
from midwatch_lab.objects import annotations_of, condition, is_condition_true, is_terminating, labels_of, meta, name_of
from midwatch_lab.plane import ControlPlane
from midwatch_lab.registry.upkeep import DeleteOptions
from nodes_by_hand import KUBELET, NAMESPACE, TESTER, add_node, fail, let_go, pods, report, succeed

pytestmark = pytest.mark.anyio


@pytest.fixture
def cluster(plane: ControlPlane) -> ControlPlane:
    add_node(plane, "n1")
    return plane


def make(plane: ControlPlane, restart: str = "Never", **spec: Any) -> dict[str, Any]:
    pod = {"restartPolicy": restart, "containers": [{"name": "work", "image": "work:1"}]}
    body = {"metadata": {"name": "work"}, "spec": {"template": {"spec": pod}} | spec}
    return plane.registry.create(JOBS, NAMESPACE, body, TESTER)


def job(plane: ControlPlane) -> dict[str, Any]:
    return plane.registry.read(JOBS, NAMESPACE, "work")


def change(plane: ControlPlane, **spec: Any) -> None:
    plane.registry.modify(JOBS, NAMESPACE, "work", lambda obj: obj["spec"].update(spec), TESTER)


def running(plane: ControlPlane) -> list[str]:
    over = ("Succeeded", "Failed")
    return [name_of(pod) for pod in pods(plane) if pod["status"]["phase"] not in over and not is_terminating(pod)]


def reason(plane: ControlPlane, kind: str) -> str:
    found = condition(job(plane), kind)
    return "" if found is None or found["status"] != "True" else found["reason"]


async def test_a_job_is_complete_once_its_pod_succeeded(cluster: ControlPlane) -> None:
    async with cluster.running():
        made = make(cluster)
        await cluster.settle()
        (pod,) = pods(cluster)
        assert meta(pod)["finalizers"] == ["batch.kubernetes.io/job-tracking"]
        assert labels_of(pod)["batch.kubernetes.io/controller-uid"] == made["metadata"]["uid"]
        assert job(cluster)["status"] == {
            "startTime": job(cluster)["status"]["startTime"],
            "active": 1, "ready": 0, "terminating": 0, "uncountedTerminatedPods": {},
        }  # fmt: skip
        report(cluster, name_of(pod), "Running", ready=True)
        await cluster.settle()
        assert job(cluster)["status"]["ready"] == 1
        succeed(cluster, name_of(pod))
        await cluster.settle()
        status = job(cluster)["status"]
        assert [item["type"] for item in status["conditions"]] == ["SuccessCriteriaMet", "Complete"]
        assert (status["succeeded"], status["ready"], status["terminating"]) == (1, 0, 0)
        assert "active" not in status
        assert status["completionTime"]
        assert "finalizers" not in meta(pods(cluster)[0]), "what is counted may go"
        messages = [event["message"] for event in cluster.store.items(EVENTS.key, NAMESPACE)]
        assert "Job completed" in messages


async def test_no_more_pods_run_at_once_than_asked_for(cluster: ControlPlane) -> None:
    async with cluster.running():
        make(cluster, completions=5, parallelism=2)
        seen: list[int] = []
        for _ in range(5):
            await cluster.settle()
            seen.append(len(running(cluster)))
            succeed(cluster, running(cluster)[0])
        await cluster.settle()
        assert seen == [2, 2, 2, 2, 1]
        assert reason(cluster, "Complete") == "CompletionsReached"
        assert job(cluster)["status"]["succeeded"] == 5


async def test_after_each_failure_the_pause_doubles(cluster: ControlPlane, clock: VirtualClock) -> None:
    async with cluster.running():
        make(cluster, backoffLimit=3)
        for pause in (10.0, 20.0, 40.0):
            await cluster.settle()
            fail(cluster, running(cluster)[0])
            await cluster.settle()
            assert running(cluster) == []
            await clock.advance(pause - 1.0)
            await cluster.settle()
            assert running(cluster) == [], f"{pause} s have not passed"
            await clock.advance(1.5)
            await cluster.settle()
            assert len(running(cluster)) == 1
        fail(cluster, running(cluster)[0])
        await cluster.settle()
        assert reason(cluster, "Failed") == "BackoffLimitExceeded"
        assert job(cluster)["status"]["failed"] == 4


async def test_a_success_ends_the_row_of_failures(cluster: ControlPlane, clock: VirtualClock) -> None:
    async with cluster.running():
        make(cluster, completions=2)
        await cluster.settle()
        fail(cluster, running(cluster)[0])
        await clock.advance(11.0)
        await cluster.settle()
        await clock.advance(1.0)
        succeed(cluster, running(cluster)[0])
        await cluster.settle()
        assert len(running(cluster)) == 1, "the next begins at once"


async def test_containers_that_are_started_again_count_towards_the_limit(cluster: ControlPlane) -> None:
    async with cluster.running():
        make(cluster, restart="OnFailure", backoffLimit=2)
        await cluster.settle()
        (name,) = running(cluster)

        def restart(obj: dict[str, Any]) -> None:
            obj["status"]["phase"] = "Running"
            obj["status"]["containerStatuses"] = [
                {"name": "work", "ready": True, "restartCount": 2, "image": "", "imageID": ""}
            ]

        cluster.registry.modify(PODS, NAMESPACE, name, restart, KUBELET)
        await let_go(cluster)
        assert reason(cluster, "Failed") == "BackoffLimitExceeded"


async def test_the_end_waits_until_the_last_pod_has_ended(cluster: ControlPlane, clock: VirtualClock) -> None:
    async with cluster.running():
        make(cluster, activeDeadlineSeconds=60)
        await cluster.settle()
        report(cluster, running(cluster)[0], "Running", ready=True)
        await clock.advance(61.0)
        await cluster.settle()
        assert reason(cluster, "FailureTarget") == "DeadlineExceeded"
        assert reason(cluster, "Failed") == ""
        assert job(cluster)["status"]["terminating"] == 1
        await let_go(cluster)
        assert reason(cluster, "Failed") == "DeadlineExceeded"
        assert job(cluster)["status"]["failed"] == 1


async def test_each_index_succeeds_once(cluster: ControlPlane, clock: VirtualClock) -> None:
    async with cluster.running():
        make(cluster, completionMode="Indexed", completions=4, parallelism=2)
        await cluster.settle()
        first = pods(cluster)[0]
        assert name_of(first).startswith("work-0-")
        assert first["spec"]["hostname"] == "work-0"
        assert annotations_of(first)["batch.kubernetes.io/job-completion-index"] == "0"
        assert first["spec"]["containers"][0]["env"][0]["name"] == "JOB_COMPLETION_INDEX"
        fail(cluster, running(cluster)[0])
        succeed(cluster, running(cluster)[0])
        await clock.advance(11.0)
        for _ in range(6):
            await cluster.settle()
            for name in running(cluster)[:1]:
                succeed(cluster, name)
        await cluster.settle()
        assert job(cluster)["status"]["completedIndexes"] == "0-3"
        assert job(cluster)["status"]["succeeded"] == 4
        assert reason(cluster, "Complete") == "CompletionsReached"


async def test_an_index_that_fails_too_often_is_given_up_and_the_others_go_on(
    cluster: ControlPlane, clock: VirtualClock
) -> None:
    async with cluster.running():
        make(cluster, completionMode="Indexed", completions=2, parallelism=2, backoffLimitPerIndex=1)
        for _ in range(2):
            await cluster.settle()
            fail(cluster, next(name for name in running(cluster) if name.startswith("work-0-")))
            await clock.advance(25.0)
        await cluster.settle()
        assert job(cluster)["status"]["failedIndexes"] == "0"
        succeed(cluster, running(cluster)[0])
        await cluster.settle()
        assert reason(cluster, "Failed") == "FailedIndexes"
        assert job(cluster)["status"]["completedIndexes"] == "1"


async def test_a_suspended_job_stops_its_pods_and_goes_on_when_resumed(cluster: ControlPlane) -> None:
    async with cluster.running():
        make(cluster, parallelism=2, completions=2)
        await cluster.settle()
        change(cluster, suspend=True)
        await let_go(cluster)
        assert pods(cluster) == []
        assert reason(cluster, "Suspended") == "JobSuspended"
        assert "failed" not in job(cluster)["status"], "what is stopped has not failed"
        change(cluster, suspend=False)
        await cluster.settle()
        assert len(running(cluster)) == 2
        assert condition(job(cluster), "Suspended")["reason"] == "JobResumed"  # pyright: ignore[reportOptionalSubscript] (it is there)


async def test_a_pod_that_is_deleted_is_replaced_and_counts_as_failed(
    cluster: ControlPlane, clock: VirtualClock
) -> None:
    async with cluster.running():
        make(cluster)
        await cluster.settle()
        (pod,) = pods(cluster)
        cluster.registry.delete(PODS, pod, DeleteOptions(), TESTER)
        await let_go(cluster)
        await clock.advance(11.0)
        await cluster.settle()
        assert len(running(cluster)) == 1
        assert running(cluster) != [name_of(pod)]
        assert job(cluster)["status"]["failed"] == 1


async def test_a_policy_ends_the_job_at_an_exit_code_and_overlooks_another(
    cluster: ControlPlane, clock: VirtualClock
) -> None:
    rules = [
        {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [42]}},
        {"action": "Ignore", "onExitCodes": {"operator": "In", "values": [7]}},
    ]
    async with cluster.running():
        make(cluster, podFailurePolicy={"rules": rules}, backoffLimit=0)
        await cluster.settle()
        fail(cluster, running(cluster)[0], 7)
        await clock.advance(11.0)
        await cluster.settle()
        assert "failed" not in job(cluster)["status"]
        (name,) = running(cluster)
        fail(cluster, name, 42)
        await cluster.settle()
        assert reason(cluster, "Failed") == "PodFailurePolicy"
        text = f"Container work for pod {NAMESPACE}/{name} failed with exit code 42 matching FailJob rule at index 0"
        assert (condition(job(cluster), "Failed") or {})["message"] == text


async def test_a_success_policy_ends_the_job_before_all_is_done(cluster: ControlPlane) -> None:
    async with cluster.running():
        policy = {"rules": [{"succeededIndexes": "0"}]}
        make(cluster, completionMode="Indexed", completions=3, parallelism=3, successPolicy=policy)
        await cluster.settle()
        succeed(cluster, running(cluster)[0])
        await let_go(cluster)
        await let_go(cluster)
        assert reason(cluster, "Complete") == "SuccessPolicy"
        assert job(cluster)["status"]["succeeded"] == 1


async def test_a_finished_job_goes_when_its_time_is_over(cluster: ControlPlane, clock: VirtualClock) -> None:
    async with cluster.running():
        make(cluster, ttlSecondsAfterFinished=100)
        await cluster.settle()
        succeed(cluster, running(cluster)[0])
        await cluster.settle()
        await clock.advance(99.0)
        await cluster.settle()
        assert is_condition_true(job(cluster), "Complete")
        await clock.advance(2.0)
        await cluster.settle()
        assert cluster.registry.find(JOBS, NAMESPACE, "work") is None
        assert pods(cluster) == []


@pytest.mark.parametrize("policy", ["Background", "Foreground"])
async def test_the_pods_of_a_deleted_job_go_with_it(cluster: ControlPlane, policy: str) -> None:
    async with cluster.running():
        make(cluster, parallelism=2, completions=2)
        await cluster.settle()
        cluster.registry.delete(JOBS, job(cluster), DeleteOptions(propagation=policy), TESTER)
        for _ in range(3):
            await let_go(cluster)
        assert pods(cluster) == []
        assert cluster.registry.find(JOBS, NAMESPACE, "work") is None


async def test_the_pods_of_a_job_stay_where_nobody_says_otherwise(cluster: ControlPlane) -> None:
    async with cluster.running():
        make(cluster)
        await cluster.settle()
        cluster.registry.delete(JOBS, job(cluster), DeleteOptions(), TESTER)
        await let_go(cluster)
        assert cluster.registry.find(JOBS, NAMESPACE, "work") is None
        (pod,) = pods(cluster)
        assert not meta(pod).get("ownerReferences")


async def test_somebody_elses_job_is_left_alone(cluster: ControlPlane) -> None:
    async with cluster.running():
        make(cluster, managedBy="example.com/other")
        await cluster.settle()
        assert pods(cluster) == []
        assert job(cluster)["status"] == {}
