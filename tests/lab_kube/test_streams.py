"""exec, attach and port-forward over WebSocket, into pods that are real processes."""

import asyncio
import contextlib
import json
import os
import signal
import struct
import sys
import time
import zlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from midwatch_contracts.entity import Entity
from midwatch_lab.api.streams.portforward import Connection
from midwatch_lab.api.streams.spdy import DICTIONARY
from midwatch_lab.client import LabClient
from midwatch_lab.kubelet.commands import ContainerContext
from midwatch_lab.lab import Lab, LabOptions
from midwatch_lab.objects import dig
from midwatch_lab.topology import chat_topology

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

FAKE = str(Path(__file__).with_name("fake_pod.py"))
V4, V5 = "v4.channel.k8s.io", "v5.channel.k8s.io"
SUCCESS: dict[str, Any] = {"metadata": {}, "status": "Success"}


def play(context: ContainerContext) -> Sequence[str]:
    if context.container.get("stdin"):
        return ["/bin/cat"]
    return [sys.executable, FAKE, "--host", context.ip, "--port", str(context.port), "--exit-with-stdin"]


@dataclass
class World:
    lab: Lab
    client: LabClient
    pod: str

    @asynccontextmanager
    async def stream(
        self, subresource: str, protocol: str = V5, user: str = "admin", **query: Any
    ) -> AsyncGenerator[ClientConnection]:
        url = self.client.info.url.replace("http", "ws")
        path = f"/api/v1/namespaces/llm/pods/{self.pod}/{subresource}?{urlencode(query, doseq=True)}"
        headers = {"Authorization": f"Bearer {self.client.info.tokens[user]}"}
        async with connect(
            url + path, additional_headers=headers, subprotocols=[Subprotocol(protocol)], proxy=None
        ) as socket:
            assert socket.subprotocol == protocol
            yield socket


@pytest.fixture
async def world(tmp_path: Path) -> AsyncGenerator[World]:
    lab = Lab(LabOptions(tmp_path, process_command=play))
    info = await lab.start()
    try:
        async with LabClient(info) as client:
            for manifest in chat_topology("llm", "chat", 1):
                await client.create(manifest)
            await client.wait_for_rollout(Entity("Deployment", "llm", "chat"), timeout_s=20)
            (pod,) = await client.objects("Pod", "llm")
            yield World(lab, client, pod["metadata"]["name"])
    finally:
        await lab.stop()


async def everything(socket: ClientConnection) -> tuple[dict[int, bytes], dict[str, Any]]:
    """All output by channel, and the Status at the end."""
    found: dict[int, bytes] = {}
    with contextlib.suppress(ConnectionClosed):
        while True:
            message = await asyncio.wait_for(socket.recv(decode=False), 10)
            found[message[0]] = found.get(message[0], b"") + message[1:]
    status = found.pop(3, b"null")
    return {channel: data for channel, data in found.items() if data}, json.loads(status)


async def pressed(socket: ClientConnection, key: bytes) -> None:
    """Press a key until the stream ends: one that comes between two commands is kept by the shell for later."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            await socket.send(key)
            await asyncio.sleep(0.2)


async def until(condition: Callable[[], Awaitable[Any]], seconds: float = 10.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (answer := await condition()):
        assert time.monotonic() < deadline, "it did not come about in time"
        await asyncio.sleep(0.05)
    return answer


@pytest.mark.parametrize("protocol", [V4, V5])
async def test_exec_runs_a_command_with_the_environment_of_the_container(world: World, protocol: str) -> None:
    script = "echo $MIDWATCH_CPU_LIMIT $HOSTNAME; echo word >&2; pwd; exit 3"
    options: dict[str, Any] = {"stdout": "true", "stderr": "true", "command": ["sh", "-c", script]}
    async with world.stream("exec", protocol, **options) as socket:
        output, status = await everything(socket)
    assert output == {1: f"0.25 {world.pod}\n/\n".encode(), 2: b"word\n"}
    assert (status["reason"], status["details"]["causes"]) == (
        "NonZeroExitCode", [{"reason": "ExitCode", "message": "3"}],
    )  # fmt: skip


async def test_exec_passes_input_on_and_its_end(world: World) -> None:
    async with world.stream("exec", stdin="true", stdout="true", command="cat") as socket:
        await socket.send(b"\x00hello ")
        await socket.send("\x00world")
        await socket.send(b"\xff\x00")
        assert await everything(socket) == ({1: b"hello world"}, SUCCESS)


async def test_exec_carries_megabytes_both_ways(world: World) -> None:
    async with world.stream("exec", stdin="true", stdout="true", command="cat") as socket:
        part = bytes(range(256)) * 128

        async def send() -> None:
            for _ in range(64):
                await socket.send(b"\x00" + part)
            await socket.send(b"\xff\x00")

        sending = asyncio.create_task(send())
        output, status = await everything(socket)
        await sending
    assert output[1] == part * 64
    assert status == SUCCESS


async def test_exec_on_a_terminal_is_resized_and_interrupted(world: World) -> None:
    options: dict[str, Any] = {"stdin": "true", "stdout": "true", "tty": "true", "command": ["sh"]}
    async with world.stream("exec", **options) as socket:
        await socket.send(b'\x04{"Width":101,"Height":33}')
        await socket.send(b"\x04no size")
        await socket.send(b"\x00tty; trap 'exit 130' INT; stty size; sleep 60\n")
        seen = b""
        while b"33 101" not in seen:
            seen += bytes(await asyncio.wait_for(socket.recv(decode=False), 10))
        assert b"/dev/pts/" in seen
        pressing = asyncio.create_task(pressed(socket, b"\x00\x03"))
        async with asyncio.timeout(20):  # the terminal shows every key, so that no single wait is long
            _, status = await everything(socket)
        await pressing
    assert status["details"]["causes"][0]["message"] == "130"


async def test_the_keys_of_a_terminal_are_heard_though_the_lab_ignores_them(world: World) -> None:
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does for what it runs in the background
    try:
        options: dict[str, Any] = {"stdin": "true", "stdout": "true", "tty": "true", "command": ["sleep", "60"]}
        async with world.stream("exec", **options) as socket, asyncio.timeout(20):
            pressing = asyncio.create_task(pressed(socket, b"\x00\x03"))
            _, status = await everything(socket)
            await pressing
    finally:
        signal.signal(signal.SIGINT, heard)
    assert status["details"]["causes"][0]["message"] == "130"


async def test_exec_of_what_is_not_there_says_so(world: World) -> None:
    async with world.stream("exec", stdout="true", command="nope") as socket:
        output, status = await everything(socket)
    assert output == {}
    assert status["reason"] == "InternalError"
    assert 'exec: "nope": executable file not found in $PATH' in status["message"]


@pytest.mark.parametrize("tty", ["true", "false"])
async def test_a_command_ends_with_all_it_started_when_the_client_leaves(
    world: World, tmp_path: Path, tty: str
) -> None:
    file = tmp_path / "pids"
    script = f"sleep 600 & echo $$ $! > {file}; wait"
    async with world.stream("exec", stdout="true", tty=tty, command=["sh", "-c", script]):

        async def told() -> list[str]:
            return file.read_text().split() if file.exists() else []

        pids = [int(word) for word in await until(told)]
        assert all(alive(pid) for pid in pids)

    async def gone() -> bool:
        return not any(alive(pid) for pid in pids)

    await until(gone)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_command_ends_with_its_pod(world: World) -> None:
    async with world.stream("exec", stdout="true", command=["sleep", "600"]) as socket:
        await world.client.delete(Entity("Pod", "llm", world.pod))
        output, status = await everything(socket)
    assert (output, status) == ({}, None)


async def test_streams_end_with_the_lab(world: World) -> None:
    async with world.stream("exec", stdout="true", command=["sleep", "600"]) as socket, raw_socket(world) as tunnel:
        world.lab.api.closing.set()
        assert await everything(socket) == ({}, None)
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(tunnel.recv(), 5)


async def test_who_may_only_read_may_not_stream(world: World) -> None:
    for subresource in ("exec", "attach", "portforward"):
        with pytest.raises(InvalidStatus) as refused:
            async with world.stream(subresource, user="viewer", stdout="true", command="ls"):
                pass
        assert refused.value.response.status_code == 403
        assert json.loads(refused.value.response.body or b"")["reason"] == "Forbidden"


async def test_a_stream_into_a_pod_is_a_write_in_the_audit(world: World) -> None:
    async with world.stream("exec", stdout="true", command=["true"]) as socket:
        await everything(socket)
    (entry,) = [entry for entry in world.lab.store.audit.entries() if entry["path"].endswith("/exec")]
    assert (entry["principal"], entry["verb"], entry["dry_run"]) == ("admin", "create", False)
    assert entry["object"] == f"Pod/llm/{world.pod}"


async def test_a_command_that_no_system_takes_is_refused_in_the_status(world: World) -> None:
    async with world.stream("exec", stdout="true", command=["echo", "a\0b"]) as socket:
        output, status = await everything(socket)
    assert output == {}
    assert "invalid argument" in status["message"]


async def test_what_cannot_be_streamed_is_refused_before_the_upgrade(world: World) -> None:
    cases: list[tuple[str, dict[str, Any], int, str]] = [
        ("exec", {"stdout": "true", "command": "ls", "container": "x"}, 400, "container x is not valid for pod"),
        ("exec", {"command": "ls"}, 400, "at least 1 of stdin, stdout, stderr"),
        ("exec", {"stdout": "true"}, 400, "specify the command"),
        ("portforward", {}, 400, "ports"),
        ("portforward", {"ports": "99999"}, 400, "99999 is not between 1 and 65535"),
        ("log", {}, 404, "could not find the requested resource"),
    ]
    for subresource, query, code, text in cases:
        with pytest.raises(InvalidStatus) as refused:
            async with world.stream(subresource, V4, **query):
                pass
        assert refused.value.response.status_code == code
        assert text in json.loads(refused.value.response.body or b"")["message"]
    path = f"/api/v1/namespaces/llm/pods/{world.pod}/exec"
    asked = {"stdout": "true", "command": "ls"}
    old = await world.client.http.post(path, params=asked, headers={"Connection": "Upgrade", "Upgrade": "SPDY/3.1"})
    assert old.status_code == 400
    assert "KUBECTL_REMOTE_COMMAND_WEBSOCKETS=true" in old.json()["message"]


async def test_attach_shows_what_the_container_writes_and_takes_input_where_the_container_does(world: World) -> None:
    pod = {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "cat", "namespace": "llm"},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i", "stdin": True}]},
    }  # fmt: skip
    await world.client.create(pod)

    async def running() -> bool:
        found = await world.client.get(Entity("Pod", "llm", "cat"))
        return dig(found, "status", "phase") == "Running"

    await until(running)
    attached = World(world.lab, world.client, "cat")
    async with attached.stream("attach", stdin="true", stdout="true") as socket:
        assert await socket.recv(decode=False) == b"\x01"
        await socket.send(b"\x00a line\n")
        assert await asyncio.wait_for(socket.recv(decode=False), 5) == b"\x01a line\n"


async def test_port_forward_by_channels_reaches_the_pod(world: World) -> None:
    async with world.stream("portforward", V4, ports=[8000, 9]) as socket:
        opened = [await socket.recv(decode=False) for _ in range(4)]
        assert opened == [b"\x00\x40\x1f", b"\x01\x40\x1f", b"\x02\x09\x00", b"\x03\x09\x00"]
        await socket.send(b"\x00GET /name HTTP/1.0\r\n\r\n")
        found: dict[int, bytes] = {}
        while b"/name" not in found.get(0, b"") or 3 not in found:
            message = await asyncio.wait_for(socket.recv(decode=False), 5)
            found[message[0]] = found.get(message[0], b"") + message[1:]
        assert found[0].startswith(b"HTTP/1.1 200")
        assert b"connection refused" in found[3]


def opening(stream: int, compressor: Any, **headers: str) -> bytes:
    plain = struct.pack(">I", len(headers))
    for name, value in headers.items():
        plain += struct.pack(">I", len(name)) + name.encode() + struct.pack(">I", len(value)) + value.encode()
    body = struct.pack(">IIH", stream, 0, 0) + compressor.compress(plain) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return struct.pack(">II", 0x80030001, len(body)) + body


async def test_port_forward_by_spdy_carries_several_connections_at_once(world: World) -> None:
    async with raw_socket(world) as socket:
        compressor = zlib.compressobj(zdict=DICTIONARY)
        for request, port in ((0, "8000"), (1, "8000"), (2, "9")):
            first = 1 + 4 * request
            common = {"port": port, "requestid": str(request)}
            await socket.send(opening(first, compressor, streamtype="error", **common))
            await socket.send(opening(first + 2, compressor, streamtype="data", **common))
            asked = f"GET /{request} HTTP/1.0\r\n\r\n".encode()
            await socket.send(struct.pack(">II", first + 2, len(asked)) + asked)
        data: dict[int, bytes] = {}
        ended: set[int] = set()
        replies: list[int] = []
        while len(ended) < 6:
            frame = bytes(await asyncio.wait_for(socket.recv(decode=False), 5))
            head, second = struct.unpack_from(">II", frame)
            if head & 0x80000000:
                replies.append(struct.unpack_from(">I", frame, 8)[0])
                continue
            data[head] = data.get(head, b"") + frame[8:]
            ended |= {head} if second >> 24 & 1 else set()
    assert replies == [1, 3, 5, 7, 9, 11]
    assert [b" /0 " in data[3], b" /1 " in data[7], data[11]] == [True, True, b""]
    assert [data[1], data[5]] == [b"", b""]
    assert b"connection refused" in data[9]


async def test_a_pod_that_hangs_up_leaves_nobody_waiting_for_room() -> None:
    hang_up = asyncio.Event()

    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await hang_up.wait()
        writer.close()

    async def taken(_data: bytes) -> None:
        """Take what comes back."""

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        pod = {"metadata": {"name": "p", "uid": "u"}, "status": {"podIP": "127.0.0.1"}}
        connection = Connection(pod, server.sockets[0].getsockname()[1])
        carrying = asyncio.create_task(connection.carry(taken))
        piece = bytes(2**20)

        async def blocked() -> bool:
            while not connection.incoming.full():
                connection.incoming.put_nowait(piece)
            await asyncio.sleep(0.1)
            return connection.incoming.full()

        await until(blocked)
        waiting = asyncio.create_task(connection.incoming.put(piece))
        await asyncio.sleep(0)
        hang_up.set()
        await asyncio.wait_for(carrying, 5)
        await asyncio.wait_for(waiting, 5)


async def test_a_broken_tunnel_is_closed(world: World) -> None:
    async with raw_socket(world) as socket:
        await socket.send(b"\x80\x02\x00\x01\0\0\0\0")
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(socket.recv(), 5)


class TunnelConnection(ClientConnection):
    """Takes the protocol's name as it comes."""

    def __init__(self, protocol: ClientProtocol, **options: Any) -> None:
        super().__init__(protocol, **options)
        protocol.process_subprotocol = lambda headers: Subprotocol(headers["Sec-WebSocket-Protocol"])


@asynccontextmanager
async def raw_socket(world: World) -> AsyncGenerator[ClientConnection]:
    """A tunnel as kubectl opens one: its protocol's name is no token, which the library would not send."""
    headers = {
        "Authorization": f"Bearer {world.client.info.tokens['admin']}",
        "Sec-WebSocket-Protocol": "SPDY/3.1+portforward.k8s.io",
    }
    url = world.client.info.url.replace("http", "ws")
    path = f"/api/v1/namespaces/llm/pods/{world.pod}/portforward"
    async with connect(
        url + path, additional_headers=headers, proxy=None, create_connection=TunnelConnection
    ) as socket:
        assert socket.subprotocol == headers["Sec-WebSocket-Protocol"]
        yield socket


async def test_following_a_log_leaves_nothing_behind_when_the_client_goes(world: World) -> None:
    path = f"/api/v1/namespaces/llm/pods/{world.pod}/log"
    for _ in range(5):
        async with world.client.http.stream("GET", path, params={"follow": "true"}) as response:
            assert await anext(response.aiter_lines()) == "hello"
    limited = await world.client.request("GET", path, params={"follow": "true", "limitBytes": 3})
    assert limited.text == "hel"
    answer = await world.client.request("GET", path, params={"limitBytes": 8, "timestamps": "true"})
    assert answer.text.startswith("20")
    assert len(answer.text) == 8
