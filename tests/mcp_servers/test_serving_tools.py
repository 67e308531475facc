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
    world.backends["vllm"] = BackendDouble(configurable=False)
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
