"""`midwatch mcp`: one server over stdio or HTTP. Standard output carries JSON-RPC alone; logs go to standard error."""

import argparse
import asyncio
import gc
import importlib
import json
import logging
import os
import sys
import textwrap
from collections.abc import Iterable
from dataclasses import asdict, replace

from midwatch_contracts.command import CommandError, Settings
from midwatch_contracts.exit_codes import Exit
from midwatch_mcp import stdio
from midwatch_mcp.commands import PIN, TOOLSETS
from midwatch_mcp.errors import SettingsError
from midwatch_mcp.kubernetes.connection import Bounds
from midwatch_mcp.kubernetes.contexts import pinned
from midwatch_mcp.server import ToolServer
from midwatch_mcp.servers import build, build_all, parts_of
from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.toolsets import Toolset, toolsets

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
        if arguments.server == PIN:
            return int(importlib.import_module("midwatch_mcp.gateway.pinning").main(arguments, settings.state))
        if arguments.server == TOOLSETS:
            return _list_toolsets(arguments, settings)
        given = replace(ServerSettings.from_settings(settings), bounds=_bounds(arguments))
        reached = given if arguments.server == "metrics" else pinned(given, arguments.context, os.environ)
        server = _server(arguments, reached)
        gc.freeze()  # modules and schemas stay: a list of a thousand rows need not pay for looking through them
        if arguments.http is not None:
            # The web server and its tokens cost a tenth of a second that a start over stdio need not wait for.
            importlib.import_module("midwatch_mcp.http.running").main(arguments, server, reached)
            return Exit.OK
    except SettingsError as error:
        raise CommandError(str(error), Exit.BAD_INPUT) from error
    asyncio.run(stdio.serve(server))
    return Exit.OK


def _server(arguments: argparse.Namespace, settings: ServerSettings) -> ToolServer:
    name, allow_write = arguments.server, arguments.allow_write
    if name == "all":
        chosen = None if arguments.toolsets is None else _words(arguments.toolsets)
        return build_all(settings, allow_write=allow_write, foreign=arguments.mcp_config, toolsets=chosen)
    return build(settings, allow_write=allow_write, names=(name,))[name]


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _list_toolsets(arguments: argparse.Namespace, settings: Settings) -> int:
    """Print what `--toolsets` takes; nothing is asked of any cluster."""
    reached = ServerSettings(state=settings.state)
    parts = parts_of(reached, allow_write=arguments.allow_write, foreign=arguments.mcp_config)
    found = list(toolsets(parts).values())
    if arguments.json:
        sys.stdout.write(json.dumps([asdict(toolset) for toolset in found], indent=2) + "\n")
    else:
        sys.stdout.write("".join(_lines(found)))
    return Exit.OK


def _lines(found: Iterable[Toolset]) -> Iterable[str]:
    yield f"{'toolset':<16} {'bytes':>6}  tools\n"
    for one in found:
        wrapped = textwrap.wrap(" ".join(one.tools), 90)
        yield f"{one.name:<16} {one.bytes:>6}  {wrapped[0]}\n"
        yield from (f"{'':<25}{line}\n" for line in wrapped[1:])


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
    if arguments.mcp_config is not None and arguments.server not in {"all", PIN, TOOLSETS}:
        raise SettingsError("--mcp-config goes with: midwatch mcp all, pin, or toolsets")
    if arguments.toolsets is not None and arguments.server != "all":
        raise SettingsError("--toolsets chooses among the tools of: midwatch mcp all")
    if arguments.json and arguments.server != TOOLSETS:
        raise SettingsError("--json goes with: midwatch mcp toolsets")
    if given and arguments.http is None:
        raise SettingsError(f"--{given[0].replace('_', '-')} is for a server over HTTP: give --http HOST:PORT too")
