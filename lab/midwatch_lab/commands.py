"""The sub-command `lab`. On the path of `midwatch --help`, so it imports nothing heavy."""

import argparse
from pathlib import Path

from midwatch_contracts.command import Command
from midwatch_lab.load.arguments import configure_load


def configure(parser: argparse.ArgumentParser) -> None:
    """Add `up`, `status`, `down`, `export`, `load`, `promqltest` and `rules`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    up = actions.add_parser("up", help="start a lab and stay until Ctrl-C or `midwatch lab down`")
    status = actions.add_parser("status", help="say whether a lab runs, and where it answers")
    down = actions.add_parser("down", help="end a running lab and all its processes")
    export = actions.add_parser("export", help="write a running lab's objects as manifests, one file each")
    samples = actions.add_parser("samples", help="write what a running lab's Prometheus holds, in OpenMetrics")
    for action in (up, status, down, export, samples):
        action.add_argument("--dir", type=Path, help="folder of the lab's files (default: `lab` in the state folder)")
        action.add_argument("--json", action="store_true", help="answer with one JSON object")
    up.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; 0 takes a free one (default: 0)")
    up.add_argument("--rules", type=Path, metavar="FILE", help="alert rules, as a Prometheus rule file")
    up.add_argument(
        "--alertmanager", type=Path, metavar="FILE", help="tell webhooks of alerts, as this alertmanager.yml says"
    )
    up.add_argument("--store", type=Path, metavar="FILE", help="keep objects in a file over restarts (default: memory)")
    up.add_argument(
        "--from", dest="manifests", type=Path, metavar="PATH", help="apply these manifests first: a folder, or a file"
    )
    up.add_argument(
        "--keep-owners",
        action="store_true",
        help="with --from: objects that say who owns their fields (managedFields) are made so, not applied",
    )
    up.add_argument(
        "--play",
        action="append",
        default=[],
        metavar="GLOB=HOW",
        help="play containers of these images so: serving (the reference backend, the default), stand-in (listens on "
        "the container's ports and answers 200), missing (cannot be pulled); the first glob that fits decides",
    )
    up.add_argument(
        "--node", action="append", default=[], metavar="NAME", help="a node of this name (default: lab-1 and lab-2)"
    )
    _add_features(up)
    up.add_argument(
        "--scrape-config",
        type=Path,
        metavar="FILE",
        help="what its Prometheus scrapes, as `scrape_configs` (default: the pods behind every Service)",
    )
    up.add_argument(
        "--enable-remote-write-receiver",
        dest="remote_write",
        action="store_true",
        help="its Prometheus takes samples by POST /prometheus/api/v1/write (default: only what it scrapes)",
    )
    up.add_argument(
        "--metrics-retention",
        default="1h",
        metavar="TIME",
        help="how long its Prometheus keeps samples, such as 6h or 1d (default: %(default)s)",
    )
    up.add_argument(
        "--metrics-retention-size",
        default="512MB",
        metavar="SIZE",
        help="how much memory its samples may take before the oldest go, such as 2GB (default: %(default)s)",
    )
    up.add_argument(
        "--metric-labels-allowlist",
        default="",
        metavar="KINDS",
        help="labels of objects that kube-state-metrics' series have too, in its words: pods=[app,team],nodes=[*]",
    )
    samples.add_argument(
        "--match",
        action="append",
        default=[],
        metavar="SELECTOR",
        help="series, such as '{job=\"chat\"}' (default: all)",
    )
    samples.add_argument("--start", metavar="TIME", help="from when on, in RFC 3339 or Unix seconds")
    samples.add_argument("--end", metavar="TIME", help="until when, in RFC 3339 or Unix seconds")
    samples.add_argument("-o", "--output", type=Path, metavar="FILE", help="a file (default: standard output)")
    export.add_argument("to", type=Path, metavar="DIR", help="a folder that is empty or not there yet")
    up.add_argument("--exit-with-stdin", action="store_true", help="end when standard input ends")
    configure_load(actions.add_parser("load", help="send traffic to Services, or replay a trace (docs/load.md)"))
    scripts = actions.add_parser("promqltest", help="run scripts in the language of Prometheus's promqltest")
    scripts.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="a script: load, clear, eval and expect lines"
    )
    scripts.add_argument("--json", action="store_true", help="answer with one JSON object")
    _configure_rules(actions.add_parser("rules", help="check rule files, or run promtool's unit tests of them"))


def _configure_rules(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    check = kinds.add_parser("check", help="say what is wrong with rule files, line by line")
    test = kinds.add_parser("test", help="run unit tests in promtool's format, in virtual time")
    check.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a rule file in Prometheus's YAML")
    test.add_argument(
        "files", nargs="+", type=Path, metavar="FILE", help="a unit test: rule_files, tests, input_series, ..."
    )
    for kind in (check, test):
        kind.add_argument("--json", action="store_true", help="answer with one JSON object")
        _add_features(kind)


def _add_features(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--enable-feature",
        action="append",
        default=[],
        metavar="NAMES",
        help="experimental parts of PromQL, as Prometheus names them, separated by commas: "
        "promql-experimental-functions, promql-binop-fill-modifiers",
    )


def configure_bench(parser: argparse.ArgumentParser) -> None:
    """Add the sizes of the comparison with the original."""
    parser.add_argument("--pods", type=int, default=5000, metavar="N", help="pods on each side (default: %(default)s)")
    parser.add_argument("--watchers", type=int, default=50, metavar="N", help="open watches (default: %(default)s)")
    parser.add_argument(
        "--writes", type=int, default=500, metavar="N", help="writes they hear of (default: %(default)s)"
    )


def configure_shapes(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `bench load-shapes`."""
    parser.add_argument("--draws", type=int, default=100_000, metavar="N", help="draws a shape (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the draws (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


bench_shapes = Command(
    summary="the load generator's shapes beside the published figures that they stand for",
    target="midwatch_lab.load.proof:main",
    configure=configure_shapes,
)


def configure_bench_metrics(parser: argparse.ArgumentParser) -> None:
    """Add the size of what both sides are given."""
    parser.add_argument("--pods", type=int, default=200, metavar="N", help="pods of 25 series (default: %(default)s)")
    parser.add_argument(
        "--scrapes", type=int, default=1440, metavar="N", help="scrapes of each, every 15 s (default: %(default)s)"
    )


bench_metrics = Command(
    summary="the lab's Prometheus beside the original (in KUBEBUILDER_ASSETS): queries, ingest, memory",
    target="midwatch_lab.bench.beside_prometheus:main",
    configure=configure_bench_metrics,
)
bench_lab = Command(
    summary="the lab beside the original kube-apiserver (in KUBEBUILDER_ASSETS): lists, watches, memory",
    target="midwatch_lab.bench.beside_original:main",
    configure=configure_bench,
)
lab = Command(
    summary="a Kubernetes cluster to practise on: real API, real pods as local processes, metrics, load, faults",
    target="midwatch_lab.launch:main",
    configure=configure,
)
