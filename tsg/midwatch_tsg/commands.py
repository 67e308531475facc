"""The sub-command `midwatch guide`. Light: it stands on the way of `midwatch --help`."""

import argparse
from pathlib import Path

from midwatch_contracts.command import Command


def _configure(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    lint = actions.add_parser("lint", help="check guides whole, before any tool is called (exit 0 clean, 2 errors)")
    lint.add_argument("files", nargs="*", type=Path, metavar="FILE", help="guides to check (default: the library)")
    lint.add_argument("--strict", action="store_true", help="warnings count as errors")
    show = actions.add_parser("show", help="draw the graph of a guide")
    show.add_argument("id", help="id of a guide, or a file that ends in .md")
    listed = actions.add_parser("list", help="list the guides")
    for action in (lint, show, listed):
        action.add_argument("--json", action="store_true", help="print JSON")


guide = Command(
    summary="check, show and list troubleshooting guides",
    target="midwatch_tsg.guide_command:run",
    configure=_configure,
)
