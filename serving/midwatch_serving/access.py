"""Who may ask, and how often: API keys and rate limits, as ASGI middleware in front of the application.

Health, version, load and metrics stay open: probes and scrapers carry no key. Everything else needs one, once any is
set. A rate limit counts what clients of the model ask for, a key (or, without keys, an address) apart.
"""

import hashlib
import hmac
import math
import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from midwatch_contracts.clock import Clock
from midwatch_contracts.command import CommandError
from midwatch_serving import protocol

OPEN_PATHS = frozenset({"/health", "/version", "/load", "/metrics", "/ping"})
LIMITED_PATHS = ("/v1/", "/tokenize", "/detokenize")
MOST_CALLERS = 10_000
"""Callers whose rate is remembered; the one that came least recently is forgotten first."""
UNAUTHORIZED, TOO_MANY = 401, 429
_RATE = re.compile(r"(\d+(?:\.\d+)?)(?::(\d+))?")


@dataclass(frozen=True)
class Rate:
    """Requests a second in the long run, and how many may come at once."""

    per_s: float
    burst: int

    @classmethod
    def parse(cls, text: str) -> "Rate":
        """Read `REQ_PER_S[:BURST]`; the burst is one second's worth by default.

        Raises:
            CommandError: when it is neither, or 0.
        """
        found = _RATE.fullmatch(text.strip())
        per_s = 0.0 if found is None else float(found[1])
        burst = math.ceil(per_s) if found is None or found[2] is None else int(found[2])
        if per_s <= 0 or burst < 1:
            raise CommandError(f"--rate-limit {text}: give requests a second, and a burst if you like, as 5 or 0.5:10")
        return cls(per_s, burst)


def guards(keys: Sequence[str], rate: Rate | None, clock: Clock) -> list[Middleware]:
    """Return the middleware for these keys and this rate; none where there are none."""
    return [
        *([Middleware(ApiKeyMiddleware, keys=keys)] if keys else []),
        *([Middleware(RateLimitMiddleware, rate=rate, clock=clock)] if rate is not None else []),
    ]


class ApiKeyMiddleware:
    """Lets a request through that carries one of the keys as its bearer token."""

    def __init__(self, app: ASGIApp, keys: Sequence[str]) -> None:
        self._app = app
        self._digests = [hashlib.sha256(key.encode()).digest() for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or answer 401."""
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS or self._known(scope):
            await self._app(scope, receive, send)
            return
        message = "the API key is missing or wrong: send it as `Authorization: Bearer KEY`"
        body = protocol.error_body(message, status=UNAUTHORIZED, code="invalid_api_key")
        await JSONResponse(body, UNAUTHORIZED, {"www-authenticate": "Bearer"})(scope, receive, send)

    def _known(self, scope: Scope) -> bool:
        kind, _, key = Headers(scope=scope).get("authorization", "").partition(" ")
        digest = hashlib.sha256(key.strip().encode()).digest()
        # Every key is compared, each in constant time, so that the time taken tells nothing of any of them.
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        return kind.lower() == "bearer" and any(matches)


class RateLimitMiddleware:
    """Answers 429 to a caller whose requests come faster than the rate (a token bucket each)."""

    def __init__(self, app: ASGIApp, rate: Rate, clock: Clock) -> None:
        self._app = app
        self._rate = rate
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """What was left, and when, by caller."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or answer 429 with the seconds to wait."""
        if scope["type"] != "http" or not scope["path"].startswith(LIMITED_PATHS):
            await self._app(scope, receive, send)
            return
        wait = self._take(_caller(scope))
        if wait == 0:
            await self._app(scope, receive, send)
            return
        message = f"more than {self._rate.per_s:g} requests a second: try again in {wait:.3g} s (--rate-limit)"
        body = protocol.error_body(message, status=TOO_MANY, code="rate_limit_exceeded")
        await JSONResponse(body, TOO_MANY, {"retry-after": str(math.ceil(wait))})(scope, receive, send)

    def _take(self, caller: str) -> float:
        """Count a request; return the seconds until it could be taken, 0 where it is."""
        now = self._clock.now()
        left, at = self._buckets.pop(caller, (float(self._rate.burst), now))
        left = min(self._rate.burst, left + max(0.0, now - at) * self._rate.per_s)
        wait = 0.0 if left >= 1 else (1 - left) / self._rate.per_s
        self._buckets[caller] = (left if wait else left - 1, now)
        if len(self._buckets) > MOST_CALLERS:
            self._buckets.popitem(last=False)
        return wait


def _caller(scope: Scope) -> str:
    key = Headers(scope=scope).get("authorization")
    if key is not None:
        return "key " + hashlib.sha256(key.encode()).hexdigest()
    return "host " + str((scope.get("client") or ("",))[0])
