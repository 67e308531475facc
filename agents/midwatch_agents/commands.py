"""The sub-commands of the supervisor. On the path of `midwatch --help`: argparse and the contract, nothing else."""

import argparse

from midwatch_contracts.command import Command


def _inputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--input",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        dest="inputs",
        help="give one input of the guide (may be repeated), for example --input window=20s",
    )


def _approval(parser: argparse.ArgumentParser) -> None:
    way = parser.add_mutually_exclusive_group()
    way.add_argument("--yes", action="store_true", help="approve with the lab's own key (refused outside a lab)")
    way.add_argument("--deny", action="store_true", help="refuse every change")
    way.add_argument("--later", action="store_true", help="stop at the approval; `midwatch resume` goes on")


def _chat(parser: argparse.ArgumentParser) -> None:
    _inputs(parser)
    _approval(parser)


def _investigate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("question", nargs="?", help='for example "why is time to first token high on chat?"')
    parser.add_argument(
        "--alert", metavar="FILE", help="an alert as Prometheus or Alertmanager writes it; - reads stdin"
    )
    parser.add_argument("--guide", metavar="ID", help="run this guide instead of the one that triage ranks first")
    _inputs(parser)
    _approval(parser)
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")


def _resume(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", nargs="?", help="the run to go on with (default: the last one that is not over)")
    _approval(parser)
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")


def _runs(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="the runs of this state folder, newest first")
    listing.add_argument("--json", action="store_true", help="print one JSON list")
    show = actions.add_parser("show", help="one run: its report, or its ledger as JSON")
    show.add_argument("run", nargs="?", help="the run (default: the last one)")
    show.add_argument("--json", action="store_true", help="print the verified ledger as one JSON object")


def _config(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    show = actions.add_parser("show", help="the settings in force")
    show.add_argument("--origin", action="store_true", help="say where each value came from")
    show.add_argument("--json", action="store_true", help="print one JSON object")


chat = Command(
    summary="ask in a terminal: runs guides, shows the evidence, asks before it changes anything",
    target="midwatch_agents.chat:run",
    configure=_chat,
)
investigate = Command(
    summary="investigate one alert or question, from triage to a verified fix",
    target="midwatch_agents.investigate:investigate",
    configure=_investigate,
)
resume = Command(
    summary="go on with a run that was interrupted, killed, or waits for an approval",
    target="midwatch_agents.investigate:resume",
    configure=_resume,
)
runs = Command(
    summary="list the runs, or show one",
    target="midwatch_agents.runs_show:run",
    configure=_runs,
)
config = Command(
    summary="show the configuration in force, and where each value came from",
    target="midwatch_agents.config_show:run",
    configure=_config,
)
