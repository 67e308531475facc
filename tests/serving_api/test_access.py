"""Who may ask, and how often."""

import argparse
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midwatch_contracts.clock import VirtualClock
from midwatch_contracts.command import CommandError
from midwatch_serving.access import MOST_CALLERS, Rate, RateLimitMiddleware
from midwatch_serving.commands import configure
from midwatch_serving.options import Options, parse_options

pytestmark = pytest.mark.anyio

KEY = {"authorization": "Bearer first"}


def options(*flags: str, **environment: str) -> Options:
    parser = argparse.ArgumentParser()
    configure(parser)
    return parse_options(parser.parse_args(flags), environment)


async def test_with_a_key_set_nothing_but_probes_and_metrics_answers_without_one(serving: Any) -> None:
    async with serving("--api-key", "first", "--api-key", "second") as (_, client):
        for path in ("/health", "/version", "/metrics"):
            assert (await client.get(path)).status_code == 200
        for path in ("/v1/models", "/admin/requests", "/admin/config", "/tokenize", "/nowhere"):
            refused = await client.get(path)
            assert refused.status_code == 401
            assert refused.json()["error"]["code"] == "invalid_api_key"
            assert refused.headers["www-authenticate"] == "Bearer"
        for wrong in ("Bearer third", "Bearer", "Basic first", "Bearer first x", "first", ""):
            assert (await client.get("/v1/models", headers={"authorization": wrong})).status_code == 401
        for right in ("Bearer first", "bearer  second"):
            assert (await client.get("/v1/models", headers={"authorization": right})).status_code == 200


def test_keys_come_from_the_command_line_or_else_from_the_environment() -> None:
    assert options().api_keys == ()
    assert options(VLLM_API_KEY="b").api_keys == ("b",)
    assert options(MIDWATCH_API_KEY="a", VLLM_API_KEY="b").api_keys == ("a",)
    assert options("--api-key", "c", MIDWATCH_API_KEY="a").api_keys == ("c",)
    with pytest.raises(CommandError, match="--api-key"):
        options("--api-key", "")


async def test_requests_beyond_the_rate_are_told_how_long_to_wait(serving: Any) -> None:
    clock = VirtualClock()
    async with serving("--rate-limit", "0.5:2", clock=clock) as (_, client):
        codes = [(await client.get("/v1/models", headers=KEY)).status_code for _ in range(3)]
        assert codes == [200, 200, 429]
        refused = await client.post("/tokenize", headers=KEY)
        assert (refused.headers["retry-after"], refused.json()["error"]["type"]) == ("2", "rate_limit_error")
        other = await client.get("/v1/models", headers={"authorization": "Bearer other"})
        assert other.status_code == 200
        assert (await client.get("/v1/models")).status_code == 200
        assert (await client.get("/health", headers=KEY)).status_code == 200
        assert (await client.get("/admin/requests", headers=KEY)).status_code == 200
        await clock.advance(2)
        codes = [(await client.get("/v1/models", headers=KEY)).status_code for _ in range(2)]
        assert codes == [200, 429]


@given(st.floats(0.1, 20), st.integers(1, 5), st.lists(st.floats(0, 3), min_size=1, max_size=60))
def test_no_more_pass_than_the_burst_and_the_rate_allow(per_s: float, burst: int, gaps: list[float]) -> None:
    clock = VirtualClock(start=0)
    limiter = RateLimitMiddleware(_nothing, Rate(per_s, burst), clock)
    passed = 0
    for gap in gaps:
        clock._now += gap  # pyright: ignore[reportPrivateUsage] (time passes without anyone asleep)
        passed += limiter._take("someone") == 0  # pyright: ignore[reportPrivateUsage] (the rule without HTTP)
        assert passed <= burst + per_s * clock.now() + 1e-6
    assert passed >= min(len(gaps), burst)


def test_callers_that_are_remembered_are_bounded() -> None:
    limiter = RateLimitMiddleware(_nothing, Rate(1, 1), VirtualClock())
    for number in range(MOST_CALLERS + 50):
        limiter._take(str(number))  # pyright: ignore[reportPrivateUsage] (the rule without HTTP)
    assert len(limiter._buckets) == MOST_CALLERS  # pyright: ignore[reportPrivateUsage] (what is remembered)


async def _nothing(*_: Any) -> None:
    raise AssertionError("no request is served here")


@pytest.mark.parametrize("text", ["0", "-1", "many", "1:0", "1:", "nan"])
def test_a_rate_that_makes_no_sense_is_bad_input(text: str) -> None:
    with pytest.raises(CommandError, match="--rate-limit"):
        options("--rate-limit", text)


def test_a_rate_has_a_second_of_burst_by_default() -> None:
    assert Rate.parse("2.5") == Rate(2.5, 3)
    assert Rate.parse("0.1") == Rate(0.1, 1)
    with pytest.raises(CommandError, match="--max-connections"):
        options("--max-connections", "0")
