"""Lines 1, 2, 6, 8, 10, 17, 21: what every call goes through."""

import json
import re
import stat
from pathlib import Path
from typing import Any

import pytest
from mcp.server.mcpserver.utilities.func_metadata import FuncMetadata

import midwatch_mcp
from checklist_lines.line import Scene, line
from checklist_lines.probe import CAP, CRASH, Room, calling
from midwatch_mcp import tool as tool_module
from midwatch_mcp.call_log import CallLog
from midwatch_mcp.gate import Gate
from midwatch_mcp.rates import Limiter
from midwatch_mcp.testing.caller import answer_text

SHELL = re.compile(r"shell\s*=\s*True|os\.system|os\.popen|subprocess\.getoutput|create_subprocess_shell")


def let_all_through(patch: pytest.MonkeyPatch) -> None:
    def nothing(_gate: Gate, _params: Any) -> None:
        return None

    patch.setattr(Gate, "_refusal", nothing)


@line(1, "an unknown argument is an error, and the handler is not called", without=let_all_through)
async def unknown_arguments(scene: Scene) -> None:
    room = Room()
    answer = await calling(scene.folder, room).call("probe_say", {"text": "a", "txt": "b"})
    assert answer.is_error
    assert room.calls == []


def check_no_form(patch: pytest.MonkeyPatch) -> None:
    def unchecked(_metadata: FuncMetadata, arguments: dict[str, Any]) -> dict[str, Any]:
        return arguments

    patch.setattr(FuncMetadata, "validate_arguments", unchecked)


@line(2, "names, namespaces, selectors and PromQL have a form, and no shell is ever used", without=check_no_form)
async def forms_of_arguments(scene: Scene) -> None:
    kube, metrics = scene.caller("kubernetes"), scene.caller("metrics")
    hostile = ("../../secrets", "a;rm -rf /", "$(id)", "a\nb", "a b|c")
    for text in hostile:
        answers = [
            await kube.call("kube_get", {"kind": "Pod", "name": text, "namespace": "llm"}),
            await kube.call("kube_get", {"kind": "Pod", "name": "a", "namespace": text}),
            await kube.call("kube_list", {"kind": "Pod", "label_selector": f"app={text};{text}"}),
            await metrics.call("metrics_query", {"query": f"up{{{text}"}),
        ]
        assert all(answer.is_error for answer in answers), text
    assert [seen.path for seen in scene.world.seen if seen.path not in {"/api", "/apis"}] == []
    sources = Path(midwatch_mcp.__file__).parent.rglob("*.py")
    assert [str(file) for file in sources if SHELL.search(file.read_text("utf-8"))] == []


def cap_nothing(patch: pytest.MonkeyPatch) -> None:
    async def unbounded(_gate: Gate, _params: Any, ctx: Any, call_next: Any) -> Any:
        return "ok", await call_next(ctx)

    patch.setattr(Gate, "_bounded", unbounded)


@line(6, "an answer is capped in bytes and items, says that it is cut, and has a cursor", without=cap_nothing)
async def caps_of_answers(scene: Scene) -> None:
    answer = await calling(scene.folder, Room()).call("probe_say", {"text": "word ", "times": CAP})
    assert answer.is_error
    assert len(answer_text(answer)) < CAP
    assert "evidence_read" in answer_text(answer)
    listed = await scene.caller("kubernetes").result("kube_list", kind="Pod", namespace="llm", limit=1)
    assert len(listed["data"]["rows"]) == 1
    assert listed["evidence"]["truncated"] is True
    assert listed["evidence"]["cursor"]


def limit_nothing(patch: pytest.MonkeyPatch) -> None:
    def always(_limiter: Limiter, _caller: str, _tool: str, _cost: str = "") -> None:
        return None

    patch.setattr(Limiter, "enter", always)
    patch.setattr(Limiter, "leave", always)


@line(8, "a tool has a rate, and a call beyond it is an error that says when to try again", without=limit_nothing)
async def rates_of_tools(scene: Scene) -> None:
    caller = calling(scene.folder, Room(), burst=2)
    answers = [await caller.call("probe_say", {"text": "a"}) for _ in range(3)]
    assert [answer.is_error for answer in answers] == [False, False, True]
    assert "try again in" in answer_text(answers[-1])


def tell_every_error(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(tool_module, "ServersError", Exception)


@line(10, "the text of a crash never reaches the client, that of an expected error does", without=tell_every_error)
async def texts_of_errors(scene: Scene) -> None:
    caller = calling(scene.folder, Room())
    assert CRASH not in await caller.error("probe_say", text="crash")
    assert "say another word" in await caller.error("probe_say", text="refuse")


def write_for_everybody(patch: pytest.MonkeyPatch) -> None:
    def careless(log: CallLog, entry: Any) -> None:
        file = Path(vars(log)["_file"])
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(0o644)
        file.chmod(0o644)
        with file.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(entry) + "\n")

    patch.setattr(CallLog, "write", careless)


@line(17, "files are for their owner alone, under no name that could be guessed", without=write_for_everybody)
async def files_of_the_state_folder(scene: Scene) -> None:
    await calling(scene.folder, Room()).result("probe_say", text="a")
    files = [file for file in scene.folder.rglob("*") if file.is_file()]
    assert files
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    sources = Path(midwatch_mcp.__file__).parent.rglob("*.py")
    assert [str(file) for file in sources if re.search(r"[\"']/tmp", file.read_text("utf-8"))] == []


def note_nothing(patch: pytest.MonkeyPatch) -> None:
    def forgetful(_log: CallLog, _entry: Any) -> None:
        return None

    patch.setattr(CallLog, "write", forgetful)


@line(21, "every call leaves an audit line, refused ones too", without=note_nothing)
async def audit_lines(scene: Scene) -> None:
    caller = calling(scene.folder, Room())
    await caller.result("probe_say", text="a")
    await caller.error("probe_say", text="a", extra=1)
    file = scene.folder / "mcp-audit.jsonl"
    lines = [json.loads(text) for text in file.read_text("utf-8").splitlines()] if file.is_file() else []
    assert [(entry["decision"], entry["outcome"]) for entry in lines] == [("allowed", "ok"), ("refused", "refused")]
    fields = {"at", "principal", "tool", "arguments_sha256", "decision", "outcome", "trace"}
    assert all(fields <= entry.keys() for entry in lines)
