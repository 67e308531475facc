"""A trace becomes a specification that draws what the trace looks like."""

import json
from pathlib import Path

import numpy as np
import pytest

from midwatch_lab.load.errors import TraceError
from midwatch_lab.load.fitting import burstiness, fit, quantiles
from midwatch_lab.load.proof import MOST_ERRORS
from midwatch_lab.load.spec import GammaLoad, read_spec
from midwatch_lab.load.traffic import Call, first

TARGET = {"target": "Service/llm/chat"}


def _written(path: Path, preset: str, count: int) -> Path:
    """Write what a preset draws as a trace of Mooncake's columns."""
    found = first(read_spec({**TARGET, "preset": preset, "rate": 20}), count)
    rows = [
        f"{arrival.at_s * 1000},{arrival.work.prompt_tokens},{arrival.work.output_tokens},[]"
        for arrival in found
        if isinstance(arrival.work, Call)
    ]
    path.write_text("\n".join(["timestamp,input_length,output_length,hash_ids", *rows]), "utf-8")
    return path


@pytest.mark.parametrize("preset", ["chat", "code"])
def test_a_fitted_trace_has_the_rate_bursts_and_lengths_that_it_was_drawn_from(tmp_path: Path, preset: str) -> None:
    count = 20_000
    spec = read_spec({**TARGET, **json.loads(json.dumps(fit(_written(tmp_path / "t.csv", preset, count))))})
    origin = read_spec({**TARGET, "preset": preset, "rate": 20})
    assert isinstance(spec, GammaLoad)
    assert isinstance(origin, GammaLoad)
    assert spec.rate == pytest.approx(20, rel=MOST_ERRORS * origin.cv / count**0.5)
    assert spec.cv == pytest.approx(origin.cv, rel=0.1)
    rng, other = np.random.default_rng(1), np.random.default_rng(2)
    for fitted, drawn in ((spec.prompt_tokens, origin.prompt_tokens), (spec.output_tokens, origin.output_tokens)):
        one, two = fitted.draw(count, rng), drawn.draw(count, other)
        error = (one.var() / count + two.var() / count) ** 0.5
        assert abs(one.mean() - two.mean()) < 2**0.5 * MOST_ERRORS * error + 1  # drawn twice, and rounded once


def test_quantiles_are_values_of_the_trace_and_their_means_add_up() -> None:
    values = np.array([5.0, 1.0, 3.0, 3.0, 9.0, 2.0, 2.0, 8.0, 30.0, 4.0])
    found = quantiles(values)
    assert found["values"][0] == 0
    assert found["values"][-1] == 30
    assert set(found["values"][1:]) <= set(values.tolist())
    assert found["values"][found["shares"].index(0.5)] == 3
    assert np.dot(np.diff(found["shares"]), found["means"]) == pytest.approx(values.mean(), abs=1e-3)


def test_a_slow_tide_is_no_burst() -> None:
    rng = np.random.default_rng(1)
    tide = np.concatenate([start + np.cumsum(rng.exponential(gap, 400)) for start, gap in ((0, 0.1), (1e4, 0.5))])
    assert burstiness(tide) == pytest.approx(1.0, abs=0.1)
    assert np.diff(tide).std() / np.diff(tide).mean() > 10


def test_a_trace_of_one_moment_cannot_be_fitted(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("timestamp,input_length,output_length,hash_ids\n5,1,1,[]\n5,1,1,[]\n", "utf-8")
    with pytest.raises(TraceError, match="no two requests at different times"):
        fit(path)
