"""Line 20 of the checklist: over stdio, standard output carries JSON-RPC and nothing else. In both protocol eras."""

import json
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import Client, StdioServerParameters

from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.testing.caller import Era, command_line
from midwatch_mcp.testing.world import World
from midwatch_mcp.wire import LINE_BYTES

pytestmark = [pytest.mark.anyio, pytest.mark.slow]
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bytes", "version": "1"}}


@contextmanager
def running(words: list[str]) -> Generator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def message(number: int, method: str, params: dict[str, Any]) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode() + b"\n"


@pytest.mark.parametrize("server", ["kubernetes", "metrics", "serving", "all"])
async def test_a_server_over_stdio_lists_and_calls_its_tools(
    server: str, settings: ServerSettings, world: World, era: Era
) -> None:
    world.metrics.vectors["up"] = [({}, "1")]
    program, *words = command_line(settings, server)
    calls: dict[str, dict[str, Any]] = {
        "kube_list": {"kind": "Pod", "namespace": "llm"},
        "metrics_query": {"query": "up"},
        "serving_status": {"namespace": "llm", "service": "chat"},
    }
    async with Client(StdioServerParameters(command=program, args=words), mode=era) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        answers = [await client.call_tool(name, arguments) for name, arguments in calls.items() if name in names]
    assert len(answers) == (3 if server == "all" else 1)
    assert not any(answer.is_error for answer in answers)


def test_every_byte_of_standard_output_is_json_rpc_and_the_end_of_input_ends_the_server(
    settings: ServerSettings, world: World
) -> None:
    world.cluster.broken = 500
    sent = [
        message(1, "initialize", HELLO),
        b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n',
        message(2, "tools/list", {}),
        message(3, "tools/call", {"name": "kube_list", "arguments": {"kind": "Pod"}}),
        message(4, "tools/call", {"name": "kube_list", "arguments": {"kinds": "Pod"}}),
    ]
    answers: list[dict[str, Any]] = []
    with running(command_line(settings, "kubernetes")) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for line in sent:
            process.stdin.write(line)
            process.stdin.flush()
            if b'"id"' in line:
                answers.append(json.loads(process.stdout.readline()))
        process.stdin.close()
        rest = process.stdout.read()
        assert process.wait(20) == 0
    assert rest == b""
    assert [answer["id"] for answer in answers] == [1, 2, 3, 4]
    assert all(answer["jsonrpc"] == "2.0" and "result" in answer for answer in answers)
    assert [answers[number]["result"]["isError"] for number in (2, 3)] == [True, True]


def test_a_message_beyond_all_measure_ends_the_connection_and_says_so(settings: ServerSettings, world: World) -> None:
    assert world.cluster is not None
    with running(command_line(settings, "metrics")) as process:
        output, errors = process.communicate(message(1, "initialize", {"x": "y" * LINE_BYTES}), timeout=30)
    assert process.returncode == 0
    assert output == b""
    assert b"the connection ends here" in errors
    assert b"Traceback" not in errors


def test_input_from_a_file_is_served_too(settings: ServerSettings, world: World, tmp_path: Path) -> None:
    assert world.cluster is not None
    asked = tmp_path / "asked"
    asked.write_bytes(message(1, "initialize", HELLO))
    with asked.open("rb") as stream:
        done = subprocess.run(
            command_line(settings, "metrics"), stdin=stream, capture_output=True, check=True, timeout=60
        )
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == [1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_server_whose_client_is_still_there(
    number: signal.Signals, settings: ServerSettings, world: World
) -> None:
    assert world.cluster is not None
    with running(command_line(settings, "all")) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(message(1, "initialize", HELLO))
        process.stdin.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
        process.stdin.write(message(2, "tools/call", {"name": "kube_list", "arguments": {"kind": "Pod"}}))
        process.stdin.flush()
        assert [json.loads(process.stdout.readline())["id"] for _ in range(2)] == [1, 2]
        process.send_signal(number)
        assert process.wait(20) == 130
        assert process.stdout.read() == b""
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()


def test_what_a_tool_prints_goes_to_standard_error(tmp_path: Path) -> None:
    script = tmp_path / "printing.py"
    script.write_text(PRINTING, "utf-8")
    with running([sys.executable, str(script), str(tmp_path)]) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(message(1, "initialize", HELLO))
        process.stdin.flush()
        first = process.stdout.readline()
        process.stdin.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
        process.stdin.write(message(2, "tools/call", {"name": "print_it", "arguments": {}}))
        process.stdin.flush()
        second = process.stdout.readline()
        output, errors = process.communicate(timeout=20)
    assert [json.loads(line)["id"] for line in (first, second)] == [1, 2]
    assert output == b""
    assert b"printed-by-a-tool" in errors


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["kubernetes", "--http", "0.0.0.0:0"], "--token-file FILE"),
        (["kubernetes", "--token-file", "tokens"], "give --http HOST:PORT too"),
        (["kubernetes", "--lab", "nowhere"], "midwatch lab up"),
        (["kubernets"], "invalid choice"),
    ],
)
def test_a_server_that_cannot_start_says_why_and_ends_with_two(arguments: list[str], told: str, tmp_path: Path) -> None:
    words = [sys.executable, "-m", "midwatch_agents", "--state", str(tmp_path), "mcp", *arguments]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30, stdin=subprocess.DEVNULL)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stdout == ""


PRINTING = """
import os, sys
from pathlib import Path
from pydantic import BaseModel
from midwatch_mcp.evidence import EvidenceStore
from midwatch_mcp.server import new_server
from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.tool import Answer, tool


class Nothing(BaseModel):
    pass


@tool(name="print_it", title="Print", description="Print.", cluster="test", cost="low", read_only=True,
      destructive=False, idempotent=True, open_world=False)
async def print_it(room: None) -> Answer[Nothing]:
    print("printed-by-a-tool", flush=True)
    os.write(1, b"written-by-a-tool\\n")
    return Answer("printed", Nothing())


state = Path(sys.argv[1])
server = new_server("kubernetes", title="P", instructions="", settings=ServerSettings(state=state),
                    evidence=EvidenceStore(state), room=None, handlers=[print_it])
server.run("stdio")
"""
