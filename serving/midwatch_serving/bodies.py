"""Request bodies, read within a bound."""

from starlette.requests import Request

from midwatch_serving.errors import RequestError

MAX_BODY = 1 << 20
"""Bytes; a prompt of the longest context is far smaller."""


async def read_body(request: Request, most: int = MAX_BODY) -> bytes:
    """Return the request's body.

    Raises:
        RequestError: when it is larger than `most` bytes.
    """
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most:
            raise RequestError(f"the body is larger than {most} bytes", status=413)
    return bytes(body)
