"""What is not about objects: versions, health, discovery, OpenAPI."""

import hashlib
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from midwatch_lab import status
from midwatch_lab.api import discovery, openapi_protobuf
from midwatch_lab.api.answers import JSON, answer, encode, wanted_form
from midwatch_lab.api.openapi import OpenApi
from midwatch_lab.kinds.catalog import Catalog
from midwatch_lab.schemas.schema import schemas

_HEALTH = frozenset({"/healthz", "/livez", "/readyz"})
_GROUP_PATH = 2
_VERSION_PATH = 3
_PROTOBUF = "application/com.github.proto-openapi.spec.v2"


def respond(documents: OpenApi, request: Request) -> Response:
    """Answer a request whose path names no resource.

    Raises:
        ApiError: 404, 405 or 406.
    """
    path = request.url.path.rstrip("/")
    if path in _HEALTH:
        return PlainTextResponse("ok")
    if path.startswith("/openapi"):
        return _openapi(documents, request, path)
    catalog = documents.catalog
    parts = path.strip("/").split("/")
    found = _found(catalog, request, parts)
    if found is None:
        if (
            len(parts) > 1
            and catalog.is_built_in("" if parts[0] == "api" else parts[1])
            and parts[0] in ("api", "apis")
        ):
            raise status.no_such_resource()
        return PlainTextResponse("404 page not found\n", HTTPStatus.NOT_FOUND)
    if request.method != "GET" and parts != ["apis"]:
        # The original answers `/apis` whatever the method.
        raise status.method_not_allowed()
    if parts in (["api"], ["apis"]):
        return _root(catalog, request, found)
    if parts in ([""], ["version"]):
        return Response(encode(found, pretty=True), media_type=JSON)
    return answer(request, found, media=wanted_form(request).media)


def _found(catalog: Catalog, request: Request, parts: list[str]) -> Any:  # noqa: PLR0911 (one case a path)
    match parts:
        case [""]:
            return discovery.index(catalog)
        case ["version"]:
            return discovery.server_version(schemas().version)
        case ["api"]:
            return discovery.core_versions(request.headers.get("host", ""))
        case ["apis"]:
            return discovery.groups(catalog)
        case ["api", version]:
            return discovery.resources(catalog, "", version)
        case ["apis", group]:
            return discovery.group(catalog, group)
        case ["apis", group, version]:
            return discovery.resources(catalog, group, version)
        case _:
            return None


def _root(catalog: Catalog, request: Request, found: Any) -> Response:
    form = wanted_form(request)
    if form.as_kind != "APIGroupDiscoveryList":
        return answer(request, found, media=form.media)
    core = request.url.path.strip("/") == "api"
    body = encode(discovery.aggregated(catalog, core=core, version=form.as_version))
    response = _tagged(request, body, discovery.AGGREGATED.format(version=form.as_version))
    response.headers["cache-control"] = "public"
    return response


def _tagged(request: Request, body: bytes, media: str) -> Response:
    """Return a document with its hash, or only that the client has it already (RFC 9110 §13.1.2)."""
    tag = f'"{_digest(body)}"'
    known = [part.strip() for part in request.headers.get("if-none-match", "").split(",")]
    headers = {"etag": tag, "vary": "Accept", "cache-control": "no-cache, private"}
    if tag in known:
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(body, headers={**headers, "content-type": media})


def _digest(body: bytes) -> str:
    return hashlib.sha512(body).hexdigest().upper()


def _openapi(documents: OpenApi, request: Request, path: str) -> Response:  # noqa: PLR0911 (one case a path)
    if path == "/openapi/v3":
        # The original says so of its index, though it is JSON.
        return Response(documents.v3_index(), media_type="text/plain; charset=utf-8")
    if path == "/openapi/v2":
        accept = request.headers.get("accept", "*/*")
        if _PROTOBUF in accept and JSON not in accept:
            return _tagged(request, documents.v2_protobuf(), openapi_protobuf.MEDIA)
        return _tagged(request, documents.v2_document(), JSON)
    if not path.startswith("/openapi/v3/"):
        return PlainTextResponse("404 page not found\n", HTTPStatus.NOT_FOUND)
    body = documents.v3_document(path.removeprefix("/openapi/v3/"))
    if body is None:
        return Response(status_code=HTTPStatus.NOT_FOUND)
    wanted = request.query_params.get("hash")
    if wanted and wanted != _digest(body):
        return RedirectResponse(f"{path}?hash={_digest(body)}", HTTPStatus.MOVED_PERMANENTLY)
    return _tagged(request, body, JSON)
