"""Who issues tokens of service accounts, and by which key they are checked (OpenID Connect Discovery 1.0).

With these two documents anybody can check a token without asking the API server.
"""

from collections.abc import Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from midwatch_lab import status
from midwatch_lab.access.service_tokens import ALGORITHM, ISSUER, ServiceTokens
from midwatch_lab.api.answers import JSON, encode
from midwatch_lab.objects import Object

_KEYS: Final = "/openid/v1/jwks"
_KEY_SET: Final = "application/jwk-set+json"
_HOUR: Final = "public, max-age=3600"


def respond(tokens: ServiceTokens, request: Request) -> Response | None:
    """Answer a request for one of the documents; None where the path is neither's.

    Raises:
        ApiError: 404, 405 or 406.
    """
    path = request.url.path.rstrip("/")
    documents: dict[str, tuple[str, Callable[[], Object]]] = {
        "/.well-known/openid-configuration": (JSON, lambda: _configuration(request)),
        _KEYS: (_KEY_SET, lambda: tokens.key_set),
    }
    if path not in documents:
        if path.rpartition("/")[0] in documents:
            raise status.no_such_resource()
        return None
    if request.method != "GET":
        raise status.method_not_allowed()
    media, document = documents[path]
    accepted = {part.partition(";")[0].strip() for part in request.headers.get("accept", "*/*").split(",")}
    if not accepted & {media, "*/*"}:
        raise status.not_acceptable(media)
    return Response(encode(document()), media_type=media, headers={"cache-control": _HOUR})


def _configuration(request: Request) -> Object:
    return {
        "issuer": ISSUER,
        "jwks_uri": f"https://{request.headers.get('host', '')}{_KEYS}",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [ALGORITHM],
    }
