"""The same remote writes to the original's receiver and to ours, in order: the same answers and the same series."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import httpx2
import pytest

from midwatch_contracts.clock import WallClock
from midwatch_lab.metrics.retention import Retention
from midwatch_lab.metrics.service import MetricsService
from midwatch_lab.metrics.snappy import pack
from midwatch_lab.original_prometheus import OriginalPrometheus
from midwatch_lab.schemas.wire import field, varint
from promql_harness.write_bodies import V1, V2, label, labelled, referenced, sample, series, v1, v2

pytestmark = [pytest.mark.original, pytest.mark.anyio]

NOW = int(time.time()) * 1000
SOON = NOW + 3_600_000
SYMBOLS = ["", "__name__", "w", "a", "b", "c", "help"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def _w(value: str, *samples: tuple[int, float]) -> bytes:
    return series({"__name__": "w", "a": value}, *samples)


FIRST = [
    ("one", v1(_w("b", (NOW, 1.0))), V1),
    ("the same again", v1(_w("b", (NOW, 1.0))), V1),
    ("another value at the same time", v1(_w("b", (NOW, 2.0))), V1),
    ("a large value at the same time", v1(_w("b", (NOW, 12345678.5))), V1),
    ("an earlier time", v1(_w("b", (NOW - 1000, 2.0))), V1),
    ("a good series before a bad one", v1(_w("new", (NOW, 2.0)), _w("b", (NOW - 1000, 2.0))), V1),
    ("far behind", v1(_w("old", (1000, 2.0))), V1),
    ("an hour behind", v1(_w("old", (NOW - 3_600_000, 2.0))), V1),
    ("just more than an hour behind", v1(_w("older", (NOW - 3_600_001, 2.0))), V1),
    ("an hour ahead", v1(_w("ahead", (SOON, 2.0))), V1),
    ("before the epoch", v1(_w("negative", (-5, 2.0))), V1),
    ("a sample without fields", v1(labelled({"__name__": "w", "a": "z"}) + field(2, b"")), V1),
]
LABELS = [
    ("no name", v1(series({"a": "b"}, (NOW, 1))), V1),
    ("an empty name", v1(series({"__name__": "", "a": "b"}, (NOW, 1))), V1),
    ("no labels", v1(sample(NOW, 1)), V1),
    ("labels in any order", v1(series({"z": "b", "__name__": "w1"}, (NOW, 1))), V1),
    ("a label twice", v1(labelled({"__name__": "w2", "a": "1"}) + label("a", "2") + sample(NOW, 1)), V1),
    ("an empty value", v1(series({"__name__": "w3", "a": ""}, (NOW, 1))), V1),
    ("an empty label name", v1(series({"__name__": "w4", "": "x"}, (NOW, 1))), V1),
    ("a value that is no UTF-8", v1(label("__name__", "w5") + label("a", b"\xff\xfe") + sample(NOW, 1)), V1),
    ("odd names", v1(series({"__name__": "w 5.%", "a b": "ü"}, (NOW, 1))), V1),
    ("a bad series before a good one", v1(series({"a": "b"}, (NOW, 1)), series({"__name__": "w6"}, (NOW, 1))), V1),
    ("no samples", v1(series({"__name__": "w7"})), V1),
    ("twice in one request", v1(series({"__name__": "w8"}, (NOW, 1), (NOW, 2))), V1),
    ("out of order in one request", v1(series({"__name__": "w9"}, (NOW, 1), (NOW - 5, 2), (NOW + 5, 3))), V1),
    ("bounds stay as they are", v1(series({"__name__": "w_bucket", "le": "1"}, (NOW, 1))), V1),
]
BODIES = [
    ("no body", b"", V1),
    ("an empty request", pack(b""), V1),
    ("no snappy", b"\x10\x00abc", V1),
    ("a block too large", varint(1 << 31) + b"abc", V1),
    ("a block just too large", varint(33 << 20) + b"abc", V1),
    ("a message cut off", pack(b"\x0a\xff\xff\x01abc"), V1),
    ("a field of groups", pack(b"\x56\x00"), V1),
    ("a tag of 0", pack(b"\x02\x00"), V1),
    ("a number too long", pack(b"\x0a" + b"\xff" * 11), V1),
    ("a value that is no double", v1(label("__name__", "w") + field(2, b"\x08\x05\x10" + varint(NOW))), V1),
    ("a label that is no text", v1(field(1, b"\x08\x01")), V1),
]
ANNOUNCED: list[tuple[str, dict[str, str]]] = [
    ("no headers", {}),
    ("no encoding", {"content-type": "application/x-protobuf"}),
    ("no type", {"content-encoding": "snappy"}),
    ("JSON", {**V1, "content-type": "application/json"}),
    ("an unknown message", {**V1, "content-type": "application/x-protobuf;proto=foo"}),
    ("its message's name", {**V1, "content-type": "application/x-protobuf; proto=prometheus.WriteRequest"}),
    ("half a parameter", {**V1, "content-type": "application/x-protobuf; proto"}),
    ("nothing behind a semicolon", {**V1, "content-type": "application/x-protobuf;"}),
    ("gzip", {**V1, "content-encoding": "gzip"}),
    ("another case", {**V1, "content-encoding": "Snappy"}),
]
HEADERS = [
    (f"with {what}", v1(series({"__name__": "w", "a": "header"}, (NOW + number, 1.0))), headers)
    for number, (what, headers) in enumerate(ANNOUNCED)
]
SECOND = [
    ("2: one", v2(SYMBOLS, referenced([1, 2, 3, 4], (NOW + 60_000, 1.0))), V2),
    ("2: references unpacked", v2(SYMBOLS, b"\x08\x01\x08\x02" + sample(NOW, 1)), V2),
    (
        "2: good and bad",
        v2(SYMBOLS, referenced([1, 2, 3, 4], (NOW - 1, 1)), referenced([1, 2, 3, 5], (NOW + 60_000, 1))),
        V2,
    ),
    ("2: two bad", v2(SYMBOLS, referenced([1, 2, 3, 4], (NOW + 60_000, 3), (NOW - 1, 3), (1, 1))), V2),
    ("2: no name", v2(SYMBOLS, referenced([3, 4], (NOW, 3))), V2),
    ("2: a label twice", v2(SYMBOLS, referenced([1, 2, 3, 4, 3, 5], (NOW, 3))), V2),
    ("2: an odd count", v2(SYMBOLS, referenced([1, 2, 3], (NOW, 3))), V2),
    ("2: a reference beyond", v2(SYMBOLS, referenced([1, 20], (NOW, 3))), V2),
    ("2: no samples", v2(SYMBOLS, referenced([1, 2])), V2),
    ("2: no symbols", v2([], referenced([1, 2], (NOW, 3))), V2),
    ("2: nothing", v2([]), V2),
    ("2: metadata", v2(SYMBOLS, referenced([1, 2, 3, 4], (NOW + 60_005, 3)) + field(5, b"\x08\x01\x18\x06")), V2),
    ("2: ahead", v2(SYMBOLS, referenced([1, 2, 3, 6], (SOON, 3))), V2),
]


async def test_remote_writes_are_answered_as_by_the_original(
    receiving: "Callable[[], AbstractContextManager[OriginalPrometheus]]",
) -> None:
    service = MetricsService(WallClock(), tuple, retention=Retention(1e9), remote_write=True)
    transport = httpx2.ASGITransport(app=service.app)
    differences: list[str] = []
    with receiving() as original:
        async with (
            httpx2.AsyncClient(transport=transport, base_url="http://lab") as lab,
            httpx2.AsyncClient(base_url=original.url) as other,
        ):
            for what, body, headers in (*FIRST, *LABELS, *BODIES, *HEADERS, *SECOND):
                ours = await lab.post("/api/v1/write", content=body, headers=headers)
                theirs = await other.post("/api/v1/write", content=body, headers=headers)
                if _told(ours) != _told(theirs):
                    differences.append(f"{what}: {_told(ours)}, by the original {_told(theirs)}")
            query = {"query": '{__name__=~"w.*"}[2h]', "time": str(NOW // 1000 + 120)}
            kept = [(await one.get("/api/v1/query", params=query)).json()["data"]["result"] for one in (lab, other)]
    assert differences == []
    assert len(kept[1]) > 8
    assert sorted(kept[0], key=str) == sorted(kept[1], key=str)


def _told(answer: httpx2.Response) -> tuple[int, str, dict[str, str]]:
    headers = {name: value for name, value in answer.headers.items() if name.startswith("x-")}
    return answer.status_code, answer.text, headers | {"type": answer.headers.get("content-type", "")}
