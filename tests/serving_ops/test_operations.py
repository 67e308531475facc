"""Sleep, pause, drain, cancel and reset: what they refuse, what they free, and that no answer changes by them."""

import asyncio
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from httpx2 import AsyncClient, Response

from midwatch_contracts.clock import VirtualClock
from midwatch_serving.block_manager import BlockManager
from midwatch_serving.byte_tokenizer import ByteTokenizer
from midwatch_serving.engine import Engine
from midwatch_serving.errors import EngineDead, RequestError, ServingError
from midwatch_serving.executor import CpuExecutor
from midwatch_serving.metrics import CacheInfo, Metrics
from midwatch_serving.model import Model, ModelConfig, tiny
from midwatch_serving.operations import Mode, Operations
from midwatch_serving.sampling import Sample, SamplingParams
from midwatch_serving.scheduler import Limits, Scheduler
from midwatch_serving.service import Service
from midwatch_serving.sleepable import SleepableExecutor
from midwatch_serving.throttle import Throttle
from midwatch_serving.work import StepResult, Work

pytestmark = pytest.mark.anyio

DEADLINE_S = 20
CHAT = "/v1/chat/completions"


def ask(client: AsyncClient, text: str, tokens: int = 60) -> "asyncio.Task[Response]":
    body = {"model": "tiny", "messages": [{"role": "user", "content": text}], "max_tokens": tokens, "temperature": 0}
    return asyncio.create_task(client.post(CHAT, json=body))


def content(answer: Response) -> str:
    assert answer.status_code == 200, answer.text
    return answer.json()["choices"][0]["message"]["content"]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110 (what is waited for sets no event)
            await asyncio.sleep(0.002)


async def under_way(service: Service, count: int) -> None:
    """Wait until so many requests have a token each."""
    scheduler = service.engine.scheduler
    await until(lambda: sum(len(s.output) > 2 for s in scheduler.running) == count)


async def value(client: AsyncClient, series: str) -> float:
    lines = (await client.get("/metrics")).text.splitlines()
    (found,) = [line for line in lines if line.startswith(series)]
    return float(found.rpartition(" ")[2])


@pytest.mark.parametrize("level", [1, 2])
async def test_requests_that_are_kept_over_a_sleep_get_the_tokens_they_would_have_had(serving: Any, level: int) -> None:
    async with serving() as (service, client):
        alone = [content(await ask(client, text)) for text in ("one", "two", "three")]
        asked = [ask(client, text) for text in ("one", "two", "three")]
        await under_way(service, 3)
        assert (await client.post(f"/sleep?level={level}&mode=keep")).status_code == 200
        assert (await client.get("/is_sleeping")).json() == {"is_sleeping": True}
        assert service.engine.scheduler.blocks.num_free == service.engine.scheduler.blocks.num_blocks
        assert not any(task.done() for task in asked)
        assert (await client.post("/wake_up")).status_code == 200
        assert [content(await task) for task in asked] == alone
        assert (await client.get("/is_sleeping")).json() == {"is_sleeping": False}


async def test_while_it_sleeps_requests_are_refused_and_the_server_is_healthy(serving: Any) -> None:
    async with serving() as (_, client):
        await client.post("/sleep")
        refused = await ask(client, "hello")
        assert refused.status_code == 503
        assert "asleep (level 1): wake it with POST /wake_up" in refused.json()["error"]["message"]
        assert (await client.get("/health")).status_code == 200
        assert (await client.post("/sleep?level=2")).status_code == 409
        assert (await client.post("/sleep?level=1")).status_code == 200
        assert (await client.post("/pause")).status_code == 409
        assert (await client.post("/resume")).status_code == 409
        await client.post("/wake_up")
        assert content(await ask(client, "hello"))


async def test_sleep_is_shown_by_the_metrics(serving: Any) -> None:
    async with serving() as (_, client):
        state = 'vllm:engine_sleep_state{engine="0",model_name="tiny",sleep_state="'
        seen: list[tuple[float, ...]] = []
        for path in ("/wake_up", "/sleep?level=1", "/wake_up", "/sleep?level=2"):
            await client.post(path)
            seen.append(
                tuple([await value(client, state + name) for name in ("awake", "weights_offloaded", "discard_all")])
            )
        assert seen == [(1, 0, 0), (0, 1, 0), (1, 0, 0), (0, 0, 1)]


async def test_a_sleep_aborts_or_waits_as_it_is_told(serving: Any) -> None:
    async with serving() as (service, client):
        asked = ask(client, "hello", 400)
        await under_way(service, 1)
        await client.post("/sleep?mode=abort")
        assert (await asked).status_code == 503
        await client.post("/wake_up")
        asked = ask(client, "hello", 40)
        await under_way(service, 1)
        await client.post("/sleep?mode=wait")
        assert asked.done() or service.engine.idle.is_set()
        assert len(content(await asked)) == 40


async def test_a_pause_holds_new_requests_and_kept_ones_go_on_where_they_were(serving: Any) -> None:
    async with serving() as (service, client):
        alone = content(await ask(client, "hello"))
        first = ask(client, "hello")
        await under_way(service, 1)
        assert (await client.post("/pause?mode=keep")).json() == {"status": "paused"}
        assert (await client.get("/is_paused")).json() == {"is_paused": True}
        late = ask(client, "hello")
        await until(lambda: len(service.engine.scheduler.waiting) == 1)
        deferred = 'vllm:num_requests_waiting_by_reason{engine="0",model_name="tiny",reason="deferred"}'
        assert await value(client, deferred) == 1
        assert await value(client, "midwatch_queue_oldest_seconds") > 0
        assert (await client.post("/sleep?mode=wait")).status_code == 409
        assert (await client.post("/resume")).json() == {"status": "resumed"}
        assert [content(await first), content(await late)] == [alone, alone]
        assert await value(client, deferred) == 0
        assert await value(client, "midwatch_queue_oldest_seconds") == 0


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("/sleep?level=3", "level"),
        ("/sleep?mode=now", "mode"),
        ("/pause?mode=", "mode"),
        ("/pause?clear_cache=maybe", "clear_cache"),
        ("/wake_up?tags=weights", "tags"),
        ("/reset_prefix_cache?reset_running_requests=2", "reset_running_requests"),
    ],
)
async def test_parameters_that_make_no_sense_are_refused_by_name(serving: Any, path: str, param: str) -> None:
    async with serving() as (_, client):
        refused = await client.post(path)
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)


async def test_load_counts_what_runs_and_waits(serving: Any) -> None:
    async with serving("--max-num-seqs", "1") as (service, client):
        assert (await client.get("/load")).json() == {"server_load": 0}
        asked = [ask(client, "hello", 300), ask(client, "hello", 300)]
        await until(lambda: len(service.engine.scheduler.sequences()) == 2)
        assert (await client.get("/load")).json() == {"server_load": 2}
        service.engine.abort_all()
        await asyncio.wait(asked)


async def test_ping_answers_as_health_does(serving: Any) -> None:
    async with serving() as (_, client):
        for status in (200, 503):
            assert {(await client.get(path)).status_code for path in ("/ping", "/health")} == {status}
            await client.post("/admin/drain")


async def test_server_info_tells_the_configuration_as_json_and_as_text(serving: Any) -> None:
    async with serving("--max-num-seqs", "7") as (_, client):
        told = (await client.get("/server_info?config_format=json")).json()
        text = (await client.get("/server_info")).json()
        assert (await client.get("/server_info?config_format=xml")).status_code == 400
    assert set(told) == set(text) == {"vllm_config", "vllm_env", "system_env"}
    assert told["vllm_config"]["settings"]["max_num_seqs"] == 7
    assert told["vllm_config"]["model_config"]["served_model_name"] == "tiny"
    assert "settings.max_num_seqs=7" in text["vllm_config"]


async def test_the_prefix_cache_is_reset_when_nobody_holds_a_block_or_they_give_way(serving: Any) -> None:
    async with serving() as (service, client):
        assert (await client.post("/reset_prefix_cache")).json() == {"success": True}
        alone = content(await ask(client, "hello"))
        asked = ask(client, "hello")
        await under_way(service, 1)
        assert (await client.post("/reset_prefix_cache")).json() == {"success": False}
        assert (await client.post("/reset_prefix_cache?reset_running_requests=true")).json() == {"success": True}
        assert content(await asked) == alone
        assert not service.operations.is_paused


async def test_a_drain_refuses_what_is_new_finishes_what_runs_and_can_be_undone(serving: Any) -> None:
    async with serving() as (service, client):
        alone = content(await ask(client, "hello"))
        asked = ask(client, "hello")
        await under_way(service, 1)
        told = (await client.post("/admin/drain", json={"grace_s": 1000})).json()
        assert (told["draining"], told["grace_s"], told["running"]) == (True, 1000, 1)
        assert told["deadline"].endswith("Z")
        assert (await client.get("/health")).status_code == 503
        assert (await ask(client, "new")).status_code == 503
        assert content(await asked) == alone
        assert (await client.get("/admin/drain")).json()["running"] == 0
        assert (await client.delete("/admin/drain")).json()["draining"] is False
        assert (await client.get("/health")).status_code == 200
        assert content(await ask(client, "hello")) == alone


async def test_a_drain_aborts_what_is_left_when_its_grace_is_over(serving: Any) -> None:
    async with serving() as (service, client):
        asked = ask(client, "hello", 1500)
        await under_way(service, 1)
        await client.post("/admin/drain", json={"grace_s": 0})
        assert (await asked).status_code == 503
        assert not service.engine.scheduler.has_work


@pytest.mark.parametrize("body", [{"grace_s": -1}, {"grace_s": "1"}, {"seconds": 1}])
async def test_a_drain_that_makes_no_sense_is_refused(serving: Any, body: dict[str, object]) -> None:
    async with serving() as (_, client):
        assert (await client.post("/admin/drain", json=body)).status_code == 422
        assert (await client.get("/health")).status_code == 200


async def test_requests_are_cancelled_by_id_and_all_at_once(serving: Any) -> None:
    async with serving() as (service, client):
        asked = [ask(client, text, 1000) for text in ("one", "two", "three")]
        await under_way(service, 3)
        listed = (await client.get("/admin/requests")).json()["requests"]
        first = listed[0]["id"]
        told = (await client.post("/admin/cancel", json={"ids": [first, "nobody", first]})).json()
        assert told == {"cancelled": [first], "unknown": ["nobody"]}
        told = (await client.post("/admin/cancel", json={"all": True})).json()
        assert told == {"cancelled": [row["id"] for row in listed[1:]], "unknown": []}
        assert {(await task).status_code for task in asked} == {503}
        assert not service.engine.scheduler.has_work


@pytest.mark.parametrize("body", [{}, {"ids": []}, {"ids": ["a"], "all": True}, {"all": False}, {"ids": [1]}])
async def test_a_cancel_that_makes_no_sense_is_refused(serving: Any, body: dict[str, object]) -> None:
    async with serving() as (_, client):
        assert (await client.post("/admin/cancel", json=body)).status_code == 422


async def test_migration_is_refused_and_says_what_to_do_instead(serving: Any) -> None:
    async with serving() as (_, client):
        refused = await client.post("/admin/migrate", json={})
    assert (refused.status_code, refused.json()["error"]["code"]) == (501, "not_implemented")
    assert "drain it" in refused.json()["error"]["message"]


async def test_requests_and_blocks_are_shown_as_they_are(serving: Any) -> None:
    async with serving("--block-size", "16") as (service, client):
        asked = ask(client, "hello", 1000)
        await under_way(service, 1)
        (row,) = (await client.get("/admin/requests")).json()["requests"]
        blocks = (await client.get("/admin/blocks")).json()
        assert (row["state"], row["priority"], row["session_id"], row["max_tokens"]) == ("running", 0, None, 1000)
        assert row["arrived"] <= row["first_scheduled"] <= row["first_token"] <= row["last_token"]
        assert blocks["total"] == blocks["free"] + blocks["used"]
        assert list(blocks["tables"]) == [row["id"]]
        assert (blocks["shared"], blocks["prefix_cache"]["findable"]) == ({}, 0)
        service.engine.abort_all()
        await asked


class Constant:
    """Generates one letter for everyone at no price."""

    def execute(self, work: list[Work]) -> StepResult:
        return StepResult([None if w.output_index is None else Sample(ord("x")) for w in work], 0.0)


class Heavy(Constant):
    """Counts what it is told as a sleeper."""

    levels: tuple[int, ...] = (1, 2)

    def __init__(self, *, wakes: bool = True) -> None:
        self.told: list[str] = []
        self.wakes = wakes

    def sleep(self, level: int) -> None:
        self.told.append(f"sleep {level}")

    def wake_up(self) -> None:
        if not self.wakes:
            raise ServingError("the weights are gone")
        self.told.append("wake up")


def bare(heavy: Heavy | None) -> tuple[Engine, Operations]:
    clock = VirtualClock(auto=True)
    scheduler = Scheduler(BlockManager(64, 4), Limits(4, 64), max_model_len=256, clock=clock)
    metrics = Metrics(scheduler, model_name="m", max_model_len=256, cache=CacheInfo(4, 64, 64))
    engine = Engine(
        scheduler, heavy or Constant(), ByteTokenizer(), metrics=metrics, clock=clock, throttle=Throttle(None)
    )
    return engine, Operations(engine, clock, heavy)


async def test_an_executor_that_holds_no_memory_refuses_to_sleep() -> None:
    _, operations = bare(None)
    with pytest.raises(RequestError, match="no sleep of level 1") as refused:
        await operations.sleep(1)
    assert refused.value.status == 501
    assert not operations.is_paused


async def test_operations_that_come_at_once_happen_one_after_the_other() -> None:
    heavy = Heavy()
    _, operations = bare(heavy)
    await asyncio.gather(operations.sleep(2), operations.wake_up(), operations.sleep(1), operations.wake_up())
    assert heavy.told == ["sleep 2", "wake up", "sleep 1", "wake up"]
    assert (operations.is_paused, operations.level) == (False, 0)


async def test_weights_that_cannot_be_loaded_again_leave_it_asleep_and_say_why() -> None:
    engine, operations = bare(Heavy(wakes=False))
    await operations.sleep(2)
    with pytest.raises(RequestError, match="still asleep, for it cannot wake: the weights are gone"):
        await operations.wake_up()
    assert operations.is_sleeping
    with pytest.raises(RequestError, match="asleep"):
        engine.submit("a", (1,), SamplingParams(1))


async def test_waking_up_does_not_end_a_drain() -> None:
    engine, operations = bare(Heavy())
    operations.start_drain()
    await operations.sleep(1)
    await operations.wake_up()
    with pytest.raises(RequestError, match="draining"):
        engine.submit("a", (1,), SamplingParams(1))
    operations.end_drain()
    engine.submit("a", (1,), SamplingParams(1))


@pytest.mark.parametrize("mode", ["abort", "wait", "keep"])
async def test_no_step_runs_after_a_pause_has_returned(mode: Mode) -> None:
    engine, operations = bare(None)
    running = asyncio.create_task(engine.run())
    for name in "abc":
        engine.submit(name, (1, 2, 3), SamplingParams(200))
    for _ in range(20):
        await asyncio.sleep(0)
    await operations.pause(mode)
    before = [len(s.output) for s in engine.scheduler.sequences()]
    for _ in range(200):
        await asyncio.sleep(0)
    assert [len(s.output) for s in engine.scheduler.sequences()] == before
    assert bool(before) == (mode == "keep")
    engine.scheduler.check_integrity()
    running.cancel()
    await asyncio.wait({running})


async def test_a_dead_engine_is_told_as_such() -> None:
    engine, operations = bare(Heavy())
    running = asyncio.create_task(engine.run())
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait({running})
    for operation in (operations.sleep(1), operations.pause(), operations.wake_up()):
        with pytest.raises(EngineDead, match="restart it"):
            await operation


SMALL = ModelConfig(layers=1, hidden=16, heads=2, kv_heads=1, ffn=16, vocab=ByteTokenizer().vocab_size)


def test_level_two_lets_go_of_the_weights_and_they_come_back_the_same() -> None:
    def build(model: Model) -> CpuExecutor:
        return CpuExecutor(model, num_blocks=4, block_size=4, max_model_len=16)

    made = tiny(3, SMALL)
    weights = weakref.ref(made)
    executor = SleepableExecutor(made, build, lambda: tiny(3, SMALL))
    del made
    work = [Work([65, 66], 0, [0], SamplingParams(1, logprobs=3), 0)]
    before = executor.execute(work).samples
    executor.sleep(1)
    assert weights() is not None
    executor.wake_up()
    executor.sleep(2)
    assert weights() is None
    with pytest.raises(ServingError, match="asleep"):
        executor.execute(work)
    executor.wake_up()
    assert executor.execute(work).samples == before


def test_without_a_way_to_load_weights_again_only_level_one_is_offered() -> None:
    executor = SleepableExecutor(tiny(3, SMALL), lambda _model: Constant())
    assert executor.levels == (1,)
