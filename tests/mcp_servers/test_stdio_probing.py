"""Over stdio a client that probed, gave up waiting and shakes hands is served: a slow start is no refusal."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import pytest
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCError, JSONRPCRequest, JSONRPCResponse

from midwatch_mcp.probing import Incoming, serve_messages
from midwatch_mcp.servers import build
from midwatch_mcp.settings import ServerSettings

pytestmark = pytest.mark.anyio

CLIENT = {"name": "t", "version": "1"}
MODERN = {
    "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": CLIENT,
        "io.modelcontextprotocol/clientCapabilities": {},
    }
}
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": CLIENT}


@dataclass
class Peer:
    """The other end."""

    asked: MemoryObjectSendStream[Incoming]
    answers: MemoryObjectReceiveStream[SessionMessage]
    number: int = 0

    async def send(self, method: str, params: dict[str, Any]) -> int:
        self.number += 1
        request = JSONRPCRequest(jsonrpc="2.0", id=self.number, method=method, params=params)
        await self.asked.send(SessionMessage(request))
        return self.number

    async def answer(self) -> tuple[Any, dict[str, Any]]:
        """Return the id of the next answer, and its result or error."""
        with anyio.fail_after(10):
            message = (await self.answers.receive()).message
        assert isinstance(message, JSONRPCResponse | JSONRPCError)
        found = message.result if isinstance(message, JSONRPCResponse) else {"error": message.error.code}
        return message.id, found


@asynccontextmanager
async def connected(settings: ServerSettings) -> AsyncGenerator[Peer]:
    server = build(settings, allow_write=False, names=("metrics",))["metrics"]
    asked, incoming = anyio.create_memory_object_stream[Incoming](10)
    outgoing, answers = anyio.create_memory_object_stream[SessionMessage](10)
    async with incoming, outgoing, answers, anyio.create_task_group() as tasks:
        tasks.start_soon(serve_messages, server.serve_connection, incoming, outgoing)
        async with asked:
            yield Peer(asked, answers)


@pytest.mark.parametrize("waits", [True, False])
async def test_a_handshake_after_a_probe_begins_a_connection_that_works(
    settings: ServerSettings, *, waits: bool
) -> None:
    async with connected(settings) as peer:
        probe = await peer.send("server/discover", MODERN)
        if waits:
            number, found = await peer.answer()
            assert (number, "2026-07-28" in found["supportedVersions"]) == (probe, True)
        hello = await peer.send("initialize", HELLO)
        number, found = await peer.answer()
        if number == probe:  # answered before the handshake was seen
            number, found = await peer.answer()
        assert (number, found["protocolVersion"]) == (hello, "2025-11-25")
        listing = await peer.send("tools/list", {})
        number, found = await peer.answer()
        assert number == listing
        assert found["tools"]


async def test_a_handshake_after_another_request_of_the_modern_protocol_is_refused(settings: ServerSettings) -> None:
    async with connected(settings) as peer:
        for method in ("server/discover", "tools/list", "initialize"):
            number = await peer.send(method, HELLO if method == "initialize" else MODERN)
            identifier, found = await peer.answer()
            assert identifier == number
        assert found == {"error": -32022}


async def test_a_second_handshake_on_a_connection_is_one_of_that_connection(settings: ServerSettings) -> None:
    async with connected(settings) as peer:
        await peer.send("server/discover", MODERN)
        await peer.answer()
        for _ in range(2):
            await peer.send("initialize", HELLO)
            assert (await peer.answer())[1]["protocolVersion"] == "2025-11-25"


async def test_a_client_of_one_era_is_served_as_before(settings: ServerSettings) -> None:
    async with connected(settings) as peer:
        await peer.send("initialize", HELLO)
        assert (await peer.answer())[1]["protocolVersion"] == "2025-11-25"
    async with connected(settings) as peer:
        await peer.send("tools/list", MODERN)
        assert (await peer.answer())[1]["tools"]
