"""Lines 1, 6, 8, 10 and 21 of the checklist in reference/mcp-stack.md §6, on a server made for it."""

import asyncio
import json
import stat
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from midwatch_mcp import gate
from midwatch_mcp.errors import RefusedError
from midwatch_mcp.evidence import EvidenceStore
from midwatch_mcp.rates import RATES, Limiter, Rate
from midwatch_mcp.server import ToolServer, new_server
from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.testing.caller import Caller, Era, answer_text
from midwatch_mcp.tool import Answer, Handler, declaration_of, tool

pytestmark = pytest.mark.anyio


class Echo(BaseModel):
    text: str


class Room:
    """Writes down what its handler was called with."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.called = asyncio.Event()


@tool(
    name="echo_text",
    title="Echo",
    description="Echo a text.",
    cluster="test",
    cost="low",
    read_only=True,
    destructive=False,
    idempotent=True,
    open_world=False,
    timeout_s=0.3,
    max_bytes=5_000,
)
async def echo_text(room: Room, text: str, times: int = 1) -> Answer[Echo]:
    room.calls.append(text)
    room.called.set()
    match text:
        case "crash":
            raise ValueError("canary-of-a-crash")
        case "refuse":
            raise RefusedError("say another word")
        case "hang":
            await asyncio.sleep(60)
        case _:
            pass
    return Answer("echoed", Echo(text=text * times))


@tool(
    name="echo_write",
    title="Write",
    description="Write a text.",
    cluster="test",
    cost="low",
    read_only=False,
    destructive=True,
    idempotent=False,
    open_world=False,
)
async def echo_write(room: Room, text: str) -> Answer[Echo]:
    room.calls.append(text)
    return Answer("written", Echo(text=text))


@tool(
    name="echo_once_called",
    title="Wait",
    description="Answer once somebody called.",
    cluster="test",
    cost="low",
    read_only=True,
    destructive=False,
    idempotent=True,
    open_world=False,
    timeout_s=30,
)
async def echo_once_called(room: Room) -> Answer[Echo]:
    await room.called.wait()
    return Answer("called", Echo(text=""))


def serve(
    state: Path,
    room: Room,
    *,
    allow_write: bool = False,
    handlers: Sequence[Handler] = (echo_text, echo_write),
    limiter: Limiter | None = None,
) -> ToolServer:
    return new_server(
        "kubernetes",
        title="Echo",
        instructions="",
        settings=ServerSettings(state=state),
        evidence=EvidenceStore(state),
        room=room,
        handlers=handlers,
        allow_write=allow_write,
        limiter=limiter,
    )


@pytest.fixture
def room() -> Room:
    return Room()


@pytest.fixture
def echo(tmp_path: Path, room: Room, era: Era) -> Caller:
    return Caller(serve(tmp_path, room), era)


def audit(state: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (state / "mcp-audit.jsonl").read_text("utf-8").splitlines()]


def modes(folder: Path) -> Counter[int]:
    return Counter(stat.S_IMODE(file.stat().st_mode) for file in folder.rglob("*") if file.is_file())


async def test_an_unknown_argument_is_refused_and_the_handler_not_called(echo: Caller, room: Room) -> None:
    text = await echo.error("echo_text", text="a", tims=2)
    assert text == "unknown arguments of echo_text: tims; it takes text, times"
    assert room.calls == []


async def test_an_argument_of_the_wrong_form_is_refused_and_the_handler_not_called(echo: Caller, room: Room) -> None:
    await echo.error("echo_text", text="a", times="many")
    await echo.error("echo_text")
    assert room.calls == []


async def test_an_unknown_tool_is_refused_with_the_ones_there_are(echo: Caller) -> None:
    assert await echo.error("echo_texts") == "unknown tool 'echo_texts': this server has echo_text, evidence_read"


async def test_a_tool_that_writes_is_absent_unless_writing_is_allowed(tmp_path: Path, room: Room, era: Era) -> None:
    assert "unknown tool" in await Caller(serve(tmp_path, room), era).error("echo_write", text="a")
    assert room.calls == []
    await Caller(serve(tmp_path, room, allow_write=True), era).result("echo_write", text="a")
    assert room.calls == ["a"]


async def test_an_answer_over_the_limit_is_an_error_that_names_its_evidence(echo: Caller) -> None:
    text = await echo.error("echo_text", text="word ", times=2_000)
    assert "over its limit of 5000" in text
    evidence = text.partition("id='")[2].partition("'")[0]
    page = await echo.data("evidence_read", id=evidence, path="/text")
    assert page["size"] == 10_000


async def test_a_call_that_hangs_is_stopped_at_its_limit(echo: Caller, room: Room) -> None:
    assert "was stopped after 0.3 s" in await echo.error("echo_text", text="hang")
    assert room.calls == ["hang"]


async def test_the_text_of_a_crash_never_reaches_the_client(echo: Caller, caplog: pytest.LogCaptureFixture) -> None:
    text = await echo.error("echo_text", text="crash")
    assert "canary" not in text
    assert text == "Error executing tool echo_text"
    assert "canary-of-a-crash" in caplog.text


async def test_the_text_of_an_expected_error_does_reach_the_client(echo: Caller) -> None:
    assert "say another word" in await echo.error("echo_text", text="refuse")


async def test_every_call_leaves_one_audit_line_the_refused_ones_too(echo: Caller, tmp_path: Path) -> None:
    await echo.result("echo_text", text="a")
    await echo.error("echo_text", text="a", extra=1)
    await echo.error("echo_text", text="refuse")
    await echo.error("echo_text", text="hang")
    await echo.error("no_such_tool")
    lines = audit(tmp_path)
    assert [(line["decision"], line["outcome"]) for line in lines] == [
        ("allowed", "ok"),
        ("refused", "refused"),
        ("allowed", "error"),
        ("allowed", "timeout"),
        ("refused", "refused"),
    ]
    for line in lines:
        assert line["principal"].startswith("uid:")
        assert len(line["trace"]) == 32
        assert len(line["arguments_sha256"]) == 64
        assert line["at"].endswith("Z")
    assert lines[0]["evidence"].startswith("ev-")
    assert len({line["trace"] for line in lines}) == len(lines)


async def test_a_client_that_asks_for_progress_hears_of_a_call_that_runs_on(
    tmp_path: Path, era: Era, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "BEAT_S", 0.001)
    heard: list[tuple[float, float | None, str | None]] = []
    room = Room()

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, total, message))
        if len(heard) == 3:
            room.called.set()

    async with Caller(serve(tmp_path, room, handlers=(echo_once_called,)), era).connect() as client:
        answer = await client.call_tool("echo_once_called", {}, progress_callback=hear)
        plain = await client.call_tool("echo_once_called", {})
    assert not answer.is_error
    assert not plain.is_error
    assert [total for _, total, _ in heard[:3]] == [30.0] * 3
    assert [progress for progress, _, _ in heard] == sorted({progress for progress, _, _ in heard})
    assert all(str(message).startswith("echo_once_called has run for ") for _, _, message in heard)


async def test_a_cancelled_call_leaves_its_audit_line(echo: Caller, tmp_path: Path, room: Room) -> None:
    async with echo.connect() as client:
        call = asyncio.create_task(client.call_tool("echo_text", {"text": "hang"}))
        await room.called.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert [line["outcome"] for line in audit(tmp_path)] == ["cancelled"]


async def test_files_of_the_state_folder_are_for_their_owner_alone(echo: Caller, tmp_path: Path) -> None:
    await echo.result("echo_text", text="a")
    assert modes(tmp_path) == {0o600: 3}


def test_a_handler_that_was_not_declared_cannot_be_served(tmp_path: Path, room: Room) -> None:
    async def bare(_room: Room) -> Answer[Echo]:
        return Answer("bare", Echo(text=""))

    with pytest.raises(TypeError, match="declare it with @tool"):
        serve(tmp_path, room, handlers=[bare])


def test_a_declaration_states_all_four_hints() -> None:
    declared = declaration_of(echo_write)
    assert (declared.read_only, declared.destructive, declared.idempotent, declared.open_world) == (
        False,
        True,
        False,
        False,
    )


async def test_a_tool_that_is_called_too_often_is_refused_with_how_long_to_wait(
    tmp_path: Path, room: Room, era: Era
) -> None:
    now = [100.0]
    server = serve(
        tmp_path, room, limiter=Limiter({**RATES, "low": Rate(per_s=2, burst=3, together=9)}, lambda: now[0])
    )
    async with Caller(server, era).connect() as client:
        answers = [await client.call_tool("echo_text", {"text": "a"}) for _ in range(5)]
        assert [answer.is_error for answer in answers] == [False, False, False, True, True]
        assert "2 a second are allowed; try again in 0.5 s" in answer_text(answers[-1])
        assert not (await client.call_tool("evidence_read", {"id": "ev-" + "0" * 16, "path": ""})).structured_content
        now[0] += 0.5
        assert not (await client.call_tool("echo_text", {"text": "a"})).is_error
    assert len(room.calls) == 4
    assert [line["decision"] for line in audit(tmp_path)][3:5] == ["refused", "refused"]


async def test_no_more_calls_of_a_tool_run_at_once_than_its_cost_allows(tmp_path: Path, room: Room, era: Era) -> None:
    server = serve(tmp_path, room, limiter=Limiter({**RATES, "low": Rate(per_s=9, burst=9, together=1)}))
    async with Caller(server, era).connect() as client, asyncio.TaskGroup() as group:
        hanging = group.create_task(client.call_tool("echo_text", {"text": "hang"}))
        await room.called.wait()
        assert "the most at once" in answer_text(await client.call_tool("echo_text", {"text": "a"}))
        assert "was stopped" in answer_text(await hanging)
        assert not (await client.call_tool("echo_text", {"text": "a"})).is_error
    assert room.calls == ["hang", "a"]


def test_callers_and_tools_are_counted_apart_and_the_idle_are_forgotten() -> None:
    now = [0.0]
    limiter = Limiter({**RATES, "low": Rate(per_s=1, burst=1, together=1)}, lambda: now[0])
    assert limiter.enter("ada", "echo", "low") is None
    assert "the most at once" in (limiter.enter("ada", "echo", "low") or "")
    assert limiter.enter("bob", "echo", "low") is None
    assert limiter.enter("ada", "other", "low") is None
    limiter.leave("ada", "echo")
    assert "try again in 1.0 s" in (limiter.enter("ada", "echo", "low") or "")
    for number in range(10_001):
        assert limiter.enter(f"caller-{number}", "echo", "low") is None
        limiter.leave(f"caller-{number}", "echo")
    assert limiter.enter("ada", "echo", "low") is None
