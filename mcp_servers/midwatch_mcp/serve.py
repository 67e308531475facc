"""`midwatch mcp`: one server over stdio or HTTP. Standard output carries JSON-RPC alone; logs go to standard error."""

import argparse
import importlib
import logging
import os
import sys
from dataclasses import replace

from midwatch_contracts.command import CommandError, Settings
from midwatch_contracts.exit_codes import Exit
from midwatch_mcp.errors import SettingsError
from midwatch_mcp.kubernetes.connection import Bounds
from midwatch_mcp.kubernetes.contexts import pinned
from midwatch_mcp.server import ToolServer
from midwatch_mcp.servers import build, build_all
from midwatch_mcp.settings import ServerSettings

_HTTP_FLAGS = (
    "token_file",
    "oauth_issuer",
    "oauth_resource",
    "oauth_scope",
    "allowed_host",
    "allowed_origin",
    "tls_cert_file",
    "tls_private_key_file",
)


def main(arguments: argparse.Namespace, settings: Settings) -> int:
    """Serve until standard input ends, or over HTTP until a signal."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        _check_flags(arguments)
        if arguments.server == "pin":
            return int(importlib.import_module("midwatch_mcp.gateway.pinning").main(arguments, settings.state))
        given = replace(ServerSettings.from_settings(settings), bounds=_bounds(arguments))
        reached = given if arguments.server == "metrics" else pinned(given, arguments.context, os.environ)
        server = _server(arguments, reached)
        if arguments.http is not None:
            # The web server and its tokens cost a tenth of a second that a start over stdio need not wait for.
            importlib.import_module("midwatch_mcp.http.running").main(arguments, server)
            return Exit.OK
    except SettingsError as error:
        raise CommandError(str(error), Exit.BAD_INPUT) from error
    try:
        server.run("stdio")
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    return Exit.OK


def _server(arguments: argparse.Namespace, settings: ServerSettings) -> ToolServer:
    name, allow_write = arguments.server, arguments.allow_write
    if name == "all":
        return build_all(settings, allow_write=allow_write, foreign=arguments.mcp_config)
    return build(settings, allow_write=allow_write, names=(name,))[name]


def _bounds(arguments: argparse.Namespace) -> Bounds:
    if arguments.as_group and arguments.as_user is None:
        raise SettingsError("--as-group goes with --as USER: a group alone cannot be impersonated")
    return Bounds(
        namespaces=frozenset(arguments.namespace),
        user=arguments.as_user,
        groups=tuple(arguments.as_group),
        insecure_skip_tls_verify=arguments.insecure_skip_tls_verify,
    )


def _check_flags(arguments: argparse.Namespace) -> None:
    if len(arguments.context) > 1 and arguments.server in {"metrics", "changes"}:
        raise SettingsError(
            f"midwatch mcp {arguments.server} speaks to one cluster: give one --context, or start one server a cluster"
        )
    given = [name for name in _HTTP_FLAGS if getattr(arguments, name)]
    if arguments.mcp_config is not None and arguments.server not in {"all", "pin"}:
        raise SettingsError("--mcp-config goes with: midwatch mcp all, or midwatch mcp pin")
    if given and arguments.http is None:
        raise SettingsError(f"--{given[0].replace('_', '-')} is for a server over HTTP: give --http HOST:PORT too")
