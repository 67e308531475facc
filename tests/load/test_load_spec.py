"""Specifications of loads: defaults, presets, and refusals by field."""

from typing import Any

import pytest

from midwatch_contracts.entity import Entity
from midwatch_lab.load.distributions import Fixed, Measured
from midwatch_lab.load.errors import SpecError
from midwatch_lab.load.presets import PRESETS
from midwatch_lab.load.spec import ClosedLoad, GammaLoad, PoissonLoad, read_spec

TARGET = {"target": "Service/llm/chat"}


def test_a_specification_is_read_with_its_defaults() -> None:
    spec = read_spec({**TARGET, "rate": 5})
    assert isinstance(spec, PoissonLoad)
    assert (spec.target, spec.rate, spec.timeout_s, spec.seed) == (Entity("Service", "llm", "chat"), 5.0, 5.0, 1)
    assert (spec.prompt_tokens, spec.output_tokens) == (Fixed(value=96), Fixed(value=64))


def test_nothing_to_send_is_idle() -> None:
    assert read_spec(TARGET).idle
    assert read_spec({**TARGET, "shape": "closed", "rate": 5}).idle
    assert not read_spec({**TARGET, "shape": "closed", "concurrency": 5, "rate": 0}).idle
    assert read_spec({**TARGET, "preset": "chat"}).idle


@pytest.mark.parametrize("name", list(PRESETS))
def test_every_preset_is_a_load_and_what_is_given_wins(name: str) -> None:
    spec = read_spec({**TARGET, "preset": name, "rate": 2, "output_tokens": 7})
    assert spec.preset == name
    assert spec.shape == PRESETS[name].fields["shape"]
    assert spec.output_tokens == Fixed(value=7)


def test_a_preset_under_another_shape_keeps_the_lengths_that_the_shape_has() -> None:
    spec = read_spec({**TARGET, "preset": "chat", "shape": "closed", "concurrency": 3})
    assert isinstance(spec, ClosedLoad)
    assert spec.prompt_tokens == Measured(kind="measured", name="azure-conv.prompt")
    assert isinstance(read_spec({**TARGET, "preset": "chat"}), GammaLoad)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"target": None}, "target: "),
        ({"target": "chat"}, "target: .*Kind/namespace/name"),
        ({"rte": 5}, "a poisson load has no field 'rte'; known: target, .*rate"),
        ({"cv": 2}, "a poisson load has no field 'cv'"),
        ({"rate": -1}, "rate: .* not -1"),
        ({"rate": float("nan")}, "rate: .* not nan"),
        ({"rate": True}, "rate: .* not True"),
        ({"rate": "5"}, "rate: .* not '5'"),
        ({"rate": 1e9}, "rate: .* not 1000000000"),
        ({"timeout_s": 0}, "timeout_s: "),
        ({"prompt_tokens": 0}, "prompt_tokens: 0 is not between 1 and"),
        ({"output_tokens": 1.5}, "output_tokens: 1.5 is no whole number"),
        ({"output_tokens": float("inf")}, "output_tokens: inf is no whole number"),
        ({"prompt_tokens": "novel"}, "prompt_tokens: no table is called 'novel'; known: azure-conv.prompt, "),
        ({"prompt_tokens": {"kind": "normal"}}, "prompt_tokens: the kind is none of fixed, "),
        ({"prompt_tokens": {"mean": 4}}, "prompt_tokens: the kind is none of fixed, "),
        ({"prompt_tokens": {"kind": "lognormal", "median": 9}}, "prompt_tokens.sigma: is missing"),
        (
            {"prompt_tokens": {"kind": "quantiles", "shares": [0, 0.9], "values": [1, 2]}},
            "prompt_tokens: shares must rise from 0 to 1",
        ),
        ({"shape": "gama"}, "shape: gama is none of poisson, constant, gamma"),
        ({"shape": "gamma", "cv": 0}, "cv: "),
        ({"shape": "batch", "size": 0}, "size: "),
        ({"shape": "diurnal", "curve": [0, 0]}, "curve: at least one"),
        ({"shape": "clients"}, "clients: is missing"),
        ({"shape": "clients", "clients": [{"name": "a"}]}, r"clients\.0\.share: is missing"),
        (
            {"shape": "clients", "clients": [{"name": "a", "share": 1}, {"name": "a", "share": 2}]},
            "clients: two are called 'a'",
        ),
        ({"shape": "trace"}, "path: is missing"),
        ({"shape": "trace", "path": "x", "speed": 0}, "speed: "),
        ({"preset": "chats"}, "preset: 'chats' is none of chat, code"),
        ({"concurrency": -1}, "concurrency: "),
        ({"max_in_flight": 0}, "max_in_flight: "),
        ({"model": ""}, "model: "),
    ],
)
def test_what_is_no_load_is_refused_by_field(raw: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=f"^{message}"):
        read_spec({**TARGET, **raw})


def test_a_target_that_is_missing_is_named() -> None:
    with pytest.raises(SpecError, match="target: is missing"):
        read_spec({"rate": 1})
