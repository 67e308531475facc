"""Remote write in: what is unpacked, what is taken, what is refused and how."""

import math
import struct

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midwatch_contracts.clock import VirtualClock
from midwatch_lab.metrics.errors import CompressedError, WriteError
from midwatch_lab.metrics.labels import from_dict
from midwatch_lab.metrics.service import MetricsService
from midwatch_lab.metrics.snappy import pack, unpack
from midwatch_lab.metrics.store import STALE, is_stale
from midwatch_lab.metrics.write_requests import read_v1, read_v2
from promql_harness.write_bodies import V1, labelled, sample, series, v1

pytestmark = pytest.mark.anyio
NOW_S = 1_700_000_700.0
NOW = round(NOW_S * 1000)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def _service(*, remote_write: bool = True) -> MetricsService:
    return MetricsService(VirtualClock(NOW_S), tuple, remote_write=remote_write)


async def _post(service: MetricsService, body: bytes, headers: dict[str, str] = V1) -> httpx2.Response:
    transport = httpx2.ASGITransport(app=service.app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://lab") as client:
        return await client.post("/api/v1/write", content=body, headers=headers)


@given(st.binary(max_size=200_000))
def test_a_packed_block_unpacks_to_what_was_packed(body: bytes) -> None:
    assert unpack(pack(body)) == body


def test_copies_repeat_what_was_unpacked_also_where_they_overlap() -> None:
    assert unpack(b"\x0a" + b"\x04ab" + b"\x11\x02") == b"ab" * 5, "one byte of offset"
    assert unpack(b"\x06" + b"\x08abc" + b"\x0a\x03\x00") == b"abcabc", "two bytes of offset"
    assert unpack(b"\x06" + b"\x08abc" + b"\x0b\x03\x00\x00\x00") == b"abcabc", "four bytes of offset"
    assert unpack(b"\x46" + b"\xf0\x45" + b"x" * 70) == b"x" * 70, "a length behind the tag"


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"\xff" * 11,
        b"\x05\x08abc",
        b"\x03\x08ab",
        b"\x02\x08abc",
        b"\x06\x08abc\x0a\x04\x00",
        b"\x06\x08abc\x0a\x00\x00",
        b"\x04\x08abc\x0a\x03\x00",
        b"\x06\x08abc\x0a\x03",
        b"\x03\xf4",
    ],
)
def test_a_damaged_block_is_refused(block: bytes) -> None:
    with pytest.raises(CompressedError, match="s2: corrupt input"):
        unpack(block)


@given(st.binary(max_size=60), st.integers(0, 300))
def test_no_block_unpacks_to_more_than_it_declares(rest: bytes, size: int) -> None:
    try:
        found = unpack(bytes([size & 0x7F | 0x80, size >> 7]) + rest, limit=256)
    except CompressedError:
        return
    assert len(found) == size <= 256


@given(st.binary(max_size=80))
def test_bytes_that_are_no_request_are_refused_and_nothing_else_happens(body: bytes) -> None:
    for read in (read_v1, read_v2):
        try:
            read(body)
        except WriteError as error:
            assert str(error)  # noqa: PT017 (either outcome is right, any other error is not)


async def test_a_lab_that_is_not_told_to_takes_no_samples() -> None:
    found = await _post(_service(remote_write=False), v1(series({"__name__": "x"}, (NOW, 1.0))))
    assert found.status_code == 404
    assert "--enable-remote-write-receiver" in found.text


async def test_written_samples_keep_the_bits_of_every_nan() -> None:
    odd = struct.unpack("<d", bytes.fromhex("efbeadde0000f87f"))[0]
    service = _service()
    found = await _post(service, v1(series({"__name__": "x"}, (NOW, 1.0), (NOW + 1, odd), (NOW + 2, STALE))))
    assert (found.status_code, found.content) == (204, b"")
    kept = service.store.series(from_dict({"__name__": "x"}))
    assert struct.pack("<d", kept.samples()[1][1]) == struct.pack("<d", odd)
    assert math.isnan(kept.samples()[1][1])
    assert [is_stale(value) for _, value in kept.samples()] == [False, False, True]


async def test_a_request_with_one_sample_too_old_is_written_not_at_all() -> None:
    service = _service()
    await _post(service, v1(series({"__name__": "x"}, (NOW, 1.0))))
    found = await _post(service, v1(series({"__name__": "y"}, (NOW, 1.0)), series({"__name__": "x"}, (NOW - 1, 1.0))))
    assert (found.status_code, found.text) == (400, "out of order sample\n")
    assert [s.lookup["__name__"] for s in service.store if s] == ["x"]


async def test_a_time_written_before_its_value_is_read_too() -> None:
    time_first = b"\x12" + bytes([len(sample(NOW, 2.5)) - 2]) + sample(NOW, 2.5)[11:] + sample(NOW, 2.5)[2:11]
    service = _service()
    assert (await _post(service, v1(labelled({"__name__": "x"}) + time_first))).status_code == 204
    assert service.store.series(from_dict({"__name__": "x"})).last == 2.5
