"""Arrivals and prompts: pure, and true to what was asked for."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midwatch_contracts.entity import Entity
from midwatch_lab.load.errors import SpecError
from midwatch_lab.load.spec import LoadSpec
from midwatch_lab.load.traffic import gaps, prompts

CHAT = Entity("Service", "llm", "chat")


def _gaps(spec: LoadSpec, count: int) -> list[float]:
    return list(itertools.islice(gaps(spec), count))


def test_poisson_gaps_have_the_mean_spread_and_quantiles_of_an_exponential() -> None:
    found = sorted(_gaps(LoadSpec(CHAT, rate=5.0), 100_000))
    mean = sum(found) / len(found)
    spread = math.sqrt(sum((gap - mean) ** 2 for gap in found) / len(found))
    assert mean == pytest.approx(0.2, rel=0.02)
    assert spread / mean == pytest.approx(1.0, abs=0.02)
    for share in (0.1, 0.5, 0.9, 0.99):
        assert found[int(share * len(found))] == pytest.approx(-math.log(1 - share) / 5, rel=0.05)


def test_constant_gaps_are_constant() -> None:
    assert set(_gaps(LoadSpec(CHAT, rate=4.0, shape="constant"), 100)) == {0.25}


@given(st.integers(0, 2**53), st.floats(0.01, 1000))
def test_the_same_seed_gives_the_same_traffic(seed: int, rate: float) -> None:
    spec = LoadSpec(CHAT, rate=rate, seed=seed)
    assert _gaps(spec, 20) == _gaps(spec, 20)
    assert list(itertools.islice(prompts(spec), 5)) == list(itertools.islice(prompts(spec), 5))


def test_another_seed_gives_other_traffic() -> None:
    assert _gaps(LoadSpec(CHAT, rate=1, seed=1), 5) != _gaps(LoadSpec(CHAT, rate=1, seed=2), 5)


@given(st.integers(8, 600), st.integers(0, 1000))
def test_prompts_have_the_length_asked_for_and_all_differ(length: int, seed: int) -> None:
    found = list(itertools.islice(prompts(LoadSpec(CHAT, prompt_tokens=length, seed=seed)), 50))
    assert {len(prompt.encode()) for prompt in found} == {length}
    assert len(set(found)) == 50
    assert len({prompt[:8] for prompt in found}) == 50


def test_a_specification_is_read_with_its_defaults() -> None:
    spec = LoadSpec.read({"target": "Service/llm/chat", "rate": 5})
    assert spec == LoadSpec(CHAT, rate=5.0, prompt_tokens=96, output_tokens=64, timeout_s=5.0, shape="poisson", seed=1)
    assert LoadSpec.read({"target": "Service/llm/chat"}).idle
    assert LoadSpec.read({"target": "Service/llm/chat", "shape": "closed", "rate": 5}).idle


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({}, "target"),
        ({"target": "chat"}, "target: .*Kind/namespace/name"),
        ({"rte": 5}, "no field 'rte'"),
        ({"rate": -1}, "rate: -1 is not between"),
        ({"rate": float("nan")}, "rate: nan is no number"),
        ({"rate": True}, "rate: True is no number"),
        ({"rate": "5"}, "rate: '5' is no number"),
        ({"rate": 1e9}, "rate"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"prompt_tokens": 0}, "prompt_tokens"),
        ({"output_tokens": 1.5}, "output_tokens"),
        ({"shape": "gamma"}, "shape: 'gamma' is none of poisson, constant, closed"),
        ({"concurrency": -1}, "concurrency"),
        ({"model": ""}, "model"),
    ],
)
def test_what_is_no_load_is_refused_by_field(raw: dict[str, object], message: str) -> None:
    given_target = {} if raw == {} or "target" in raw else {"target": "Service/llm/chat"}
    with pytest.raises(SpecError, match=message):
        LoadSpec.read({**given_target, **raw})
