"""The configuration resource of CONTRACTS §8: conditional, all or nothing, and honest about what is in force."""

import stat
from pathlib import Path
from typing import Any

import httpx2
import pytest

from midwatch_contracts.command import CommandError
from midwatch_serving.config import ConfigResource
from midwatch_serving.errors import ConfigError
from midwatch_serving.settings import Values

pytestmark = pytest.mark.anyio

START: Values = {
    "max_num_seqs": 4,
    "max_num_batched_tokens": 512,
    "num_gpu_blocks_override": 64,
    "block_size": 16,
    "max_model_len": 2048,
    "enable_prefix_caching": True,
    "enable_chunked_prefill": True,
    "long_prefill_token_threshold": 0,
    "scheduling_policy": "fcfs",
    "max_num_queued_reqs": None,
    "max_num_queued_tokens": None,
    "watermark": 0.0,
}
BLOCKS = ("--num-gpu-blocks-override", "64")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def patch(client: httpx2.AsyncClient, values: Any, tag: str | None = '"1"', query: str = "") -> httpx2.Response:
    headers = {} if tag is None else {"if-match": tag}
    return await client.patch(f"/admin/config{query}", json={"values": values}, headers=headers)


async def test_a_read_answers_version_values_and_entity_tag(serving: Any) -> None:
    async with serving(*BLOCKS) as (_, client):
        answer = await client.get("/admin/config")
    assert answer.json() == {"version": 1, "values": START, "restart_required": []}
    assert answer.headers["etag"] == '"1"'


async def test_a_live_value_acts_at_once_and_counts_the_version(serving: Any) -> None:
    async with serving(*BLOCKS) as (service, client):
        answer = await patch(client, {"max_num_seqs": 2, "max_num_batched_tokens": 64})
        assert answer.status_code == 200
        assert answer.headers["etag"] == '"2"'
        assert answer.json() == {
            "version": 2,
            "values": START | {"max_num_seqs": 2, "max_num_batched_tokens": 64},
            "restart_required": [],
        }
        limits = service.engine.scheduler.limits
        assert (limits.max_num_seqs, limits.max_num_batched_tokens) == (2, 64)


async def test_live_values_of_every_kind_reach_the_scheduler(serving: Any) -> None:
    wanted = {
        "long_prefill_token_threshold": 64,
        "scheduling_policy": "priority",
        "max_num_queued_reqs": 7,
        "max_num_queued_tokens": 4096,
        "watermark": 0.25,
    }
    async with serving(*BLOCKS) as (service, client):
        answer = await patch(client, wanted)
        assert answer.json() == {"version": 2, "values": START | wanted, "restart_required": []}
        limits = service.engine.scheduler.limits
        assert {name: getattr(limits, name) for name in wanted} == wanted
        back = await patch(client, dict.fromkeys(wanted), tag='"2"')
        assert back.json()["values"] == START
        assert service.engine.scheduler.limits.max_num_queued_reqs is None


async def test_flags_choose_the_mechanisms_at_the_start(serving: Any) -> None:
    flags = ("--no-enable-prefix-caching", "--scheduling-policy", "priority", "--max-num-queued-reqs", "9")
    whole = ("--no-enable-chunked-prefill", "--max-num-batched-tokens", "2048")
    async with serving(*BLOCKS, *flags, *whole) as (service, _):
        scheduler = service.engine.scheduler
        assert not scheduler.blocks.prefix.enabled
        assert (scheduler.limits.scheduling_policy, scheduler.limits.max_num_queued_reqs) == ("priority", 9)
        assert not scheduler.limits.enable_chunked_prefill
    with pytest.raises(CommandError, match=r"--long-prefill-token-threshold: 8 cuts prompts"):
        async with serving(*whole, "--long-prefill-token-threshold", "8"):
            pass


async def test_a_live_value_must_fit_what_holds_until_the_restart_too(serving: Any) -> None:
    """A prompt must fit into one step now as well as later."""
    flags = ("--no-enable-chunked-prefill", "--max-num-batched-tokens", "2048")
    async with serving(*BLOCKS, *flags) as (service, client):
        answer = await patch(client, {"enable_chunked_prefill": True, "max_num_batched_tokens": 512})
        assert (answer.status_code, answer.json()["error"]["param"]) == (422, "max_num_batched_tokens")
        assert "until the restart" in answer.json()["error"]["message"]
        assert service.engine.scheduler.limits.max_num_batched_tokens == 2048
        answer = await patch(client, {"enable_chunked_prefill": True})
        assert answer.json()["restart_required"] == ["enable_chunked_prefill"]


async def test_a_value_that_needs_a_restart_is_stored_and_listed_until_it_is_set_back(serving: Any) -> None:
    async with serving(*BLOCKS) as (service, client):
        answer = await patch(client, {"num_gpu_blocks_override": 14, "block_size": 8})
        assert answer.json()["restart_required"] == ["num_gpu_blocks_override", "block_size"]
        assert answer.json()["values"]["num_gpu_blocks_override"] == 14
        assert (await client.get("/admin/blocks")).json()["total"] == 64
        assert service.engine.scheduler.blocks.num_blocks == 64
        back = await patch(client, {"num_gpu_blocks_override": None, "block_size": None}, tag='"2"')
        assert back.json() == {"version": 3, "values": START, "restart_required": []}


async def test_a_dry_run_answers_what_would_result_and_changes_nothing(serving: Any) -> None:
    async with serving(*BLOCKS) as (service, client):
        answer = await patch(client, {"max_num_seqs": 9}, query="?dry_run=true")
        assert answer.json() == {"version": 2, "values": START | {"max_num_seqs": 9}, "restart_required": []}
        assert answer.headers["etag"] == '"1"'
        assert (await client.get("/admin/config")).json()["version"] == 1
        assert service.engine.scheduler.limits.max_num_seqs == 4
        assert (await patch(client, {"max_num_seqs": 9}, query="?dry_run=maybe")).status_code == 422
        assert (await patch(client, {"max_num_seqs": 0}, query="?dry_run=true")).status_code == 422


@pytest.mark.parametrize(
    ("tag", "status"), [(None, 428), ('"7"', 412), ('W/"1"', 412), ('"1"', 200), ('"7", "1"', 200), ("*", 200)]
)
async def test_a_change_needs_the_tag_of_the_version_it_is_made_for(serving: Any, tag: str | None, status: int) -> None:
    async with serving(*BLOCKS) as (_, client):
        answer = await patch(client, {"max_num_seqs": 3}, tag=tag)
        assert answer.status_code == status
        after = (await client.get("/admin/config")).json()["values"]["max_num_seqs"]
        assert after == (3 if status == 200 else 4)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"max_num_seqs": 0}, "max_num_seqs"),
        ({"max_num_seqs": 3, "block_size": 12}, "block_size"),
        ({"max_num_batched_tokens": 3}, "max_num_batched_tokens"),
        ({"max_num_seqs": 1000}, "max_num_batched_tokens"),
        ({"num_gpu_blocks_override": 10**9}, "num_gpu_blocks_override"),
        ({"enable_prefix_caching": 1}, "enable_prefix_caching"),
        ({"max_num_seqs": True}, "max_num_seqs"),
        ({"max_num_seqs": "3"}, "max_num_seqs"),
        ({"max_num_seqs": 2.5}, "max_num_seqs"),
        ({"max_num_seqs": [3]}, "max_num_seqs"),
        ({"scheduling_policy": ["fcfs"]}, "scheduling_policy"),
        ({"scheduling_policy": "lottery"}, "scheduling_policy"),
        ({"watermark": 1}, "watermark"),
        ({"watermark": False}, "watermark"),
        ({"max_num_queued_reqs": 0}, "max_num_queued_reqs"),
        ({"no_such_setting": 1}, "no_such_setting"),
        ({"enable_chunked_prefill": False}, "max_num_batched_tokens"),
        ([], "values"),
    ],
)
async def test_an_invalid_change_names_its_field_and_changes_nothing(serving: Any, values: Any, field: str) -> None:
    async with serving(*BLOCKS) as (_, client):
        answer = await patch(client, values)
        assert answer.status_code == 422
        assert answer.json()["error"]["param"] == field
        assert field.removeprefix("values.") in answer.json()["error"]["message"]
        assert (await client.get("/admin/config")).json() == {"version": 1, "values": START, "restart_required": []}


async def test_a_change_that_changes_nothing_keeps_the_version(serving: Any) -> None:
    async with serving(*BLOCKS) as (_, client):
        answer = await patch(client, {"max_num_seqs": 4, "block_size": None})
        assert (answer.status_code, answer.headers["etag"]) == (200, '"1"')


def ignore(_values: Values) -> None:
    """Put nothing in force."""


def test_a_store_outlasts_the_process_and_arguments_hold_where_it_is_silent(tmp_path: Path) -> None:
    store = tmp_path / "config.json"
    first = ConfigResource(START, apply=ignore, store=store)
    first.patch({"num_gpu_blocks_override": 14, "max_num_seqs": 4})
    assert stat.S_IMODE(store.stat().st_mode) == 0o600
    second = ConfigResource(START | {"max_num_seqs": 8}, apply=ignore, store=store)
    assert second.current.values == START | {"num_gpu_blocks_override": 14, "max_num_seqs": 8}
    assert (second.current.version, second.current.restart_required) == (2, [])
    back = second.patch({"num_gpu_blocks_override": None})
    assert (back.values["num_gpu_blocks_override"], back.restart_required) == (64, ["num_gpu_blocks_override"])


@pytest.mark.parametrize("text", ["", "[]", '{"version": 1}', '{"version": 1, "values": {"nope": 1}}'])
def test_a_broken_store_stops_the_start_and_is_named(tmp_path: Path, text: str) -> None:
    store = tmp_path / "config.json"
    store.write_text(text)
    with pytest.raises(ConfigError, match=r"config\.json"):
        ConfigResource(START, apply=ignore, store=store)


async def test_arguments_are_held_to_the_same_rules(serving: Any) -> None:
    with pytest.raises(CommandError, match="--block-size: 12 does not divide 64"):
        async with serving("--block-size", "12"):
            pass
