"""The library's first guide, run against recorded tool results: each way of being slow, and of not knowing."""

from typing import Any

import pytest

from midwatch_contracts.alert import Alert
from midwatch_contracts.clock import VirtualClock
from midwatch_contracts.plan import Expectation
from midwatch_tsg.caller import ScriptedCaller
from midwatch_tsg.errors import ToolFailedError
from midwatch_tsg.guide import find
from midwatch_tsg.result import GuideResult
from midwatch_tsg.runner import Runner

pytestmark = pytest.mark.anyio
WORKLOAD = "Deployment/llm-x7/chat-q2"
ALERT = Alert(labels={"alertname": "TimeToFirstTokenHigh", "namespace": "llm-x7", "service": "svc-chat"})
INPUTS = {"objective": "800ms", "window": "20s", "verify_within": "30s", "verify_hold": "5s"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def vector(*values: float | str) -> dict[str, Any]:
    series: list[Any] = [{"labels": {}, "value": value} for value in values]
    return {"query": "q", "at": 1.0, "result_type": "vector", "series": series}


def course(first: float, last: float, mean: float, most: float) -> dict[str, Any]:
    one: dict[str, Any] = {
        "labels": {},
        "first": first,
        "last": last,
        "min": 0.0,
        "max": most,
        "mean": mean,
        "points": [],
    }
    return {"query": "q", "start": 0.0, "end": 20.0, "step_s": 0.4, "series": [one]}


def finished(**reasons: float) -> dict[str, Any]:
    series = [{"labels": {"finished_reason": reason}, "value": value} for reason, value in reasons.items()]
    return vector() | {"series": series}


def replicas(count: int, *, waiting: float, blocks: int = 256, seats: float | None = 4) -> dict[str, Any]:
    one: dict[str, Any] = {"reachable": True, "model": "tiny", "running": 1.0, "waiting": waiting, "error": None}
    one |= {"kv_cache_usage": 0.2, "num_gpu_blocks": blocks, "block_size": 16, "max_num_seqs": seats}
    found: list[Any] = [one | {"pod": f"p{n}"} for n in range(count)]
    totals = {"running": 1.0 * count, "waiting": waiting * count, "reachable": count, "total": count}
    return {"replicas": found} | totals


def rollout(
    desired: int, *, changed: list[Any] | None = None, age: float | None = 20.0, scaled: list[Any] | None = None
) -> dict[str, Any]:
    return {
        "workload": WORKLOAD,
        "desired": desired,
        "ready": desired,
        "complete": True,
        "changed": changed or [],
        "changed_age_s": age,
        "scaled": scaled or [],
    }


def flag(name: str, before: str | None, after: str | None) -> dict[str, Any]:
    return {"container": "engine", "flag": name, "before": before, "after": after}


def scaled(before: int | None, after: int, age: float | None) -> dict[str, Any]:
    return {"at_s": 1.0, "age_s": age, "from": before, "to": after, "replicaset": "rs"}


HEALTHY: dict[str, Any] = {
    "telemetry": vector(3.0),
    "ttft": vector(0.3),
    "waiting": course(0, 0, 0.1, 1),
    "running": course(4, 5, 4.5, 7),
    "finished": finished(length=90.0, stop=8.0, abort=0.0),
    "kv": vector(0.18),
    "preemptions": vector(0.0),
    "batch": vector(7.0),
    "limits": replicas(3, waiting=0),
    "topology": {"service": "Service/llm-x7/svc-chat", "workloads": [WORKLOAD], "pods": [], "broken": []},
    "rollout": rollout(3, age=None),
}
SMALL_CACHE = HEALTHY | {
    "ttft": vector(3.9),
    "waiting": course(0, 22, 9.0, 24),
    "running": course(5, 3, 3.8, 6),
    "finished": finished(length=40.0, abort=31.0),
    "kv": vector(1.0),
    "preemptions": vector(17.2),
    "batch": vector(5.0),
    "limits": replicas(3, waiting=6, blocks=14),
    "rollout": rollout(3, changed=[flag("--num-gpu-blocks-override", "256", "14")]),
}
FEW = HEALTHY | {
    "telemetry": vector(1.0),
    "ttft": vector(4.4),
    "waiting": course(0, 18, 11.0, 20),
    "running": course(5, 4, 4.1, 6),
    "finished": finished(length=48.0, abort=30.0),
    "kv": vector(0.2),
    "batch": vector(4.0),
    "limits": replicas(1, waiting=15),
    "rollout": rollout(1, age=None, scaled=[scaled(3, 1, 14.0), scaled(0, 3, 300.0)]),
}


async def run(world: dict[str, Any], **inputs: str) -> GuideResult:
    clock = VirtualClock(auto=True)
    runner = Runner(find("ttft-slo-burn"), ScriptedCaller(world, clock), clock)
    return await runner.run(INPUTS | inputs, run_id="r", alert=ALERT)


def found(result: GuideResult) -> tuple[str, str, str | None]:
    """Return (step, mechanism or verdict, confidence) of the primary outcome."""
    first = result.primary
    assert first is not None
    return (
        first.step,
        first.cause.mechanism if first.cause else first.verdict,
        (first.cause.confidence if first.cause else None),
    )


async def test_within_the_objective_it_is_healthy_and_nothing_is_drafted() -> None:
    result = await run(HEALTHY)
    assert found(result) == ("healthy", "healthy", None)
    assert result.plan_draft is None
    assert result.primary is not None
    assert "0.3 s (objective 0.8 s)" in result.primary.says


async def test_a_cache_that_a_rollout_shrank_gets_its_blocks_back() -> None:
    result = await run(SMALL_CACHE)
    assert found(result) == ("kv_shrunk_by_rollout", "serving.kv_cache_too_small", "certain")
    assert result.primary is not None
    assert result.primary.cause is not None
    assert str(result.primary.cause.entity) == WORKLOAD
    draft = result.plan_draft
    assert draft is not None
    assert draft["operations"] == [
        {
            "op": "set_args",
            "target": {"kind": "Deployment", "namespace": "llm-x7", "name": "chat-q2"},
            "args": {"container": "engine", "args": {"--num-gpu-blocks-override": "256"}},
        }
    ]
    first, second = (Expectation.model_validate(expected) for expected in draft["expect"])
    assert first.promql is not None
    assert 'service="svc-chat"}[20s]' in first.promql
    assert (first.holds, first.within_s, first.hold_s) == ("value < 0.8", 30.0, 5.0)
    assert str(second.object) == WORKLOAD
    assert draft["cause"]["mechanism"] == "serving.kv_cache_too_small"
    cited = {step.id for step in result.steps if step.evidence in draft["evidence"]}
    assert {"kv", "waiting", "rollout"} <= cited
    assert [item.mechanism for item in result.ruled_out] == ["serving.too_few_replicas"]


@pytest.mark.parametrize(
    ("change", "flags"),
    [
        (flag("--num_gpu_blocks_override", "200", "12"), {"--num_gpu_blocks_override": "200"}),
        (flag("--num-gpu-blocks-override", None, "14"), {"--num-gpu-blocks-override": None}),
        (flag("--gpu-memory-utilization", "0.9", "0.3"), {"--gpu-memory-utilization": "0.9"}),
    ],
)
async def test_the_flag_goes_back_in_the_form_in_which_it_stands(change: dict[str, Any], flags: dict[str, Any]) -> None:
    others = [flag("image", "a:1", "a:2"), flag("--seed", "1", "2"), change]
    result = await run(SMALL_CACHE | {"rollout": rollout(3, changed=others)})
    assert result.plan_draft is not None
    assert result.plan_draft["operations"][0]["args"]["args"] == flags


@pytest.mark.parametrize(
    "seen",
    [
        rollout(3),
        rollout(3, changed=[flag("--num-gpu-blocks-override", "14", "256")]),
        rollout(3, changed=[flag("--num-gpu-blocks-override", "256", None)]),
        rollout(3, changed=[flag("--num-gpu-blocks-override", "256", "14")], age=7200.0),
        rollout(3, changed=[flag("--num-gpu-blocks-override", "256", "14")], age=None),
        ToolFailedError("forbidden", retry=False),
    ],
)
async def test_without_a_recorded_change_the_cause_is_likely_and_nothing_is_proposed(seen: Any) -> None:
    result = await run(SMALL_CACHE | {"rollout": seen})
    assert found(result) == ("kv_too_small", "serving.kv_cache_too_small", "likely")
    assert result.plan_draft is None


async def test_a_cache_is_the_limit_when_running_requests_are_preempted_though_the_batch_looks_full() -> None:
    result = await run(SMALL_CACHE | {"batch": vector(12.0), "limits": replicas(3, waiting=4, blocks=30)})
    assert found(result)[1] == "serving.kv_cache_too_small"


async def test_a_rollout_that_has_just_begun_is_waited_for_before_the_cache_is_read() -> None:
    clock = VirtualClock(auto=True)
    began = clock.now() - 4.0

    def growing(_arguments: dict[str, Any]) -> dict[str, Any]:
        return rollout(3, changed=[flag("--num-gpu-blocks-override", "256", "14")], age=clock.now() - began)

    def swapped(_arguments: dict[str, Any]) -> dict[str, Any]:
        return vector(1.0 if clock.now() - began >= 8 else 0.2)

    caller = ScriptedCaller(SMALL_CACHE | {"rollout": growing, "kv": swapped}, clock)
    result = await Runner(find("ttft-slo-burn"), caller, clock).run(INPUTS, run_id="r", alert=ALERT)
    assert found(result)[0] == "kv_shrunk_by_rollout"
    assert 11.0 <= clock.now() - began - 4.0 <= 13.0
    assert len([call for call in caller.calls if call.step == "kv"]) == 1


async def test_replicas_that_were_taken_away_come_back() -> None:
    result = await run(FEW)
    assert found(result) == ("scaled_down_too_far", "serving.too_few_replicas", "certain")
    assert result.plan_draft is not None
    operation = result.plan_draft["operations"][0]
    assert (operation["op"], operation["target"]["name"], operation["args"]) == ("scale", "chat-q2", {"replicas": 3})
    assert [item.mechanism for item in result.ruled_out] == ["serving.kv_cache_too_small"]


@pytest.mark.parametrize(
    ("desired", "ended", "wanted"),
    [
        (2, finished(length=100.0), 4),
        (2, finished(length=60.0, abort=60.0), 7),
        (2, finished(length=10.0, abort=190.0), 8),
        (1, finished(abort=50.0), 2),
        (1, finished(), 2),
    ],
)
async def test_a_load_that_outgrew_the_replicas_gets_as_many_as_it_needs(
    desired: int, ended: dict[str, Any], wanted: int
) -> None:
    world = FEW | {"finished": ended, "rollout": rollout(desired), "waiting": course(4, 4, 4, 4)}
    result = await run(world)
    assert found(result) == ("too_few_replicas", "serving.too_few_replicas", "likely")
    assert result.plan_draft is not None
    assert result.plan_draft["operations"][0]["args"]["replicas"] == wanted


async def test_a_full_batch_with_a_cache_in_use_is_busy_and_not_short_of_cache() -> None:
    assert found(await run(FEW | {"kv": vector(0.9)}))[1] == "serving.too_few_replicas"


async def test_a_batch_limit_that_a_rollout_lowered_is_set_back() -> None:
    lowered = rollout(3, changed=[flag("--max-num-seqs", "8", "1")])
    limits = replicas(3, waiting=5, seats=1)
    result = await run(FEW | {"batch": vector(3.0), "limits": limits, "rollout": lowered})
    assert found(result) == ("batch_limit_lowered", "serving.batch_limit_too_low", "certain")
    assert result.plan_draft is not None
    assert result.plan_draft["operations"][0]["args"] == {"container": "engine", "args": {"--max-num-seqs": "8"}}


@pytest.mark.parametrize(
    "absent", [["telemetry"], ["waiting"], ["running"], ["waiting", "running", "ttft", "finished"]]
)
async def test_without_series_there_is_no_telemetry_and_no_verdict_on_the_service(absent: list[str]) -> None:
    result = await run(SMALL_CACHE | {step: vector() for step in absent})
    assert found(result) == ("no_telemetry", "telemetry.missing", "likely")
    assert result.primary is not None
    assert result.primary.cause is not None
    assert str(result.primary.cause.entity) == "Service/llm-x7/svc-chat"
    assert result.primary.evidence


async def test_targets_of_which_none_answers_are_for_a_person() -> None:
    assert found(await run(HEALTHY | {"telemetry": vector(0.0)}))[0] == "none_answer"


async def test_without_load_there_is_nothing_to_judge() -> None:
    idle = HEALTHY | {"ttft": vector("NaN"), "waiting": course(0, 0, 0, 0), "running": course(0, 0, 0, 0)}
    result = await run(idle | {"finished": finished(length=0.0)})
    assert found(result)[:2] == ("no_load", "escalate")
    assert result.primary is not None
    assert result.primary.says.startswith("No load")


@pytest.mark.parametrize("ttft", [vector("NaN"), vector()])
async def test_when_not_one_first_token_came_it_is_not_healthy(ttft: dict[str, Any]) -> None:
    stalled = {"ttft": ttft, "finished": finished(abort=40.0)}
    assert found(await run(SMALL_CACHE | stalled))[1] == "serving.kv_cache_too_small"
    assert found(await run(FEW | stalled))[1] == "serving.too_few_replicas"
    assert found(await run(HEALTHY | stalled))[0] == "not_weighed"


async def test_a_queue_that_is_just_building_up_is_looked_into_before_the_quantile_shows_it() -> None:
    early = {"ttft": vector(0.4), "waiting": course(0, 9, 0.8, 9)}
    assert found(await run(SMALL_CACHE | early))[0] == "kv_shrunk_by_rollout"
    assert found(await run(HEALTHY | early))[0] == "healthy"


async def test_slow_without_a_limit_in_sight_is_for_a_person() -> None:
    result = await run(HEALTHY | {"ttft": vector(2.5)})
    assert found(result)[0] == "unexplained"
    assert len(result.ruled_out) == 2


@pytest.mark.parametrize("gap", ["kv", "preemptions", "batch"])
@pytest.mark.parametrize("lost", [vector(), ToolFailedError("connection refused")])
async def test_a_gap_in_what_must_be_weighed_is_said_and_not_read_as_zero(gap: str, lost: Any) -> None:
    result = await run(SMALL_CACHE | {gap: lost})
    assert found(result)[0] == "not_weighed"
    assert result.primary is not None
    assert "not measured" in result.primary.says


@pytest.mark.parametrize("limits", [replicas(3, waiting=1, seats=None), replicas(0, waiting=0)])
async def test_a_backend_that_does_not_tell_its_limits_is_not_guessed_at(limits: dict[str, Any]) -> None:
    assert found(await run(FEW | {"limits": limits}))[0] == "not_weighed"


@pytest.mark.parametrize("workloads", [[], [WORKLOAD, "Deployment/llm-x7/canary"], ["StatefulSet/llm-x7/chat-q2"]])
async def test_unless_one_deployment_stands_behind_the_service_nothing_is_proposed(workloads: list[str]) -> None:
    topology = HEALTHY["topology"] | {"workloads": workloads}
    for world in (SMALL_CACHE, FEW):
        result = await run(world | {"topology": topology})
        assert result.plan_draft is None
        assert found(result)[1] == "escalate"


async def test_a_reading_that_must_be_there_and_cannot_be_had_fails_the_run() -> None:
    result = await run(SMALL_CACHE | {"waiting": ToolFailedError("connection refused")})
    assert result.state == "failed"
    assert found(result)[:2] == ("waiting", "escalate")


async def test_an_expectation_can_be_demanded_that_cannot_be_met() -> None:
    result = await run(SMALL_CACHE, expect_below="1ms")
    assert result.plan_draft is not None
    assert result.plan_draft["expect"][0]["holds"] == "value < 0.001"


async def test_a_name_from_an_alert_cannot_break_out_of_a_query() -> None:
    clock = VirtualClock(auto=True)
    caller = ScriptedCaller(HEALTHY, clock)
    nasty = 'a"} or vector(1) #'
    runner = Runner(find("ttft-slo-burn"), caller, clock)
    await runner.run(INPUTS | {"namespace": nasty, "service": "s"}, run_id="r")
    assert caller.calls[0].arguments == {"query": 'sum(up{namespace="a\\"} or vector(1) #",service="s"})'}
