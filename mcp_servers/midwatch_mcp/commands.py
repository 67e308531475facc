"""The sub-commands of this package, light enough for `midwatch --help`."""

import argparse
from pathlib import Path

from midwatch_contracts.command import Command
from midwatch_mcp.safe_apply.arguments import configure_audit, configure_change, configure_keys, configure_policy

SERVERS = ("kubernetes", "metrics", "serving", "changes", "all")
PIN = "pin"
TOOLSETS = "toolsets"


def configure_mcp(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `midwatch mcp`."""
    parser.add_argument(
        "server",
        choices=(*SERVERS, PIN, TOOLSETS),
        help="which server to run; all: every tool in one; pin: look at the servers of --mcp-config, and trust them; "
        "toolsets: list what --toolsets takes",
    )
    parser.add_argument(
        "--toolsets",
        metavar="NAME,...",
        help="with all: only the tools of these servers and groups, such as cluster-state,logs; evidence_read stays",
    )
    parser.add_argument("--json", action="store_true", help="with toolsets: print one JSON list")
    parser.add_argument(
        "--allow-write", action="store_true", help="also offer change_apply, which applies plans that a person approved"
    )
    foreign = parser.add_argument_group("other servers")
    foreign.add_argument(
        "--mcp-config",
        type=Path,
        metavar="FILE",
        help='with all: also offer the pinned tools of the servers in this file ({"mcpServers": {...}})',
    )
    foreign.add_argument("--yes", action="store_true", help="with pin: ask nothing")
    cluster = parser.add_argument_group("the cluster")
    cluster.add_argument(
        "--context",
        action="append",
        default=[],
        metavar="NAME",
        help="context within the kubeconfig; of several (may be repeated) a call of the kubernetes and serving tools "
        "chooses one, the first by default; changes are made in the first alone",
    )
    cluster.add_argument(
        "--namespace",
        action="append",
        default=[],
        metavar="NAME",
        help="keep to this namespace (may be repeated); nodes and other kinds without one stay readable",
    )
    cluster.add_argument("--as", dest="as_user", metavar="USER", help="impersonate this user in every request")
    cluster.add_argument(
        "--as-group", action="append", default=[], metavar="GROUP", help="and this group (may be repeated)"
    )
    cluster.add_argument(
        "--insecure-skip-tls-verify",
        action="store_true",
        help="accept a kubeconfig that does not check the server's certificate; without it such a server is not asked",
    )
    http = parser.add_argument_group(
        "over HTTP", "Instead of stdio. An address that other machines reach needs a token and the names it goes by."
    )
    http.add_argument("--http", metavar="HOST:PORT", help="serve at http://HOST:PORT/mcp until SIGINT or SIGTERM")
    http.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="who may call: a line NAME TOKEN each, read again when it changes",
    )
    http.add_argument("--oauth-issuer", metavar="URL", help="take the JWT access tokens of this authorization server")
    http.add_argument("--oauth-resource", metavar="URL", help="the audience that they must name: this server's own URL")
    http.add_argument(
        "--oauth-scope",
        action="append",
        default=[],
        metavar="SCOPE",
        help="a scope that they must carry (may be repeated)",
    )
    http.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME:PORT",
        help="a Host header that is answered; NAME:* too",
    )
    http.add_argument(
        "--allowed-origin", action="append", default=[], metavar="URL", help="an Origin header that is answered"
    )
    http.add_argument("--tls-cert-file", type=Path, metavar="FILE", help="serve HTTPS with this certificate (PEM)")
    http.add_argument("--tls-private-key-file", type=Path, metavar="FILE", help="its key (PEM)")


mcp = Command(
    "Serve tools to an MCP client such as an IDE, over stdio or HTTP", "midwatch_mcp.serve:main", configure_mcp
)
change = Command(
    "Propose, approve, apply and undo changes as transactions", "midwatch_mcp.safe_apply.cli:change", configure_change
)
policy = Command(
    "Show, check, test or freeze the policy of changes", "midwatch_mcp.safe_apply.policy_cli:main", configure_policy
)
keys = Command(
    "Make, list and revoke keys that sign approvals", "midwatch_mcp.safe_apply.keys_cli:main", configure_keys
)
audit = Command(
    "Show and verify the hash-chained log of changes", "midwatch_mcp.safe_apply.audit_cli:main", configure_audit
)
