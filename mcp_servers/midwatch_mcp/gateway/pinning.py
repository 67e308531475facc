"""`midwatch mcp pin`: a person sees what would be run and what its tools say of themselves, and pins it."""

import argparse
import asyncio
import sys
from pathlib import Path

from mcp.types import Tool

from midwatch_contracts.exit_codes import Exit
from midwatch_contracts.untrusted import clean
from midwatch_mcp.errors import SettingsError, UnreachableError
from midwatch_mcp.gateway.config import ForeignServer, read_servers
from midwatch_mcp.gateway.connection import ForeignConnection
from midwatch_mcp.gateway.foreign import manifests_of
from midwatch_mcp.gateway.pins import Pins, changes, load_pins, pinned, save_pins


def main(arguments: argparse.Namespace, state: Path) -> int:
    """Show each server, ask, and write the pins; return the exit code.

    Raises:
        SettingsError: the file cannot be used, or nobody is there to ask.
    """
    if arguments.mcp_config is None:
        raise SettingsError("midwatch mcp pin needs --mcp-config FILE, which names the servers")
    servers = read_servers(arguments.mcp_config)
    if not arguments.yes and not sys.stdin.isatty():
        raise SettingsError(
            "a person pins servers: run it in a terminal, or give --yes for servers that you have looked at"
        )
    pins = load_pins(state)
    done = [_pin(name, server, pins, yes=arguments.yes) for name, server in servers.items()]
    kept = {name: pin for name, pin in pins.servers.items() if name in servers}
    file = save_pins(state, Pins(servers=kept))
    _say(f"{sum(done)} of {len(servers)} servers are pinned in {file}")
    return Exit.OK if all(done) else Exit.NOT_APPROVED


def _pin(name: str, server: ForeignServer, pins: Pins, *, yes: bool) -> bool:
    """Look at one server; say whether it is pinned now."""
    before = pins.servers.get(name)
    same = before is not None and before.launch_sha256 == server.sha256
    _say(f"{name}: {'reached at' if server.url else 'runs'} {server.shown}")
    if not same and not _agreed(f"{'reach' if server.url else 'run'} it and list its tools?", yes=yes):
        pins.servers.pop(name, None)
        return False
    try:
        tools = asyncio.run(manifests_of(ForeignConnection(name, server)))
    except UnreachableError as error:
        _say(f"  {error}")
        return False
    found = changes(before, tools) if same and before is not None else {tool.name: "new" for tool in tools}
    if not found:
        _say(f"  {len(tools)} tools, as pinned")
        return True
    for tool in tools:
        if tool.name in found:
            _show(tool, found[tool.name])
    for gone in (tool for tool, what in found.items() if what == "gone"):
        _say(f"  gone: {gone}")
    if not _agreed(f"pin {name} with these tools?", yes=yes):
        return False
    pins.servers[name] = pinned(server.sha256, tools)
    return True


def _show(tool: Tool, what: str) -> None:
    hints = tool.annotations
    effect = "says that it only reads" if hints is not None and hints.read_only_hint is True else "MAY WRITE"
    _say(f"  {what}: {tool.name} ({effect})")
    description = tool.description or ""
    for line in clean(description).splitlines():
        _say(f"    {line}")
    hidden = len(description) - len(clean(description))
    if hidden:
        _say(f"    WARNING: {hidden} hidden or control characters stand in this text")


def _agreed(question: str, *, yes: bool) -> bool:
    if yes:
        return True
    sys.stderr.write(f"  {question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().casefold() in {"y", "yes"}


def _say(text: str) -> None:
    print(clean(text), file=sys.stderr)  # noqa: T201 (what a person looks at)
