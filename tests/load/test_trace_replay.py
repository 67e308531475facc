"""Traces as loads: arrival times kept, lengths and prefixes as the trace has them, and a bad row named."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from midwatch_contracts.clock import WallClock
from midwatch_lab.load.chat import Stream
from midwatch_lab.load.errors import TraceError
from midwatch_lab.load.service import LoadService
from midwatch_lab.load.spec import read_spec
from midwatch_lab.load.traffic import Call, arrivals, first
from scripted_service import CHAT, ScriptedService

pytestmark = pytest.mark.anyio

AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(
    f"2023-11-16 18:15:{second:09.6f}0,{100 + number},{number + 1}\n"
    for number, second in enumerate([46.680590, 46.680591, 50.995169, 51.222467, 51.9999999])
)
BURST = """Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type
5,s1,1.5,ChatGPT,100,18,118,Conversation log
45,,2,GPT-4,200,20,220,API log
50,,0,GPT-4,200,0,200,API log
118.5,s1,3,ChatGPT,250,27,277,Conversation log
"""
MOONCAKE = [
    {"timestamp": 0, "input_length": 1100, "output_length": 52, "hash_ids": [0, 1, 2]},
    {"timestamp": 3000, "input_length": 700, "output_length": 0, "hash_ids": [0, 9]},
    {"timestamp": 3001, "input_length": 1200, "output_length": 4, "hash_ids": [0, 1, 7]},
]


def _file(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text, "utf-8")
    return str(folder / name)


def _mooncake(folder: Path, *, table: bool) -> str:
    if not table:
        return _file(folder, "trace.jsonl", "\n".join(map(json.dumps, MOONCAKE)))
    rows = [f'{e["timestamp"]},{e["input_length"]},{e["output_length"]},"{e["hash_ids"]}"' for e in MOONCAKE]
    return _file(folder, "trace.csv", "\n".join(["timestamp,input_length,output_length,hash_ids", *rows]))


def _trace(path: str, **fields: Any) -> dict[str, Any]:
    return {"target": CHAT, "shape": "trace", "path": path, **fields}


@pytest.mark.parametrize("speed", [1.0, 10.0])
async def test_a_replay_keeps_the_arrival_times_in_virtual_time_within_5_ms(
    world: ScriptedService, tmp_path: Path, speed: float
) -> None:
    due = [0.0, 0.000001, 4.314579, 4.541877, 5.31941]
    seen = await world.run(30, **_trace(_file(tmp_path, "conv.csv", AZURE), speed=speed))
    began = world.asked[0][0]
    assert [at - began for at, _ in world.asked] == pytest.approx([at / speed for at in due], abs=0.005)
    assert [body["max_tokens"] for _, body in world.asked] == [1, 2, 3, 4, 5]
    assert [len(body["messages"][0]["content"]) for _, body in world.asked] == [100, 101, 102, 103, 104]
    assert (seen["state"], seen["sent"], seen["completed"]) == ("done", 5, 5)


async def test_ten_thousand_arrivals_keep_their_times_however_the_clock_moves(
    world: ScriptedService, tmp_path: Path
) -> None:
    times = [round(0.0137 * number + (number % 7) * 0.0011, 4) for number in range(10_000)]
    rows = "".join(f"{at},ChatGPT,9,1,10,API log\n" for at in times)
    path = _file(tmp_path, "b.csv", "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n" + rows)
    world.seconds = 0.01
    world.service.replace(_trace(path, max_in_flight=1000))
    await world.passes(150, step=7.3)
    began = world.asked[0][0]
    worst = max(abs(at - began - due) for (at, _), due in zip(world.asked, times, strict=True))
    assert worst < 0.005


async def test_a_part_of_a_trace_is_chosen_in_its_own_time(tmp_path: Path) -> None:
    path = _file(tmp_path, "conv.csv", AZURE)
    spec = read_spec(_trace(path, start_s=4.0, seconds=0.5))
    assert [arrival.at_s for arrival in first(spec, 10)] == pytest.approx([0.314579], abs=1e-5)
    limited = read_spec(_trace(path, requests=2))
    assert limited.requests == 2


@pytest.mark.parametrize("table", [False, True])
def test_prompts_begin_with_the_blocks_that_their_hashes_name(tmp_path: Path, *, table: bool) -> None:
    spec = read_spec(_trace(_mooncake(tmp_path, table=table)))
    calls = [arrival.work for arrival in first(spec, 10)]
    assert all(isinstance(call, Call) for call in calls)
    assert [arrival.at_s for arrival in first(spec, 10)] == [0.0, 3.0, 3.001]
    texts = [ScriptedService.texts(spec, call) for call in calls if isinstance(call, Call)]
    assert [len(text) for text in texts] == [1100, 700, 1200]
    assert _alike(texts[0], texts[1]) == pytest.approx(512, abs=8)
    assert _alike(texts[0], texts[2]) == pytest.approx(1024, abs=8)


def _alike(one: str, other: str) -> int:
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def test_a_conversation_of_burstgpt_begins_as_it_did_before(tmp_path: Path) -> None:
    spec = read_spec(_trace(_file(tmp_path, "b.csv", BURST)))
    texts = [ScriptedService.texts(spec, a.work) for a in first(spec, 10) if isinstance(a.work, Call)]
    assert [len(text) for text in texts] == [100, 200, 250]
    assert texts[2].startswith(texts[0])


def test_times_that_go_backwards_are_sent_at_once(tmp_path: Path) -> None:
    rows = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n" + "".join(
        f"{at},ChatGPT,9,1,10,API log\n" for at in (10, 14, 12, 15)
    )
    spec = read_spec(_trace(_file(tmp_path, "b.csv", rows)))
    assert [arrival.at_s for arrival in first(spec, 10)] == [0.0, 4.0, 4.0, 5.0]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", AZURE + "2023-11-16 18:15:59.0,12\n", "line 7: 2 fields where the header has 3"),
        ("a.csv", AZURE + "yesterday,12,3\n", "line 7: 'yesterday' is no time"),
        ("b.csv", BURST + "200,,1,GPT-4,x,3,4,API log\n", "line 6: Request tokens is 'x'"),
        ("m.csv", 'timestamp,input_length,output_length,hash_ids\n1,2,3,"[1, x]"\n', r"line 2: hash_ids is '\[1, x\]'"),
        ("m.jsonl", '{"timestamp": 1, "input_length": 2, "output_length": 3}\n{"timestamp"\n', "line 2: no JSON"),
        ("o.csv", "a,b\n1,2\n", "line 1: the columns a, b are of no trace known"),
        ("e.csv", "", r"line 1: the columns \(none\)"),
    ],
)
async def test_a_row_that_makes_no_sense_ends_the_load_by_name(
    world: ScriptedService, tmp_path: Path, name: str, text: str, message: str
) -> None:
    path = _file(tmp_path, name, text)
    with pytest.raises(TraceError, match=f"{name}: {message}"):
        list(arrivals(read_spec(_trace(path))))
    seen = await world.run(500, **_trace(path))
    assert seen["state"] == "failed"
    assert name in seen["last_error"]
    assert seen["completed"] == seen["sent"]


async def test_a_trace_that_is_not_there_is_named(world: ScriptedService) -> None:
    seen = await world.run(1, **_trace("/nowhere/t.csv"))
    assert (seen["state"], seen["last_error"]) == ("failed", "there is no file /nowhere/t.csv")


def test_a_long_trace_is_read_as_it_is_replayed(tmp_path: Path) -> None:
    row = "5.5,ChatGPT,9,1,10,API log\n"
    head = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    path = _file(tmp_path, "b.csv", head + row * 20_000 + "broken\n")
    assert len(first(read_spec(_trace(path)), 10)) == 10  # whoever reads ahead meets the broken row


async def test_on_the_wall_clock_no_arrival_leaves_before_it_is_due_and_how_late_it_is_is_told(tmp_path: Path) -> None:
    times = [round(0.003 * number, 3) for number in range(300)]
    rows = "".join(f"{at},ChatGPT,9,1,10,API log\n" for at in times)
    path = _file(tmp_path, "b.csv", "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n" + rows)
    left: list[float] = []

    async def ask(_url: str, _body: bytes, stream: Stream) -> int:
        left.append(time.time())
        stream.complete, stream.ttft_s = True, 0.0
        return 200

    async def model(_url: str, _timeout_s: float) -> str:
        return "tiny"

    service = LoadService(WallClock(), lambda _: "http://chat", ask=ask, model=model)
    load = service.replace(_trace(path))
    await load.wait()
    seen = load.describe()
    await service.close()
    assert seen["sent"] == 300
    began = left[0] - seen["traffic"]["late_s"]["max"] - 0.001  # milliseconds: clocks are read one after the other
    assert all(at >= began + due for at, due in zip(left, times, strict=True))
    assert 0 <= seen["traffic"]["late_s"]["mean"] <= seen["traffic"]["late_s"]["max"]
