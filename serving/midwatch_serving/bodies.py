"""Request bodies, read within a bound."""

from starlette.requests import ClientDisconnect, Request

from midwatch_serving.errors import RequestError

MAX_BODY = 1 << 20
"""Bytes; a prompt of the longest context is far smaller."""


async def read_body(request: Request, most: int = MAX_BODY) -> bytes:
    """Return the request's body.

    Raises:
        RequestError: when it is larger than `most` bytes, or its client goes before it is whole.
    """
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > most:
                raise RequestError(f"the body is larger than {most} bytes", status=413)
    except ClientDisconnect as error:
        raise RequestError("the body ended before it was whole") from error
    return bytes(body)
