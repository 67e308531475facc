"""The arguments of `midwatch lab load`. On the path of `midwatch --help`, so it imports nothing heavy."""

import argparse
from pathlib import Path


def configure_load(parser: argparse.ArgumentParser) -> None:
    """Add `start`, `replay`, `show`, `stop` and `fit`."""
    actions = parser.add_subparsers(dest="load", required=True, metavar="ACTION")
    start = actions.add_parser("start", help="start a load, and follow it until it ends, or Ctrl-C ends it")
    replay = actions.add_parser("replay", help="replay a trace: Azure, BurstGPT or Mooncake, by its columns")
    show = actions.add_parser("show", help="say what each load has done")
    stop = actions.add_parser("stop", help="stop the load of a target, or all loads")
    fit = actions.add_parser("fit", help="print a specification that draws what a trace looks like, for --spec")
    fit.add_argument("file", type=Path, metavar="FILE", help="the trace: Azure, BurstGPT or Mooncake, by its columns")
    fit.add_argument("--dir", type=Path, help=argparse.SUPPRESS)
    for action in (start, replay, show, stop):
        action.add_argument("--dir", type=Path, help="folder of the lab's files (default: `lab` in the state folder)")
        action.add_argument("--json", action="store_true", help="answer with one JSON object")
    stop.add_argument("--target", metavar="SERVICE", help="Service/namespace/name (default: all that have a load)")
    for action in (start, replay):
        _configure_target(action)
    start.add_argument(
        "--preset", metavar="NAME", help="chat, code, burstgpt, long-context, batch, day, agent or mixed"
    )
    start.add_argument(
        "--shape", metavar="NAME", help="poisson, constant, gamma, batch, diurnal, closed, sessions, clients or trace"
    )
    start.add_argument("--rate", type=float, metavar="R", help="requests a second (sessions: conversations)")
    start.add_argument("--concurrency", type=int, metavar="N", help="with --shape closed: clients")
    start.add_argument("--spec", type=Path, metavar="FILE", help="start from a specification: JSON or YAML")
    replay.add_argument("file", type=Path, metavar="FILE", help="the trace; read as it is replayed")
    replay.add_argument("--speed", type=float, metavar="X", help="times as fast as it was (default: 1)")
    replay.add_argument("--start-s", type=float, metavar="S", help="begin so far into the trace")


def _configure_target(action: argparse.ArgumentParser) -> None:
    target = action.add_mutually_exclusive_group(required=True)
    target.add_argument("--target", metavar="SERVICE", help="a Service of the lab, as Service/namespace/name")
    target.add_argument("--url", help="base URL of any server that speaks OpenAI's protocol; needs no lab")
    action.add_argument("--requests", type=int, metavar="N", help="end after so many (sessions: conversations)")
    action.add_argument("--for", dest="seconds", type=float, metavar="S", help="end after so many seconds")
    action.add_argument("--model", metavar="NAME", help="(default: the first that the server lists)")
    action.add_argument(
        "--set",
        dest="fields",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any other field of the specification, VALUE in JSON: --set token_scale=0.1 (see docs/load.md)",
    )
    action.add_argument("--detach", action="store_true", help="with --target: leave it running, and return")
