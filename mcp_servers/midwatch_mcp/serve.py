"""`midwatch mcp`: one server over stdio. Standard output carries JSON-RPC alone; logs go to standard error."""

import argparse
import logging
import sys

from midwatch_contracts.command import CommandError, Settings
from midwatch_contracts.exit_codes import Exit
from midwatch_mcp.errors import SettingsError
from midwatch_mcp.server import ToolServer
from midwatch_mcp.servers import build, build_all
from midwatch_mcp.settings import ServerSettings


def main(arguments: argparse.Namespace, settings: Settings) -> int:
    """Serve until standard input ends."""
    if arguments.http is not None:
        raise CommandError("serving over HTTP is not built yet: leave --http out to serve over stdio", Exit.BAD_INPUT)
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        server = _server(arguments.server, ServerSettings.from_settings(settings), allow_write=arguments.allow_write)
    except SettingsError as error:
        raise CommandError(str(error), Exit.BAD_INPUT) from error
    try:
        server.run("stdio")
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    return Exit.OK


def _server(name: str, settings: ServerSettings, *, allow_write: bool) -> ToolServer:
    if name == "all":
        return build_all(settings, allow_write=allow_write)
    return build(settings, allow_write=allow_write, names=(name,))[name]
