"""Getting a target's page over HTTP, packed or not, and never more of it than allowed."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from midwatch_lab.load.errors import HttpError
from midwatch_lab.load.http1 import Request, ResponseReader, exchange
from midwatch_lab.metrics.errors import ScrapeError
from midwatch_lab.metrics.exposition import ACCEPT

BODY_MAX: Final = 64 * 1024 * 1024
"""Bytes that a page may not reach, where its job sets no limit."""
_GZIP: Final = 16 + zlib.MAX_WBITS
_OK: Final = 200


class Fetched(NamedTuple):
    """A page: its text, where bytes that are no UTF-8 are lone surrogates, its content type, and its size."""

    text: str
    media: str = ""
    size: int = 0


Fetch = Callable[[str, float, int], Awaitable[Fetched]]
"""URL, timeout (s) and most bytes (0: `BODY_MAX`) to a page; raises OSError, TimeoutError, HttpError or ScrapeError."""


async def fetch_page(url: str, timeout_s: float, limit: int) -> Fetched:
    """Get a page.

    Raises:
        TimeoutError: when it takes longer than `timeout_s` on the wall clock.
        OSError: when the target cannot be reached.
        HttpError: when its answer is not HTTP/1.1 or another than 200.
        ScrapeError: when the page, unpacked, reaches `limit`, or is damaged.
    """
    body = _Body(limit or BODY_MAX)
    reader = ResponseReader(lambda piece: body.take(piece, reader.headers.get("content-encoding", "")))
    headers = {
        "User-Agent": "midwatch-lab",
        "Accept": ACCEPT,
        "Accept-Encoding": "gzip",
        "X-Prometheus-Scrape-Timeout-Seconds": f"{timeout_s:g}",
    }
    async with asyncio.timeout(timeout_s):
        await exchange(Request("GET", url, headers=headers), reader)
    if reader.status != _OK:
        raise HttpError(f"server returned HTTP status {reader.status} {reader.reason}".rstrip())
    text = body.found.decode("utf-8", "surrogateescape")
    return Fetched(text, reader.headers.get("content-type", ""), len(body.found))


class _Body:
    """What has come of a page, unpacked."""

    def __init__(self, limit: int) -> None:
        self.found = bytearray()
        self._limit = limit
        self._unpacker = zlib.decompressobj(_GZIP)

    def take(self, piece: bytes, encoding: str) -> None:
        """Take the next piece.

        Raises:
            ScrapeError: when the limit is passed, or the piece cannot be unpacked.
        """
        if encoding.lower() == "gzip":
            try:
                piece = self._unpacker.decompress(piece, self._limit - len(self.found))
            except zlib.error as error:
                raise ScrapeError(f"the page is no gzip: {error}") from error
        elif encoding.lower() not in ("", "identity"):
            raise ScrapeError(f"the page is packed as {encoding!r}, which was not asked for")
        self.found += piece
        if len(self.found) >= self._limit:
            raise ScrapeError("body size limit exceeded")
