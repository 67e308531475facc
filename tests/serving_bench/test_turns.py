"""The engine and its peers take turns, and each pair becomes one figure."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from midwatch_contracts.figure import Figure
from midwatch_serving.errors import WorkerError
from midwatch_serving.peers import __main__ as command
from midwatch_serving.peers import benchmark
from midwatch_serving.peers.child import Worker
from midwatch_serving.peers.figures import (
    COMPARISONS,
    ENGINE,
    ENGINE_1,
    HTTP,
    NAMES,
    OPENVINO,
    PEERS,
    XLLAMACPP,
    Bandwidth,
    Comparison,
)
from midwatch_serving.peers.worker import Measured

pytestmark = pytest.mark.anyio

NAMED_BY_THE_ISSUE = {
    *(f"decode_b{batch}_{peer}" for batch in (1, 4, 16) for peer in ("openvino", "xllamacpp")),
    "prefill512_openvino",
    "prefill512_xllamacpp",
    "http_c16_engine",
    "http_ttft_overhead_ms",
    "decode_b1_bandwidth",
}


class Scripted(Worker):
    """Answers from a list of seconds and notes who was asked what."""

    def __init__(self, name: str, log: list[tuple[str, dict[str, Any]]], seconds: list[float]) -> None:
        self.name = name
        self.facts = {"weight_bytes": 1000}
        self._log = log
        self._seconds = seconds

    async def measure(self, command: Mapping[str, Any]) -> Measured:
        self._log.append((self.name, dict(command)))
        if not self._seconds:
            raise WorkerError(f"{self.name} failed")
        return Measured(100, self._seconds.pop(0))


def _comparisons(*names: str) -> list[Comparison]:
    return [one for one in COMPARISONS if one.name in names]


def _plenty() -> benchmark.Budget:
    return benchmark.Budget(3600, groups=1)


def test_there_is_a_figure_for_each_name_that_was_promised_and_no_other() -> None:
    assert set(NAMES) == NAMED_BY_THE_ISSUE
    assert len(NAMES) == len(NAMED_BY_THE_ISSUE)


async def test_workers_take_turns_pair_by_pair_after_a_warm_up_of_each() -> None:
    log: list[tuple[str, dict[str, Any]]] = []
    workers = {name: Scripted(name, log, [1.0] * 20) for name in (ENGINE, OPENVINO, XLLAMACPP)}
    chosen = _comparisons("decode_b4_openvino", "decode_b4_xllamacpp")
    emitted: list[Figure] = []
    assert await benchmark.measure_all(workers, chosen, 2, _plenty(), emitted.append) == []
    turn = [ENGINE, OPENVINO, ENGINE, XLLAMACPP]
    assert [name for name, _ in log] == turn * 3
    assert {body["tokens"] for _, body in log[:4]} == {benchmark.WARM_UP_TOKENS}
    commands = [body for _, body in log[4:]]
    assert all(body["batch"] == 4 and body["tokens"] == 128 for body in commands)
    assert [body["seed"] for body in commands] == [1] * 4 + [2] * 4
    assert [figure.name for figure in emitted] == ["decode_b4_openvino", "decode_b4_xllamacpp"]


async def test_a_figure_is_the_ratio_of_medians_and_names_the_command_that_prints_it_again() -> None:
    ours = Scripted(ENGINE, [], [9.0, 0.5, 0.4, 0.9])
    theirs = Scripted(OPENVINO, [], [9.0, 1.0, 1.1, 0.2])
    emitted: list[Figure] = []
    await benchmark.measure_all(
        {ENGINE: ours, OPENVINO: theirs}, _comparisons("decode_b16_openvino"), 3, _plenty(), emitted.append
    )
    command = "make bench-serving ARGS='--only decode_b16_openvino'"
    wanted = Figure(
        name="decode_b16_openvino", value=200.0, unit="tokens/s", baseline=100.0, ratio=2.0, command=command
    )
    assert emitted == [wanted]


async def test_a_worker_that_fails_costs_its_own_figures_only() -> None:
    workers = {
        ENGINE: Scripted(ENGINE, [], [1.0] * 99),
        OPENVINO: Scripted(OPENVINO, [], [1.0] * 2),
        XLLAMACPP: Scripted(XLLAMACPP, [], [1.0] * 99),
    }
    chosen = _comparisons("decode_b1_openvino", "decode_b1_xllamacpp")
    emitted: list[Figure] = []
    failures = await benchmark.measure_all(workers, chosen, 3, _plenty(), emitted.append)
    assert failures == ["decode_b1_openvino: openvino failed"]
    assert [figure.name for figure in emitted] == ["decode_b1_xllamacpp"]


async def test_out_of_time_there_is_one_pair_of_each_and_it_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    log: list[tuple[str, dict[str, Any]]] = []
    workers = {name: Scripted(name, log, [1.0] * 99) for name in (ENGINE, OPENVINO)}
    emitted: list[Figure] = []
    spent = benchmark.Budget(0.0, groups=2)
    chosen = _comparisons("decode_b1_openvino", "decode_b4_openvino")
    assert await benchmark.measure_all(workers, chosen, 5, spent, emitted.append) == []
    assert [name for name, _ in log] == [ENGINE, OPENVINO] * 4
    assert len(emitted) == 2
    assert "out of time after 1 of 5 pairs" in capsys.readouterr().err


async def test_a_figure_whose_worker_never_ran_is_said_to_be_missing() -> None:
    failures = await benchmark.measure_all({}, _comparisons("prefill512_openvino"), 1, _plenty(), print)
    assert failures == ["prefill512_openvino: a worker of it does not run"]


async def test_the_overhead_is_the_median_difference_of_the_pairs_in_milliseconds() -> None:
    http = Scripted(HTTP, [], [9.0, *[0.104, 0.203, 0.302, 0.401, 0.109]])
    engine = Scripted(ENGINE_1, [], [9.0, *[0.100, 0.200, 0.300, 0.400, 0.100]])
    emitted: list[Figure] = []
    await benchmark.measure_all(
        {HTTP: http, ENGINE_1: engine}, _comparisons("http_ttft_overhead_ms"), 1, _plenty(), emitted.append
    )
    [figure] = emitted
    assert (figure.value, figure.unit, figure.baseline) == (pytest.approx(3.0), "ms", pytest.approx(200.0))
    assert figure.ratio == pytest.approx(figure.value / figure.baseline, rel=0.01)


async def test_bandwidth_is_the_weights_read_a_second_beside_what_memory_gives() -> None:
    log: list[tuple[str, dict[str, Any]]] = []
    engine = Scripted(ENGINE, log, [1.0, 1.0, 0.001, 0.000_000_5])
    emitted: list[Figure] = []
    await benchmark.measure_all({ENGINE: engine}, _comparisons("decode_b1_bandwidth"), 1, _plenty(), emitted.append)
    [figure] = emitted
    assert figure.value == pytest.approx(100 / 0.001 * 1000 / 1e9)
    assert figure.baseline == pytest.approx(0.2)
    assert [body["measure"] for _, body in log] == ["decode", "read", "decode", "read"]
    bandwidth = next(one for one in COMPARISONS if isinstance(one, Bandwidth))
    said = replace(bandwidth, weight_bytes=1000).verdict(figure)
    assert "bound decode at 200000 tokens/s; 100000 are reached, 50%" in said


def test_a_ratio_below_its_goal_is_said_and_nothing_more() -> None:
    goal = next(one for one in COMPARISONS if one.name == "decode_b1_openvino")
    low, high = ([Measured(100, seconds)] for seconds in (1.0, 0.1))
    assert goal.verdict(goal.figure(low, high)) == "MISSES the goal of 1.4"
    assert goal.verdict(goal.figure(high, low)) == "reaches the goal of 1.4"


def test_peers_are_only_compared_on_a_file_that_they_can_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--folder", str(tmp_path), "--model", "tiny", "--only", "decode_b1_openvino"]
    assert command.main(arguments) == 2
    assert "--model tiny: the peers read a GGUF file" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_figure_is_refused_with_the_names_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        command.main(["--only", "decode_b2_openvino"])
    assert refused.value.code == 2
    assert "decode_b16_openvino" in capsys.readouterr().err


def test_every_peer_is_a_worker_of_its_own_that_a_module_holds() -> None:
    folder = Path(benchmark.__file__).parent
    assert [peer for peer in PEERS if not (folder / f"{peer}_worker.py").exists()] == []
