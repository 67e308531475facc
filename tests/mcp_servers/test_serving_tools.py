import pytest

from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.testing.backend import BackendDouble
from midwatch_mcp.testing.caller import Caller, Era
from midwatch_mcp.testing.world import World

pytestmark = pytest.mark.anyio
CHAT = {"namespace": "llm", "service": "chat"}


@pytest.fixture
def serving(settings: ServerSettings, era: Era) -> Caller:
    return Caller.of("serving", settings, era)


async def test_every_replica_behind_the_service_is_asked_through_the_pod_proxy(serving: Caller, world: World) -> None:
    data = await serving.data("serving_status", **CHAT)
    assert (data["reachable"], data["total"], data["running"], data["waiting"]) == (2, 3, 2, 10)
    assert data["max_kv_cache_usage"] == 0.9
    first = data["replicas"][0]
    assert (first["pod"], first["num_gpu_blocks"], first["block_size"], first["max_num_seqs"]) == (
        "chat-new-a",
        14,
        16,
        4,
    )
    assert first["missing"] == []
    assert any(seen.path == "/api/v1/namespaces/llm/pods/chat-new-a:8000/proxy/metrics" for seen in world.seen)


async def test_a_replica_that_does_not_answer_is_named_with_its_error(serving: Caller) -> None:
    replicas = (await serving.data("serving_status", **CHAT))["replicas"]
    silent = [replica for replica in replicas if not replica["reachable"]]
    assert [replica["pod"] for replica in silent] == ["chat-new-c"]
    assert "refused" in silent[0]["error"]
    assert silent[0]["running"] is None


async def test_what_a_version_does_not_offer_is_missing_and_not_zero(serving: Caller, world: World) -> None:
    world.backends["old"] = BackendDouble(
        exposition='vllm:num_requests_running{engine="0"} 1\nvllm:num_requests_waiting{engine="0"} 0\n'
        'vllm:gpu_cache_usage_perc{engine="0"} 0.5\n',
        configurable=False,
    )
    data = await serving.data("serving_status", url=f"{world.url}/backends/old")
    (replica,) = data["replicas"]
    assert (replica["kv_cache_usage"], replica["preemptions"], replica["max_num_seqs"]) == (0.5, None, None)
    assert set(replica["missing"]) == {"vllm:num_preemptions_total", "vllm:cache_config_info"}


async def test_configuration_names_in_which_replicas_differ_and_drift_from_arguments(
    serving: Caller, world: World
) -> None:
    world.cluster.remove("Pod", "llm", "chat-new-c")
    world.backends["chat-new-a"].values = {"num_gpu_blocks_override": 14, "max_num_seqs": 4}
    world.backends["chat-new-b"].values = {"num_gpu_blocks_override": 14, "max_num_seqs": 8}
    data = await serving.data("serving_config", **CHAT)
    assert data["differs"] == ["max_num_seqs"]
    assert data["drift"] == [{"pod": "chat-new-b", "name": "max_num_seqs", "argument": "4", "effective": 8}]
    assert data["replicas"][0]["etag"] == '"1"'


async def test_a_backend_without_a_configuration_resource_says_so(serving: Caller, world: World) -> None:
    world.backends["vllm"] = BackendDouble(configurable=False, exposition="up 1\n", models=[{"id": "tiny"}])
    data = await serving.data("serving_config", url=f"{world.url}/backends/vllm")
    assert "no configuration resource" in data["replicas"][0]["error"]


async def test_models_are_told_apart_by_whether_all_replicas_serve_them(serving: Caller, world: World) -> None:
    world.backends["chat-new-b"].model = "other"
    data = await serving.data("serving_models", **CHAT)
    assert (data["everywhere"], data["somewhere"]) == ([], ["other", "tiny"])


async def test_a_probe_is_one_real_request_that_is_timed(serving: Caller, world: World) -> None:
    data = await serving.data("serving_probe", **CHAT, prompt="hello")
    assert (data["pod"], data["ok"], data["tokens"], data["text"]) == ("chat-new-a", True, 2, "pong")
    assert 0 < data["ttft_s"] <= data["total_s"]
    posts = [seen.path for seen in world.seen if seen.method == "POST"]
    assert posts == ["/api/v1/namespaces/llm/pods/chat-new-a:8000/proxy/v1/chat/completions"]


async def test_a_probe_of_a_dead_backend_reports_the_failure(serving: Caller) -> None:
    data = await serving.data("serving_probe", url="http://127.0.0.1:1")
    assert (data["ok"], data["ttft_s"]) == (False, None)
    assert "cannot be reached" in data["error"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, "give namespace and service"),
        ({"namespace": "llm"}, "give namespace and service"),
        ({"url": "http://127.0.0.1:1", "service": "chat"}, "not both"),
        ({"url": "http://169.254.169.254/latest"}, "out of bounds"),
        ({"url": "file:///etc/passwd"}, "no base URL"),
        ({"url": "http://ann:hunter2@127.0.0.1:1"}, "no base URL"),
        ({"namespace": "llm", "service": "nothing"}, "not found"),
    ],
)
async def test_who_is_meant_must_be_said_in_one_way(serving: Caller, arguments: dict[str, str], told: str) -> None:
    text = await serving.error("serving_status", **arguments)
    assert told in text
    assert "hunter2" not in text


def request_row(name: str, age: float, **more: object) -> dict[str, object]:
    row: dict[str, object] = {"id": name, "state": "waiting", "arrived": "2026-01-01T00:00:00.000Z", "age_s": age}
    return {**row, "first_scheduled": None, "first_token": None, "last_token": None, "prompt_tokens": 9, **more}


async def test_requests_of_all_replicas_come_oldest_first_with_their_timelines(serving: Caller, world: World) -> None:
    running = {
        "state": "running",
        "first_scheduled": "2026-01-01T00:00:01.000Z",
        "first_token": "2026-01-01T00:00:02.500Z",
        "last_token": "2026-01-01T00:00:04.000Z",
        "output_tokens": 7,
        "max_tokens": 64,
        "blocks": 3,
        "preemptions": 2,
    }
    world.backends["chat-new-a"].requests = [request_row("r1", 5.0, **running)]
    world.backends["chat-new-b"].requests = [request_row("r2", 30.0), request_row("r3", 1.0)]
    found = await serving.result("serving_requests", **CHAT)
    old, ran, young = found["data"]["requests"]
    assert [old["id"], ran["id"], young["id"]] == ["r2", "r1", "r3"]
    assert (old["queued_s"], old["ttft_s"], old["since_token_s"]) == (30.0, None, None)
    assert (ran["queued_s"], ran["ttft_s"], ran["since_token_s"], ran["blocks"]) == (1.0, 2.5, 1.0, 3)
    assert (found["data"]["running"], found["data"]["waiting"]) == (1, 2)
    assert [silent["pod"] for silent in found["data"]["silent"]] == ["chat-new-c"]
    assert found["summary"] == (
        "1 requests run and 2 wait in 2 of 3 replicas. The oldest that waits has waited 30.0 s. 1 were preempted."
    )


async def test_a_backend_that_lists_no_requests_is_named_with_what_to_ask_instead(serving: Caller) -> None:
    silent = (await serving.data("serving_requests", **CHAT))["silent"]
    assert "serving_status" in silent[0]["error"]


def side(**config: object) -> dict[str, object]:
    return {"config": config, "replicas": 1, "figures": {}, "bands": {}, "preemptions": 0, "rejected": 0}


async def test_a_what_if_is_answered_by_a_ready_replica_and_says_what_is_beyond_the_error(
    serving: Caller, world: World
) -> None:
    world.backends["chat-new-a"].prediction = {
        "cost_model": {"name": "cpu-tiny", "uncertainty": "10 %"},
        "current": side(max_num_seqs=4) | {"bands": {"ttft_p95_ms": [800.0, 1200.0], "tpot_p95_ms": None}},
        "proposed": side(max_num_seqs=8) | {"bands": {"ttft_p95_ms": [200.0, 310.5], "tpot_p95_ms": None}},
        "difference": {
            "ttft_p95_ms": {"ratio": 0.25, "beyond_error": True},
            "tpot_p95_ms": {"ratio": 1.05, "beyond_error": False},
        },
    }
    found = await serving.result("serving_what_if", **CHAT, load={"rate": 6}, config={"max_num_seqs": 8})
    assert found["summary"] == (
        "Simulated: beyond the simulation's error are ttft_p95_ms x 0.25 (800-1200 to 200-310.5)."
    )
    assert (found["data"]["asked"], found["data"]["beyond_error"]) == ("chat-new-a", ["ttft_p95_ms"])
    assert found["data"]["ratios"] == {"ttft_p95_ms": 0.25, "tpot_p95_ms": 1.05}
    (body,) = world.backends["chat-new-a"].asked
    assert body["load"] == {"rate": 6.0, "cv": 1.0}
    assert body["config"] == {"max_num_seqs": 8}


async def test_a_what_if_without_a_load_or_a_backend_that_can_is_refused_with_the_mend(serving: Caller) -> None:
    assert "either rate or concurrency" in await serving.error("serving_what_if", **CHAT, load={})
    assert "Name a cost_model" in await serving.error("serving_what_if", **CHAT, load={"rate": 1})
    bad = await serving.error("serving_what_if", **CHAT, load={"rate": 1}, cost_model="../../etc/passwd")
    assert "pattern" in bad


@pytest.mark.slow
async def test_a_backend_that_cannot_is_simulated_in_a_child_process(serving: Caller) -> None:
    found = await serving.data(
        "serving_what_if",
        **CHAT,
        load={"rate": 2, "prompt_tokens": 32, "output_tokens": 8},
        config={"max_num_seqs": 2},
        cost_model="cpu-tiny",
    )
    assert found["asked"] == "child process"
    assert (found["current"]["config"]["max_num_seqs"], found["proposed"]["config"]["max_num_seqs"]) == (4, 2)
    assert found["current"]["config"]["num_gpu_blocks_override"] == 14
    assert found["current"]["figures"]["completed"] > 0
    refused = await serving.error("serving_what_if", **CHAT, load={"rate": 2}, cost_model="none-such")
    assert "none-such" in refused
