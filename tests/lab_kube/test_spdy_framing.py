"""SPDY/3.1 as kubectl's port-forward speaks it, held against frames made here by the specification."""

import hashlib
import struct
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midwatch_lab.api.streams.spdy import DICTIONARY, Data, Opened, Ping, Reset, SpdyError, SpdyServer

HEADERS = {"streamtype": "data", "port": "8000", "requestid": "0"}


def block(headers: dict[str, str], compressor: Any = None) -> bytes:
    plain = struct.pack(">I", len(headers))
    for name, value in headers.items():
        plain += struct.pack(">I", len(name)) + name.encode() + struct.pack(">I", len(value)) + value.encode()
    made = compressor or zlib.compressobj(zdict=DICTIONARY)
    return made.compress(plain) + made.flush(zlib.Z_SYNC_FLUSH)


def control(kind: int, body: bytes, flags: int = 0) -> bytes:
    return struct.pack(">II", 0x80030000 | kind, flags << 24 | len(body)) + body


def opening(stream: int, headers: bytes) -> bytes:
    return control(1, struct.pack(">IIH", stream, 0, 0) + headers)


def test_the_dictionary_is_that_of_the_specification() -> None:
    assert len(DICTIONARY) == 1423
    assert hashlib.sha256(DICTIONARY).hexdigest() == "51d27341373f923f3cd88e1eb7162aeaa3723d7585ff2399201dc06498407f02"


def test_frames_come_out_whole_however_the_bytes_are_cut() -> None:
    compressor = zlib.compressobj(zdict=DICTIONARY)
    sent = opening(1, block({**HEADERS, "streamtype": "error"}, compressor)) + opening(3, block(HEADERS, compressor))
    sent += struct.pack(">II", 3, 5) + b"hello" + struct.pack(">II", 3, 1 << 24) + control(6, struct.pack(">I", 7))
    sent += control(9, b"\0" * 8) + control(3, struct.pack(">II", 3, 5))
    expected = [
        Opened(1, {**HEADERS, "streamtype": "error"}, ended=False),
        Opened(3, HEADERS, ended=False),
        Data(3, b"hello", ended=False),
        Data(3, b"", ended=True),
        Ping(7),
        Reset(3),
    ]
    for size in (1, 3, len(sent)):
        server = SpdyServer()
        found = [frame for at in range(0, len(sent), size) for frame in server.feed(sent[at : at + size])]
        assert found == expected


def test_what_is_sent_is_read_by_the_specification() -> None:
    server = SpdyServer()
    inflate = zlib.decompressobj(zdict=DICTIONARY)
    for stream in (1, 3):
        reply = server.reply(stream)
        assert reply[:4] == b"\x80\x03\x00\x02"
        assert struct.unpack(">I", reply[8:12]) == (stream,)
        assert inflate.decompress(reply[12:]) == b"\0\0\0\0"
    assert server.data(3, b"abc") == b"\0\0\0\x03\0\0\0\x03abc"
    assert server.data(3, b"", ended=True) == b"\0\0\0\x03\x01\0\0\0"
    assert server.pong(9) == b"\x80\x03\x00\x06\0\0\0\x04\0\0\0\x09"


@pytest.mark.parametrize(
    "sent",
    [
        b"\x80\x02\x00\x01\0\0\0\0",
        b"\0\0\0\1\0\xff\xff\xff",
        control(1, b"\0\0\0\1"),
        opening(1, b"no compression"),
        opening(1, block({"a": "x" * 100_000})),
    ],
    ids=["another version", "a huge frame", "no headers", "plain headers", "huge headers"],
)
def test_what_is_no_spdy_has_one_error(sent: bytes) -> None:
    with pytest.raises(SpdyError):
        list(SpdyServer().feed(sent))


@given(st.binary(max_size=80))
def test_no_bytes_do_more_than_that_error(sent: bytes) -> None:
    server = SpdyServer()
    try:
        frames = list(server.feed(sent))
    except SpdyError:
        return
    assert all(isinstance(frame, Data | Opened | Reset | Ping) for frame in frames)
