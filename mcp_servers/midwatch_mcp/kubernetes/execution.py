"""A command in a container: `pods/exec` over a WebSocket, its output bounded, its exit code from the error channel.

Source: https://github.com/kubernetes/community, remotecommand; the channels of `v4.channel.k8s.io` and `v5`.
"""

import asyncio
import importlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import orjson

from midwatch_mcp.errors import UnreachableError
from midwatch_mcp.kubernetes.client import KubeClient

_PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_STDOUT, _STDERR, _ERROR = 1, 2, 3
_OPEN_S = 15.0


@dataclass
class Output:
    """What a command wrote, each stream up to `limit` bytes, and how it ended."""

    limit: int
    streams: dict[int, bytearray] = field(default_factory=lambda: {_STDOUT: bytearray(), _STDERR: bytearray()})
    cut: bool = False
    """Whether there was more."""
    exit_code: int | None = None
    """None while it runs, and where it could not be started."""
    error: str = ""

    @property
    def stdout(self) -> str:
        """Standard output; bytes that are not UTF-8 become U+FFFD."""
        return self.streams[_STDOUT].decode("utf-8", errors="replace")

    @property
    def stderr(self) -> str:
        """Standard error, likewise."""
        return self.streams[_STDERR].decode("utf-8", errors="replace")

    def take(self, message: bytes) -> bool:
        """Keep one message; say whether it was the last."""
        channel, data = (message[0], message[1:]) if message else (-1, b"")
        if channel in self.streams:
            kept = self.streams[channel]
            self.cut = self.cut or len(kept) + len(data) > self.limit
            kept += data[: self.limit - len(kept)]
        elif channel == _ERROR:
            self._end(data)
            return True
        return False

    def _end(self, data: bytes) -> None:
        """Read the Status of the error channel."""
        status = cast("dict[str, Any]", orjson.loads(data))
        if status.get("status") == "Success":
            self.exit_code = 0
            return
        self.error = str(status.get("message") or "the command failed")
        details = cast("dict[str, Any]", status.get("details") or {})
        causes = cast("list[dict[str, Any]]", details.get("causes") or [])
        for cause in causes:
            if cause.get("reason") == "ExitCode" and str(cause.get("message", "")).isdecimal():
                self.exit_code = int(cause["message"])


async def execute(
    client: KubeClient, path: str, *, container: str, argv: Sequence[str], timeout_s: float, limit: int
) -> Output:
    """Run a command and return what it wrote once it ended; `exit_code` is None where it did not within `timeout_s`.

    Raises:
        KubeError: it was not started.
        UnreachableError: the connection broke, and what became of it is unknown.
    """
    query = [("command", word) for word in argv]
    query += [("container", container), ("stdout", "true"), ("stderr", "true")]
    output = Output(limit)
    kinds = importlib.import_module("aiohttp").WSMsgType
    async with client.websocket(path, query, protocols=_PROTOCOLS, timeout_s=_OPEN_S) as socket:
        try:
            async with asyncio.timeout(timeout_s):
                async for message in socket:
                    if message.type == kinds.BINARY and output.take(message.data):
                        return output
        except TimeoutError:
            output.error = f"it did not end within {timeout_s:g} s, and may still run"
            return output
    raise UnreachableError(f"{path} broke off before the command ended", may_have_arrived=True)
