"""SPDY/3.1 framing, the server's side, without a socket: bytes in, frames out, and frames to bytes.

kubectl's port-forward speaks it inside a WebSocket (`SPDY/3.1+portforward.k8s.io`). What that needs is here: streams
opened by the client, data, half-closing, resets, pings. Flow control is not used by the library of the other side.
Source: https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, TypeAlias

from midwatch_lab.errors import LabError

_CONTROL: Final = 0x80000000
_STREAM: Final = 0x7FFFFFFF
_VERSION: Final = 3
_FIN: Final = 1
_HEAD: Final = 8
_SYN_HEAD: Final = 10
_HEADERS_MAX: Final = 64 * 1024
_FRAME_MAX: Final = 1024 * 1024
_WORDS: Final = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges "
    "age allow authorization cache-control connection content-base content-encoding content-language "
    "content-length content-location content-md5 content-range content-type date etag expect expires from host "
    "if-match if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards "
    "pragma proxy-authenticate proxy-authorization range referer retry-after server te trailer "
    "transfer-encoding upgrade user-agent vary via warning www-authenticate method get status 200_OK version "
    "HTTP/1.1 url public set-cookie keep-alive origin"
)
_TAIL: Final = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authorit"
    "ative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Fo"
    "und500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept"
    " Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gi"
    "f,application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchc"
    "harset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY: Final = b"".join(
    len(word).to_bytes(4, "big") + word.replace("_", " ").encode() for word in _WORDS.split()
) + _TAIL.encode()  # fmt: skip
"""What both sides' header compression begins with (SPDY/3, section 2.6.10.1)."""


class _Kind(IntEnum):
    SYN_STREAM = 1
    SYN_REPLY = 2
    RST_STREAM = 3
    PING = 6


class SpdyError(LabError):
    """The other side does not speak SPDY/3.1; the connection cannot go on."""


@dataclass(frozen=True)
class Opened:
    """The client opened a stream."""

    stream: int
    headers: dict[str, str]
    ended: bool


@dataclass(frozen=True)
class Data:
    """The client sent data, and may have closed its side with it."""

    stream: int
    data: bytes
    ended: bool


@dataclass(frozen=True)
class Reset:
    """The client gave a stream up."""

    stream: int


@dataclass(frozen=True)
class Ping:
    """The client wants this number back."""

    number: int


Frame: TypeAlias = Opened | Data | Reset | Ping


class SpdyServer:
    """One connection. Frames go out in the order in which they are made, since headers share one compression."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take bytes and yield the frames that are whole; kinds of frame that change nothing here are passed over.

        Raises:
            SpdyError: when the bytes are no SPDY.
        """
        self._buffer += data
        while len(self._buffer) >= _HEAD:
            first, second = struct.unpack_from(">II", self._buffer)
            flags, size = second >> 24, second & 0xFFFFFF
            if size > _FRAME_MAX:
                raise SpdyError(f"a frame of {size} bytes is over the limit of {_FRAME_MAX}")
            if len(self._buffer) < _HEAD + size:
                return
            body = bytes(self._buffer[_HEAD : _HEAD + size])
            del self._buffer[: _HEAD + size]
            if not first & _CONTROL:
                yield Data(first & _STREAM, body, bool(flags & _FIN))
                continue
            if first >> 16 & 0x7FFF != _VERSION:
                raise SpdyError(f"version {first >> 16 & 0x7FFF} of SPDY is not spoken here, only 3")
            frame = self._control(first & 0xFFFF, flags, body)
            if frame is not None:
                yield frame

    def _control(self, kind: int, flags: int, body: bytes) -> Frame | None:
        try:
            match kind:
                case _Kind.SYN_STREAM:
                    return Opened(struct.unpack_from(">I", body)[0] & _STREAM, self._headers(body), bool(flags & _FIN))
                case _Kind.RST_STREAM:
                    return Reset(struct.unpack_from(">I", body)[0] & _STREAM)
                case _Kind.PING:
                    return Ping(struct.unpack_from(">I", body)[0])
                case _:
                    return None
        except (struct.error, zlib.error, UnicodeDecodeError) as error:
            raise SpdyError(f"a frame of kind {kind} is malformed: {error}") from error

    def _headers(self, body: bytes) -> dict[str, str]:
        block = self._inflate.decompress(body[_SYN_HEAD:], _HEADERS_MAX)
        if self._inflate.unconsumed_tail:
            raise SpdyError(f"headers of more than {_HEADERS_MAX} bytes")
        (count,) = struct.unpack_from(">I", block)
        at = 4
        found: dict[str, str] = {}
        for _ in range(count):
            words: list[str] = []
            for _ in range(2):
                (size,) = struct.unpack_from(">I", block, at)
                words.append(block[at + 4 : at + 4 + size].decode())
                at += 4 + size
            found[words[0].lower()] = words[1]
        return found

    def reply(self, stream: int) -> bytes:
        """Return the frame that accepts a stream, without headers."""
        block = self._deflate.compress(struct.pack(">I", 0)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        return _framed(_Kind.SYN_REPLY, struct.pack(">I", stream) + block)

    @staticmethod
    def data(stream: int, data: bytes, *, ended: bool = False) -> bytes:
        """Return a frame of data; `ended` closes our side of the stream."""
        return struct.pack(">II", stream, (_FIN if ended else 0) << 24 | len(data)) + data

    @staticmethod
    def pong(number: int) -> bytes:
        """Return the answer to a ping."""
        return _framed(_Kind.PING, struct.pack(">I", number))


def _framed(kind: int, body: bytes) -> bytes:
    return struct.pack(">II", _CONTROL | _VERSION << 16 | kind, len(body)) + body
