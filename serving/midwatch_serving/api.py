"""The HTTP application: OpenAI's and vLLM's endpoints, and `/admin`."""

import logging
from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from midwatch_serving import protocol
from midwatch_serving.admin import AdminEndpoints
from midwatch_serving.errors import EngineDead, RequestError
from midwatch_serving.generation_api import generation_routes
from midwatch_serving.operations_api import OperationsEndpoints
from midwatch_serving.service import Service
from midwatch_serving.tracing import TraceContextMiddleware
from midwatch_serving.what_if_api import WhatIfEndpoint

log = logging.getLogger("midwatch.serving")


def build_app(service: Service, *, traced: bool = False, guards: Sequence[Middleware] = ()) -> Starlette:
    """Return the application over `service` behind its `guards`; `traced` takes up the trace context of requests."""
    public = PublicEndpoints(service)
    return Starlette(
        routes=[
            *generation_routes(service),
            Route("/health", public.health),
            Route("/version", public.version),
            Route("/metrics", public.metrics),
            *OperationsEndpoints(service).routes(),
            *AdminEndpoints(service).routes(),
            Route("/admin/what-if", WhatIfEndpoint(service).post, methods=["POST"]),
        ],
        middleware=[*guards, *([Middleware(TraceContextMiddleware)] if traced else [])],
        exception_handlers={
            RequestError: _request_error,
            EngineDead: _engine_dead,
            HTTPException: _http_error,
            Exception: _our_error,
        },
    )


class PublicEndpoints:
    """What needs no body: health, version, metrics."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def health(self, _request: Request) -> Response:
        """Answer 200, or 503 while draining or when the engine is dead."""
        return Response(status_code=200 if self._service.healthy else 503)

    async def version(self, _request: Request) -> Response:
        """Return Midwatch's version."""
        return JSONResponse({"version": self._service.version})

    async def metrics(self, request: Request) -> Response:
        """Return the metrics in Prometheus' text format, or OpenMetrics where that is asked for."""
        body, content_type = self._service.metrics.render(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})


async def _request_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, RequestError):
        raise error
    body = protocol.error_body(str(error), status=error.status, param=error.param, code=error.code)
    return JSONResponse(body, error.status, headers={"retry-after": "1"} if error.status == 503 else None)  # noqa: PLR2004 (HTTP)


async def _engine_dead(_request: Request, error: Exception) -> Response:
    return JSONResponse(protocol.error_body(str(error), status=500, code="engine_dead"), 500)


async def _http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    message = f"{request.method} {request.url.path}: {error.detail}"
    return JSONResponse(protocol.error_body(message, status=error.status_code), error.status_code, error.headers)


async def _our_error(request: Request, error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return JSONResponse(protocol.error_body("internal error: see the server's log", status=500), 500)
