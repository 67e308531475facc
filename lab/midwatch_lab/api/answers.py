"""Answers in the form that the client accepts: the object itself, a Table, or its metadata alone; JSON or YAML."""

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import orjson
import yaml
from starlette.requests import Request
from starlette.responses import Response

from midwatch_lab import status
from midwatch_lab.errors import DecodeError
from midwatch_lab.schemas import protobuf

JSON: Final = "application/json"
YAML: Final = "application/yaml"
_TRUE: Final = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_BY_HAND: Final = ("curl", "Wget", "Mozilla/5.0")
_READABLE: Final = frozenset({JSON, "*/*", YAML})
_MEDIA: Final = f"{JSON}, {YAML}, {protobuf.MEDIA}"


@dataclass(frozen=True)
class Form:
    """What the client wants to see: `as_kind` is empty for objects as they are, else `Table` or a metadata kind."""

    media: str = JSON
    as_kind: str = ""
    as_version: str = ""


def wanted_form(request: Request) -> Form:
    """Return the first acceptable form that this server can give; protobuf only where nothing else will do.

    Raises:
        ApiError: 406 when there is none.
    """
    header = request.headers.get("accept", "") or "*/*"
    binary = False
    known = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList", "APIGroupDiscoveryList")
    for part in sorted(header.split(","), key=_weight, reverse=True):
        media, *rest = (piece.strip() for piece in part.split(";"))
        binary = binary or (media == protobuf.MEDIA and not rest)
        options = {piece.partition("=")[0]: piece.partition("=")[2] for piece in rest}
        if media not in _READABLE or options.get("as", "Table") not in known:
            continue
        versions = ("v2",) if options.get("as") == "APIGroupDiscoveryList" else ("v1", "v1beta1")
        group = "apidiscovery.k8s.io" if options.get("as") == "APIGroupDiscoveryList" else "meta.k8s.io"
        if options.get("as") and (options.get("v") not in versions or options.get("g", group) != group):
            continue
        chosen = YAML if media == YAML else JSON
        return Form(chosen, options.get("as", ""), options.get("v", ""))
    if binary:
        return Form(protobuf.MEDIA)
    raise status.no_such_form(_MEDIA)


def check_accept(request: Request, *, listing: bool) -> None:
    """Refuse a client that accepts no media type of a resource, whatever its form.

    Raises:
        ApiError: 406.
    """
    header = request.headers.get("accept", "") or "*/*"
    media = {part.partition(";")[0].strip() for part in header.split(",")}
    if not media & {JSON, YAML, protobuf.MEDIA, "*/*"}:
        watched = f", {JSON};stream=watch, {protobuf.MEDIA};stream=watch" if listing else ""
        raise status.not_acceptable(_MEDIA + watched)


def check_plain(request: Request) -> None:
    """Refuse a client that accepts an answer only in a form, such as a Table, where there is none.

    Raises:
        ApiError: 406.
    """
    header = request.headers.get("accept", "") or "*/*"
    if all("as=" in part for part in header.split(",")):
        raise status.no_such_form(_MEDIA)


def _weight(part: str) -> float:
    """Return how much a client likes a form (RFC 9110 §12.4.2); without a word, fully."""
    found = re.search(r";\s*q=([01](?:\.\d*)?)\s*(?:;|$)", part)
    return float(found[1]) if found else 1.0


def encode(value: Any, media: str = JSON, *, pretty: bool = False) -> bytes:
    """Return a value as bytes of the media type.

    Raises:
        ApiError: 406 when the kind has no form of that type.
    """
    if media == YAML:
        return yaml.safe_dump(value).encode()
    if media == protobuf.MEDIA:
        try:
            return protobuf.encode(value)
        except DecodeError as error:
            raise status.not_acceptable() from error
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 if pretty else orjson.OPT_APPEND_NEWLINE)


def answer(
    request: Request, value: Any, code: int = HTTPStatus.OK, *, media: str = JSON, warnings: tuple[str, ...] = ()
) -> Response:
    """Return a response; each warning becomes a `Warning` header (RFC 9111 §5.5, code 299)."""
    response = Response(encode(value, media, pretty=is_pretty(request)), status_code=code, media_type=media)
    response.headers["cache-control"] = "no-cache, private"
    warn(response, warnings)
    return response


def is_pretty(request: Request) -> bool:
    """Tell whether a person reads the answer: as asked for, else by the client, which is then a browser or its like."""
    asked = request.query_params.get("pretty", "")
    return asked in _TRUE if asked else request.headers.get("user-agent", "").startswith(_BY_HAND)


def warn(response: Response, warnings: tuple[str, ...]) -> None:
    """Add warnings to a response."""
    for text in warnings:
        quoted = text.replace("\\", "\\\\").replace('"', '\\"')
        # Starlette writes headers in Latin-1; the original's are UTF-8.
        response.headers.append("warning", f'299 - "{quoted}"'.encode().decode("latin-1"))
