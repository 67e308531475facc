"""What all answers of the lab's Prometheus have in common: cross-origin headers, packing, refusals in plain text."""

from typing import Final

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_CORS: Final = {
    "Access-Control-Allow-Headers": "Accept, Authorization, Content-Type, Origin",
    "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
    "Access-Control-Expose-Headers": "Date",
}
_PACKED_FROM: Final = 1000
"""Bytes from which an answer is packed, for clients that take it so."""


def application(routes: list[BaseRoute]) -> Starlette:
    """Return an application of routes that refuses and answers as the original does."""
    middleware = [Middleware(CrossOrigin), Middleware(GZipMiddleware, minimum_size=_PACKED_FROM, compresslevel=1)]
    return Starlette(routes=routes, middleware=middleware, exception_handlers={404: _refusal, 405: _refusal})


class CrossOrigin:
    """Lets pages of any origin read answers, and answers their OPTIONS."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        origin = dict(scope["headers"]).get(b"origin", b"").decode("latin-1")

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.add_vary_header("Origin")
                for name, value in {**_CORS, "Access-Control-Allow-Origin": origin}.items() if origin else ():
                    headers[name] = value
            await send(message)

        if scope["method"] == "OPTIONS" and "/api/v1" in scope["path"]:
            await Response(status_code=204)(scope, receive, told)
            return
        await self._app(scope, receive, told)


async def _refusal(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 (registered for statuses, which only these have)
    text = "404 page not found\n" if error.status_code == 404 else "Method Not Allowed\n"  # noqa: PLR2004 (HTTP)
    headers = {**(error.headers or {}), "X-Content-Type-Options": "nosniff"}
    return PlainTextResponse(text, error.status_code, headers)
