"""The sub-commands of this package, light enough for `midwatch --help`."""

import argparse

from midwatch_contracts.command import Command
from midwatch_mcp.safe_apply.arguments import configure_audit, configure_change, configure_keys, configure_policy

SERVERS = ("kubernetes", "metrics", "serving", "changes", "all")


def configure_mcp(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `midwatch mcp`."""
    parser.add_argument("server", choices=SERVERS, help="which server to run over stdio; all: every tool in one")
    parser.add_argument(
        "--allow-write", action="store_true", help="also offer change_apply, which applies plans that a person approved"
    )
    parser.add_argument("--http", metavar="HOST:PORT", help=argparse.SUPPRESS)


mcp = Command("Serve tools to an MCP client such as an IDE, over stdio", "midwatch_mcp.serve:main", configure_mcp)
change = Command(
    "Propose, approve, apply and undo changes as transactions", "midwatch_mcp.safe_apply.cli:change", configure_change
)
policy = Command("Show, check or freeze the policy of changes", "midwatch_mcp.safe_apply.cli:policy", configure_policy)
keys = Command("Make and list the keys that sign approvals", "midwatch_mcp.safe_apply.cli:keys", configure_keys)
audit = Command("Verify the hash-chained log of changes", "midwatch_mcp.safe_apply.cli:audit", configure_audit)
