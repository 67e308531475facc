"""An ablation changes what a mechanism costs or gains, never an answer."""

import argparse
import json

import pytest

from midwatch_contracts.command import CommandError
from midwatch_contracts.figure import Figure
from midwatch_serving import ablations
from midwatch_serving.ablation import BLOCK_SIZE, Ablation, Arrival, serve
from midwatch_serving.ablations import Bench
from midwatch_serving.bench_arguments import configure_ablations
from midwatch_serving.fake_executor import FakeExecutor
from midwatch_serving.loading import Arithmetic
from midwatch_serving.model import tiny


def fake() -> FakeExecutor:
    return FakeExecutor(num_blocks=512, block_size=BLOCK_SIZE)


ALL = [ablations.chunked_prefill(), ablations.prefix_cache(), ablations.paging(), ablations.preemption()]


@pytest.mark.parametrize("ablation", ALL, ids=lambda ablation: ablation.name)
def test_both_sides_give_the_same_answers(ablation: Ablation) -> None:
    on, off = serve(ablation.load, ablation.on, fake()), serve(ablation.load, ablation.off, fake())
    assert [s.output for s in on.sequences] == [s.output for s in off.sequences]
    assert [len(s.output) for s in on.sequences] == [arrival.enough for arrival in ablation.load]


def test_the_load_of_each_ablation_brings_its_mechanism_about() -> None:
    cached = serve(ALL[1].load, ALL[1].on, fake())
    assert [s.num_cached for s in cached.sequences] == [0, 1024, 1024, 1024]
    at_once = [Arrival(a.prompt, a.max_tokens, a.enough) for a in ALL[3].load]
    assert sum(s.preemptions for s in serve(at_once, ALL[3].on, fake()).sequences) > 10
    assert sum(s.preemptions for s in serve(at_once, ALL[3].off, fake()).sequences) == 0


def test_time_without_work_is_skipped() -> None:
    load = [Arrival((1, 2), 2, 2, at=at) for at in (0.0, 1000.0)]
    served = serve(load, ALL[2].on, fake())
    assert 1000 <= served.seconds < 1010
    assert all((s.first_token or 0) - s.arrived < 10 for s in served.sequences)


def test_a_figure_that_there_is_not_is_refused() -> None:
    parser = argparse.ArgumentParser()
    configure_ablations(parser)
    with pytest.raises(CommandError, match="--figure nonsense"):
        ablations.run(parser.parse_args(["--figure", "nonsense"]))


@pytest.mark.slow
def test_every_mechanism_pays_on_the_tiny_model(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    configure_ablations(parser)
    assert ablations.run(parser.parse_args([])) == 0
    found = {f.name: f for f in (Figure.model_validate(json.loads(x)) for x in capsys.readouterr().out.splitlines())}
    assert set(found) == {ablation.name for ablation in ALL}
    assert found["chunked_prefill_itl_p99_ms"].ratio < 0.5
    assert found["prefix_cache_ttft_ms"].ratio < 0.2
    assert found["paged_tok_s"].ratio > 1.3
    assert found["preemption_req_s"].ratio > 1
    assert all("--model tiny" in figure.command for figure in found.values())


@pytest.mark.slow
def test_both_sides_give_the_same_answers_on_a_real_model() -> None:
    bench = Bench(tiny(0), Arithmetic())
    for ablation in ALL[2:]:
        executor = bench.executor(ablation.on, ablation.off)
        on, off = serve(ablation.load, ablation.on, executor), serve(ablation.load, ablation.off, executor)
        assert [s.output for s in on.sequences] == [s.output for s in off.sequences]
