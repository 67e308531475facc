"""Tokens of an OAuth authorization server: JSON Web Tokens, verified by its published keys (RFC 9068, RFC 8414).

A token counts when it is signed by the issuer, not expired, and names this server as its audience. What is not a JWT,
or is signed by a secret that both sides share, is refused: this server has no business with shared secrets.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any, Final, cast

import httpx2
import jwt
from mcp.server.auth.provider import AccessToken

from midwatch_mcp.http.listening import OAuth

log = logging.getLogger(__name__)

_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_KEYS_TTL_S: Final = 300.0
_RETRY_S: Final = 10.0
"""How soon keys are asked for again: a flood of tokens with unknown keys must not become a flood of requests."""
_TIMEOUT_S: Final = 5.0
_MAX_TOKEN: Final = 16_384
_OK: Final = 200


class OAuthTokens:
    """Verifies the access tokens of one issuer for one resource."""

    def __init__(self, oauth: OAuth, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        self._oauth = oauth
        self._transport = transport
        self._keys: dict[str, Any] = {}
        self._asked: float | None = None
        self._asking = asyncio.Lock()

    async def verify_token(self, token: str) -> AccessToken | None:
        """Return whose token it is, with its scopes; None for one that does not count."""
        try:
            header = jwt.get_unverified_header(token) if len(token) <= _MAX_TOKEN else {}
            key = await self._key(str(header.get("kid", "")))
            if key is None or header.get("alg") not in _ALGORITHMS:
                return None
            claims = jwt.decode(
                token,
                key,
                algorithms=list(_ALGORITHMS),
                audience=self._oauth.resource,
                issuer=self._oauth.issuer,
                leeway=5,
                options={"require": ["exp", "iss", "aud"]},
            )
        except (jwt.PyJWTError, ValueError) as error:
            log.info("a bearer token was refused: %s", type(error).__name__)
            return None
        client = str(claims.get("client_id") or claims.get("azp") or claims.get("sub") or "unknown")
        return AccessToken(
            token=token,
            client_id=client,
            scopes=_scopes(claims),
            expires_at=int(claims["exp"]),
            resource=self._oauth.resource,
            subject=str(claims["sub"]) if "sub" in claims else None,
            claims={"iss": claims["iss"]},
        )

    async def _key(self, name: str) -> Any:
        async with self._asking:
            age = None if self._asked is None else time.monotonic() - self._asked
            if age is None or age > _KEYS_TTL_S or (name not in self._keys and age > _RETRY_S):
                self._asked = time.monotonic()
                try:
                    self._keys = await self._fetch()
                except (httpx2.HTTPError, ValueError, jwt.PyJWTError) as error:
                    log.warning("the keys of %s cannot be had: %s", self._oauth.issuer, error)
        if not name and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(name)

    async def _fetch(self) -> dict[str, Any]:
        """Return the issuer's keys by `kid`.

        Raises:
            httpx2.HTTPError, ValueError, jwt.PyJWTError: they cannot be had.
        """
        async with httpx2.AsyncClient(timeout=_TIMEOUT_S, transport=self._transport) as client:
            described = await self._metadata(client)
            issuer, url = described.get("issuer"), described.get("jwks_uri")
            if issuer != self._oauth.issuer:
                raise ValueError(f"its metadata is that of another issuer, {issuer!r} (RFC 8414 §3.3)")
            if not isinstance(url, str):
                raise ValueError("its metadata names no jwks_uri")  # noqa: TRY004 (a bad answer, not a bad argument)
            answer = (await client.get(url)).raise_for_status()
            keys = jwt.PyJWKSet.from_dict(answer.json())
        return {str(key.key_id or ""): key.key for key in keys.keys}

    async def _metadata(self, client: httpx2.AsyncClient) -> Mapping[str, Any]:
        """Ask at the places of RFC 8414 §3.1 and of OpenID Connect Discovery §4."""
        base = httpx2.URL(self._oauth.issuer)
        path = base.path.rstrip("/")
        places = (f"/.well-known/oauth-authorization-server{path}", f"{path}/.well-known/openid-configuration")
        for place in places:
            answer = await client.get(base.copy_with(path=place))
            if answer.status_code == _OK:
                found: Any = answer.json()
                if isinstance(found, dict):
                    return cast("dict[str, Any]", found)
        raise ValueError(f"it has no metadata at {' or '.join(places)}")


def _scopes(claims: Mapping[str, Any]) -> list[str]:
    """Return the scopes of RFC 9068 §2.2.3 (`scope`, one text) or of the common `scp` (a list)."""
    scope = claims.get("scope", claims.get("scp", ""))
    if isinstance(scope, str):
        return scope.split()
    return [str(one) for one in cast("list[Any]", scope)] if isinstance(scope, list) else []
