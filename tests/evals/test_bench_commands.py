"""`midwatch bench NAME`: benchmarks with arguments of their own, found by entry point, beside those without."""

import argparse
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest

from midwatch_contracts.command import Command, CommandError, Settings
from midwatch_evals import commands
from midwatch_evals.bench import bench

SEEN: list[argparse.Namespace] = []


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--size", type=int, default=1)


def _run(arguments: argparse.Namespace, settings: Settings) -> int:
    del settings
    SEEN.append(arguments)
    return 3


@pytest.fixture
def parser(monkeypatch: pytest.MonkeyPatch) -> argparse.ArgumentParser:
    """The parser of `bench`, with a benchmark of ours and one that cannot be loaded."""
    module = ModuleType("bench_of_ours")
    module.__dict__.update(size=Command("measure a size", "bench_of_ours:run", _configure), run=_run)
    monkeypatch.setitem(sys.modules, "bench_of_ours", module)
    points = [
        EntryPoint("size", "bench_of_ours:size", commands.BENCH_GROUP),
        EntryPoint("broken", "no_such_module:thing", commands.BENCH_GROUP),
    ]

    def found(*, group: str) -> list[EntryPoint]:
        return points if group == commands.BENCH_GROUP else []

    monkeypatch.setattr(commands, "entry_points", found)
    parser = argparse.ArgumentParser()
    commands.bench.configure(parser)
    return parser


def test_a_named_benchmark_is_run_with_its_own_arguments(parser: argparse.ArgumentParser, tmp_path: Path) -> None:
    assert bench(parser.parse_args(["size", "--size", "7"]), Settings(tmp_path)) == 3
    assert SEEN[-1].size == 7


def test_one_that_cannot_be_loaded_is_named_and_stops_no_other(
    capsys: pytest.CaptureFixture[str], parser: argparse.ArgumentParser
) -> None:
    assert "size" in parser.format_help()
    with pytest.raises(SystemExit):
        parser.parse_args(["broken"])
    assert "the benchmark 'broken' cannot be loaded" in capsys.readouterr().err


def test_picking_figures_and_naming_a_benchmark_exclude_each_other(
    parser: argparse.ArgumentParser, tmp_path: Path
) -> None:
    with pytest.raises(CommandError, match="leave it out") as refusal:
        bench(parser.parse_args(["--only", "help_ms", "size"]), Settings(tmp_path))
    assert refusal.value.code == 2


def test_ours_are_there() -> None:
    parser = argparse.ArgumentParser()
    commands.bench.configure(parser)
    for name in ("serve", "simulator", "change"):
        assert isinstance(parser.parse_args([name]).benchmark, Command)
