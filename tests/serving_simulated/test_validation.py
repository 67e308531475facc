"""Predicted against measured: when a prediction passes, which errors count, and the whole on a real engine."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from midwatch_serving import validation
from midwatch_serving.commands import bench_simulator
from midwatch_serving.cost_model import CostModel, Slowdown, load
from midwatch_serving.deployment import Deployment
from midwatch_serving.simulator_bench import run
from midwatch_serving.step_shape import StepShape
from midwatch_serving.validation import FIGURES, Verdict, capacity, error_band, loads, slowdown
from midwatch_serving.watched import Step
from midwatch_serving.workload import Fixed


@pytest.mark.parametrize(
    ("figure", "predicted", "measured", "passes"),
    [
        ("ttft_p50", 1.14, (1.0, 1.0), True),
        ("ttft_p50", 1.16, (1.0, 1.0), False),
        ("ttft_p95", 1.29, (1.0, 1.0), True),
        ("ttft_p95", 0.69, (1.0, 1.0), False),
        ("tpot_p50", 0.86, (1.0, 1.0), True),
        ("tpot_p50", 1.28, (0.9, 1.1), True),  # the runs differ by 20 %: 1.5 times that is wider
        ("tpot_p50", 1.31, (0.9, 1.1), False),
    ],
)
def test_a_prediction_passes_within_its_share_or_the_spread_of_the_runs(
    figure: str, predicted: float, measured: tuple[float, float], *, passes: bool
) -> None:
    verdict = Verdict("low", figure, predicted, measured)
    assert verdict.passed is passes
    assert verdict.body("x")["verdict"] == ("pass" if passes else "fail")


def _steps(prefill: int, *walls: float) -> list[Step]:
    shape = StepShape(1, 1 - prefill, 1, 1, prefill, prefill, 1.0, 1)
    return [Step(shape, 10.0, 10.0 + wall, 1.0) for wall in walls]


def test_neighbours_are_told_apart_for_decodes_and_prefills() -> None:
    found = slowdown([*_steps(0, 1.0, 2.0), *_steps(1, 3.0, 5.0)])
    assert found == Slowdown(decode=1.5, prefill=4.0)
    assert slowdown(_steps(0, 0.9)) == Slowdown()
    assert slowdown([]) == Slowdown()


def test_only_runs_that_agreed_tell_the_error_of_a_cost_model() -> None:
    def verdicts(name: str, error: float, spread: float = 0.0) -> list[Verdict]:
        runs = (1 - spread / 2, 1 + spread / 2)
        return [Verdict(name, figure, 1 + error, runs) for figure in FIGURES]

    odd = [*verdicts("bursty", 3.0, spread=0.2), *verdicts("near_saturation", 3.0)]
    band = error_band([*verdicts("low", -0.12), *verdicts("medium", 0.02, spread=0.1), *odd], "measured")
    assert band is not None
    assert (band.ttft_p50, band.tpot_p95, band.basis) == (0.12, 0.12, "measured")
    assert error_band(odd, "measured") is None
    least = error_band(verdicts("low", 0.0), "measured")
    assert least is not None
    assert least.tpot_p95 == 0.05


def test_the_loads_ask_for_shares_of_what_the_engine_is_predicted_to_get_through(
    cost: CostModel, deploy: Callable[..., Deployment]
) -> None:
    deployment = deploy(tokens=512)
    found = {load.name: load for load in loads(cost, deployment, seconds=20, seed=0)}
    assert list(found) == ["low", "medium", "near_saturation", "long_prompts", "bursty"]
    low, near = (found[name].workload for name in ("low", "near_saturation"))
    assert (near.rate or 0) / (low.rate or 1) == pytest.approx(0.85 / 0.25, rel=0.35)
    assert min(r.prompt_tokens for r in found["long_prompts"].workload.requests) > 900


def test_capacity_is_what_a_full_batch_gets_through(cost: CostModel, deploy: Callable[..., Deployment]) -> None:
    four, eight = (capacity(cost, deploy(seqs=n, tokens=512), Fixed(16, 32), seed=0) for n in (4, 8))
    assert four < eight < 2 * four


@pytest.mark.slow
def test_the_benchmark_fits_measures_predicts_and_saves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation, "FEWEST", 6)  # every figure is told; its worth is the bench's
    parser = argparse.ArgumentParser()
    bench_simulator.configure(parser)
    saved = tmp_path / "own.yaml"
    words = ["--seconds", "1", "--rounds", "1", "--max-num-seqs", "2", "--max-num-batched-tokens", "64"]
    words += ["--max-model-len", "256", "--save", str(saved)]
    code = run(parser.parse_args(words))
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    verdicts = [line for line in lines if "verdict" in line]
    assert len(verdicts) == 20
    assert code == (0 if {line["verdict"] for line in verdicts} == {"pass"} else 1)
    for line in verdicts:
        assert line["ratio"] == pytest.approx(line["value"] / line["baseline"], rel=0.01)
        assert min(line["measured"]) > 0
    assert len([line for line in lines if line["name"].endswith("_events_per_s") and line["value"] > 1000]) == 5
    assert load(str(saved)).seconds.fixed > 0
