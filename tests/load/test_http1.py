"""The lean HTTP client: whatever the pieces, the same answer; whatever the nonsense, a clear end."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midwatch_lab.load.errors import HttpError
from midwatch_lab.load.http1 import Request, ResponseReader, fetch, send

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


BODY = bytes(range(256)) * 3
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(
    b"%x;ext=1\r\n%s\r\n" % (len(piece), piece) for piece in (BODY[:1], BODY[1:300], BODY[300:])
)
FORMS = {
    "length": b"HTTP/1.1 200 OK\r\ncontent-LENGTH: 768\r\n\r\n" + BODY,
    "chunked": CHUNKED + b"0\r\n\r\n",
    "end": b"HTTP/1.0 200 OK\r\n\r\n" + BODY,
}


@given(st.sampled_from(sorted(FORMS)), st.lists(st.integers(1, 80), min_size=1))
def test_an_answer_in_any_pieces_is_the_same_answer(form: str, sizes: list[int]) -> None:
    found: list[bytes] = []
    reader = ResponseReader(found.append)
    data, index = FORMS[form], 0
    while data:
        size = sizes[index % len(sizes)]
        reader.feed(data[:size])
        data, index = data[size:], index + 1
    if form == "end":
        reader.eof()
    assert (reader.status, reader.done, b"".join(found)) == (200, True, BODY)


@pytest.mark.parametrize("form", ["length", "chunked"])
def test_an_answer_that_is_cut_short_is_an_error(form: str) -> None:
    reader = ResponseReader(lambda _: None)
    reader.feed(FORMS[form][:-1] if form == "length" else CHUNKED)
    with pytest.raises(HttpError, match="before its answer was complete"):
        reader.eof()


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0\r\n\r\n",
        b"HTTP/1.1 xyz\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 20_000,
    ],
)
def test_what_is_not_http_is_an_error(data: bytes) -> None:
    with pytest.raises(HttpError):
        ResponseReader(lambda _: None).feed(data)


@given(st.binary(max_size=200))
def test_random_bytes_are_read_or_refused(data: bytes) -> None:
    reader = ResponseReader(lambda _: None)
    try:
        reader.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + data)
        reader.eof()
    except HttpError:
        assert not reader.done


@pytest.mark.parametrize("url", ["https://a/", "a/b", "http:///x"])
def test_a_url_that_cannot_be_asked_is_refused(url: str) -> None:
    with pytest.raises(HttpError, match="no http:// URL"):
        Request("GET", url).address()


async def test_a_request_is_sent_as_http_and_its_answer_read() -> None:
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(2))
        writer.write(FORMS["chunked"])
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    found: list[bytes] = []
    async with server:
        request = Request("POST", f"http://127.0.0.1:{port}/a?b=c", b"{}", {"Content-Type": "application/json"})
        assert await send(request, found.append) == 200
    assert b"".join(found) == BODY
    assert (
        seen[0]
        == (
            f"POST /a?b=c HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nContent-Length: 2\r\n"
            "Content-Type: application/json\r\n\r\n{}"
        ).encode()
    )


async def test_a_timeout_closes_the_connection() -> None:
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        try:
            assert await reader.read() == b""
        except ConnectionResetError:
            pass
        finally:
            gone.set()
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        with pytest.raises(TimeoutError):
            await fetch(f"http://127.0.0.1:{port}/", 0.05)
        async with asyncio.timeout(5):
            await gone.wait()


async def test_a_server_that_is_not_there_is_an_os_error() -> None:
    server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    with pytest.raises(OSError, match=r"refused|Connect"):
        await fetch(f"http://127.0.0.1:{port}/", 5)
