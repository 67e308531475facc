"""vLLM servers of different releases, and replicas that misbehave: what the serving tools say of each."""

import pytest
from tests.mcp_servers.conftest import pod

from midwatch_mcp.serving.configuration import same
from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.testing.backend import BackendDouble, Fault
from midwatch_mcp.testing.caller import Caller
from midwatch_mcp.testing.vllm import older_vllm, recent_vllm
from midwatch_mcp.testing.world import World

pytestmark = pytest.mark.anyio
CHAT = {"namespace": "llm", "service": "chat"}
ARGS = [
    *("--model", "llama", "--max-model-len", "32K", "--gpu-memory-utilization=0.92"),
    *("--no-enable-prefix-caching", "--max-num-seqs", "64"),
]


@pytest.fixture
def serving(settings: ServerSettings) -> Caller:
    return Caller.of("serving", settings)


@pytest.fixture
def fleet(world: World) -> World:
    """Three ready replicas behind the Service, of which the first two are vLLM 0.33 and 0.6."""
    for name in ("chat-new-a", "chat-new-b", "chat-new-c"):
        world.cluster.put(pod(name, ready=True, args=ARGS))
    place(world, "chat-new-a", recent_vllm(adapters=("legal",)))
    place(world, "chat-new-b", older_vllm())
    place(world, "chat-new-c", recent_vllm(enable_prefix_caching="False"))
    return world


def place(world: World, name: str, backend: BackendDouble) -> None:
    world.backends[name] = backend
    world.cluster.backends[name] = world.backends[name].answer


@pytest.mark.usefixtures("fleet")
async def test_releases_are_told_apart_and_metrics_that_moved_are_named(serving: Caller) -> None:
    found = await serving.result("serving_status", **CHAT)
    recent, older, _ = found["data"]["replicas"]
    assert (recent["kv_cache_usage"], recent["num_gpu_blocks"], recent["missing"], recent["older"]) == (
        0.41,
        27904,
        [],
        [],
    )
    assert (older["running"], older["kv_cache_usage"], older["preemptions"]) == (5, 0.2, None)
    assert older["older"] == ["vllm:gpu_cache_usage_perc"]
    assert set(older["missing"]) == {"vllm:num_preemptions_total", "vllm:cache_config_info"}
    assert (recent["version"], older["version"]) == ("0.33.0", "0.6.3")
    assert found["summary"].endswith("They are of 2 versions. Some metrics have names of an older version.")


async def test_what_vllm_tells_is_set_beside_the_arguments_and_the_rest_is_named(serving: Caller, fleet: World) -> None:
    fleet.backends["chat-new-a"].server_info = {"vllm_config": {"scheduler_config": {"max_num_seqs": 256}}}
    found = await serving.result("serving_config", **CHAT)
    first, second, third = found["data"]["replicas"]
    assert (first["source"], first["values"]["max_model_len"], first["values"]["kv_cache_dtype"]) == (
        "vllm",
        32768,
        "auto",
    )
    assert "num_gpu_blocks_override" not in first["values"]
    assert first["arguments_only"] == ["model"]
    assert second["values"] == {"max_model_len": 32768}
    assert "max_num_seqs" in third["arguments_only"]
    assert found["data"]["drift"] == [
        {"pod": "chat-new-a", "name": "enable_prefix_caching", "argument": "false", "effective": True},
        {"pod": "chat-new-a", "name": "max_num_seqs", "argument": "64", "effective": 256},
    ]
    assert found["data"]["differs"] == ["enable_prefix_caching"]
    assert "3 are vLLM, which tells a part" in found["summary"]


@pytest.mark.usefixtures("fleet")
async def test_adapters_are_listed_with_their_model(serving: Caller) -> None:
    data = await serving.data("serving_models", **CHAT)
    assert (data["everywhere"], data["somewhere"]) == (["llama"], ["legal"])
    assert data["replicas"][0]["models"][1]["parent"] == "llama"


@pytest.mark.parametrize(
    ("fault", "told"),
    [("unavailable", "HTTP 503"), ("html", "no metrics: <html>"), ("half", ""), ("hang", "")],
)
async def test_a_replica_that_misbehaves_is_named_and_costs_the_others_nothing(
    serving: Caller, fleet: World, monkeypatch: pytest.MonkeyPatch, fault: Fault, told: str
) -> None:
    monkeypatch.setattr("midwatch_mcp.serving.replicas.TIMEOUT_S", 0.3)
    fleet.backends["chat-new-b"].fault = fault
    found = await serving.result("serving_status", **CHAT)
    assert (found["data"]["reachable"], found["data"]["running"]) == (2, 14)
    bad = found["data"]["replicas"][1]
    assert (bad["pod"], bad["reachable"], bad["running"]) == ("chat-new-b", False, None)
    assert bad["error"]
    assert told in bad["error"]
    assert (await serving.data("serving_models", **CHAT))["everywhere"] == ["llama"]
    assert (await serving.data("serving_config", **CHAT))["replicas"][1]["error"]


async def test_a_call_ends_with_what_it_has_when_its_time_is_over(
    serving: Caller, fleet: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midwatch_mcp.serving.replicas.WHOLE_S", 0.5)
    fleet.backends["chat-new-c"].fault = "hang"
    replicas = (await serving.data("serving_status", **CHAT))["replicas"]
    assert [replica["reachable"] for replica in replicas] == [True, True, False]
    assert "within the 0.5 s of this call" in replicas[2]["error"]


@pytest.mark.parametrize("fault", ["unavailable", "html", "half", "hang"])
async def test_a_url_that_misbehaves_is_told_too(
    serving: Caller, fleet: World, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    monkeypatch.setattr("midwatch_mcp.serving.replicas.TIMEOUT_S", 0.3)
    fleet.backends["chat-new-a"].fault = fault
    url = f"{fleet.url}/backends/chat-new-a"
    found = await serving.result("serving_status", url=url)
    assert (found["data"]["reachable"], found["data"]["running"]) == (0, None)
    assert "not measured how many requests run" in found["summary"]
    probed = await serving.data("serving_probe", url=url, timeout_s=0.3)
    assert (probed["ok"], probed["ttft_s"]) == (False, None)
    assert probed["error"]


async def test_a_probe_of_what_is_no_stream_says_so(serving: Caller, fleet: World) -> None:
    fleet.backends["chat-new-a"].words = ()
    probed = await serving.data("serving_probe", url=f"{fleet.url}/backends/chat-new-a")
    assert (probed["ok"], probed["tpot_s"]) == (False, None)
    assert "held no token" in probed["error"]
    fleet.backends["chat-new-a"].words = ("a", "b", "c")
    probed = await serving.data("serving_probe", url=f"{fleet.url}/backends/chat-new-a")
    assert probed["tpot_s"] >= 0


@pytest.mark.parametrize(
    ("argument", "value", "told"),
    [
        ("32K", 32768, True),
        ("32k", 32000, True),
        ("32k", 32768, False),
        ("0.92", 0.92, True),
        ("true", True, True),
        ("false", True, False),
        ("auto", "auto", True),
        ("k", 1000, False),
    ],
)
def test_an_argument_is_read_as_vllm_reads_it(argument: str, value: object, told: bool) -> None:  # noqa: FBT001
    assert same(argument, value) is told
