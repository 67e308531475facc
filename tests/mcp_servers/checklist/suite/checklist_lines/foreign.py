"""Lines 20, 23, 30: standard output, and servers that are not ours."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from mcp.server import MCPServer
from mcp.types import ToolAnnotations

from checklist_lines import defects
from checklist_lines.line import Scene, line
from midwatch_mcp import server as server_module
from midwatch_mcp.errors import SettingsError
from midwatch_mcp.evidence import EvidenceStore
from midwatch_mcp.gateway import foreign as foreign_module
from midwatch_mcp.gateway.config import ForeignServer, read_servers
from midwatch_mcp.gateway.connection import ForeignConnection
from midwatch_mcp.gateway.foreign import ForeignPart, foreign_offers, foreign_part
from midwatch_mcp.gateway.pins import PinnedServer, Pins, pinned
from midwatch_mcp.servers import build
from midwatch_mcp.testing.caller import command_line

HELLO: dict[str, object] = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}


@line(20, "standard output of a server over stdio carries JSON-RPC alone", without=defects.print_to_standard_output)
async def standard_output_is_json_rpc(scene: Scene) -> None:
    words = defects.started(command_line(scene.settings, "kubernetes"))
    process = await asyncio.create_subprocess_exec(*words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    listed: dict[str, object] = {"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {}}
    ready: dict[str, object] = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    sent = b"".join(json.dumps(message).encode() + b"\n" for message in (HELLO, ready, listed))
    output, _ = await asyncio.wait_for(process.communicate(sent), 60)
    lines = output.splitlines()
    assert len(lines) >= 1
    for text in lines:
        try:
            assert json.loads(text)["jsonrpc"] == "2.0"
        except ValueError:
            raise AssertionError(f"standard output carries {text[:80]!r}") from None


def mount_the_last_of_a_name(patch: pytest.MonkeyPatch) -> None:
    def careless(name: str, parts: list[ForeignPart], **options: object) -> object:
        offers = {offer.declaration.name: offer for part in parts for offer in part.offers}
        return (name, offers, options)

    patch.setattr(server_module, "mount", careless)


@line(23, "two tools of one name are refused", without=mount_the_last_of_a_name)
async def names_do_not_clash(scene: Scene) -> None:
    inside = MCPServer("other")
    inside.add_tool(lambda: "", name="kube_list", description="x", annotations=ToolAnnotations(read_only_hint=True))
    connection = ForeignConnection("other", ForeignServer(command="other"), {}, inside=inside)
    manifests = await connection.tools()
    await connection.aclose()
    offers, _ = foreign_offers(connection, manifests, pinned("x", manifests), allow_write=False)
    ours = build(scene.settings, allow_write=False, names=("kubernetes",))["kubernetes"]
    evidence = EvidenceStore(scene.settings.state)
    parts = [ours, ForeignPart(tuple(offers), connection.aclose)]
    told = ""
    try:
        server_module.mount("all", parts, settings=scene.settings, evidence=evidence)
    except SettingsError as error:
        told = str(error)
    assert "kube_list" in told, "a foreign kube_list took the place of ours, or ours of the foreign one"


def trust_every_server(patch: pytest.MonkeyPatch) -> None:
    class Trusting(Pins):
        """Pins that know every server of the file."""

    def careless(state: Path) -> Pins:
        servers = read_servers(state.parent / "mcp.json")
        return Trusting(servers={name: PinnedServer(launch_sha256=one.sha256) for name, one in servers.items()})

    patch.setattr(foreign_module, "load_pins", careless)


@line(
    30,
    "no command of a configuration runs before it was shown, and then with an environment of its own",
    without=trust_every_server,
)
async def commands_are_shown_first(scene: Scene) -> None:
    marker = scene.settings.state.parent / "marker"
    script = f"import pathlib; pathlib.Path({str(marker)!r}).touch()"
    file = scene.settings.state.parent / "mcp.json"
    entry = {"command": sys.executable, "args": ["-c", script]}
    file.write_text(json.dumps({"mcpServers": {"ghost": entry}}), "utf-8")
    await asyncio.to_thread(foreign_part, scene.settings.state, file, allow_write=False)
    assert not marker.exists(), "a command that nobody has seen was run"
