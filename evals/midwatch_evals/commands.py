"""The sub-commands of evals. On the path of `midwatch --help`: argparse and the contract, nothing else."""

import argparse
import sys
from importlib.metadata import entry_points
from pathlib import Path

from midwatch_contracts.command import Command

BENCH_GROUP = "midwatch.bench"
"""Entry points of benchmarks with arguments of their own, each a `Command` under its name."""


def _demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--fault",
        choices=("kv", "replicas", "none", "random"),
        default="kv",
        help="what is broken: a shrunk KV cache (the default), too few replicas, nothing, or one of these",
    )
    answer = parser.add_mutually_exclusive_group()
    answer.add_argument("--yes", action="store_true", help="approve with the lab's key; the default without a terminal")
    answer.add_argument("--no", action="store_true", help="refuse the change")
    parser.add_argument(
        "--model", default="tiny", metavar="NAME", help="what the replicas serve: tiny (the default), or a pulled model"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result as one JSON object")
    parser.add_argument("--svg", metavar="FILE", help="save what was shown as a picture")
    parser.add_argument("--seed", type=int, help="seed of the traffic, and of --fault random")
    parser.add_argument("--unmeetable", action="store_true", help=argparse.SUPPRESS)  # for tests: forces an undo


def _replay(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("scenario", type=Path, metavar="SCENARIO.yaml", help="a midwatch.scenario/v1 file")
    answer = parser.add_mutually_exclusive_group()
    answer.add_argument("--yes", action="store_true", help="approve with the lab's own key (the default)")
    answer.add_argument("--no", action="store_true", help="refuse every change")
    parser.add_argument("--json", action="store_true", help="print run and judgement as one JSON object")


def _bench(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", metavar="TEXT", help="run only the figures whose name contains TEXT")
    found = sorted(entry_points(group=BENCH_GROUP), key=lambda entry: entry.name)
    if not found:
        return
    kinds = parser.add_subparsers(metavar="BENCHMARK", help="a benchmark of its own; without one, every figure")
    for entry in found:
        try:
            command: Command = entry.load()
        except Exception as error:  # noqa: BLE001 (boundary: a benchmark of somebody else must not end ours)
            sys.stderr.write(f"midwatch: the benchmark {entry.name!r} cannot be loaded: {error}\n")
            continue
        own = kinds.add_parser(entry.name, help=command.summary, description=command.summary + ".")
        command.configure(own)
        own.set_defaults(benchmark=command)


def _bench_mcp(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--peer", type=Path, metavar="PATH", help="the peer's binary (default: fetched into --folder)")
    parser.add_argument(
        "--calls", type=int, default=20, metavar="N", help="of each tool, in turns (default: %(default)s)"
    )
    parser.add_argument(
        "--folder", type=Path, default=Path(".bench"), metavar="DIR", help="keep the peer here (default: .bench)"
    )


def _bench_change(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--rounds", type=int, default=7, metavar="N", help="changes by each way, in turns (default: %(default)s)"
    )
    parser.add_argument(
        "--warm-up",
        type=int,
        default=1,
        metavar="N",
        help="rounds before that do not count (default: %(default)s)",
    )
    parser.add_argument("--kubectl", type=Path, metavar="PATH", help="default: the one in KUBEBUILDER_ASSETS")


bench_change = Command(
    summary="a change of five objects beside kubectl diff and apply of the same, on the original API server",
    target="midwatch_evals.beside_kubectl.measuring:main",
    configure=_bench_change,
)
bench_mcp = Command(
    summary="the kubernetes server beside kubernetes-mcp-server 0.0.67, on the original API (in KUBEBUILDER_ASSETS)",
    target="midwatch_evals.beside_peer.measuring:main",
    configure=_bench_mcp,
)
demo = Command(
    summary="one incident on a lab of real processes, from alert to verified fix",
    target="midwatch_evals.demo:demo",
    configure=_demo,
)
replay = Command(
    summary="play an incident from a scenario file and judge what came out",
    target="midwatch_evals.replay:replay",
    configure=_replay,
)
bench = Command(
    summary="benchmarks, one JSON line a figure",
    target="midwatch_evals.bench:bench",
    configure=_bench,
)
