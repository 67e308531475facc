"""How a double of the Kubernetes API answers."""

from collections.abc import Mapping
from typing import Any, cast

import orjson
from starlette.responses import Response


def reply(document: Mapping[str, Any]) -> Response:
    """Answer with JSON."""
    return Response(orjson.dumps(cast("dict[str, Any]", document)), media_type="application/json")


def status(code: int, reason: str, message: str) -> Response:
    """Answer with a Status object."""
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "reason": reason,
        "message": message,
        "code": code,
    }
    return Response(orjson.dumps(body), status_code=code, media_type="application/json")
