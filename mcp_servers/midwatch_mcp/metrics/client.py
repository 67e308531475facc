"""An async client of the Prometheus HTTP API: https://prometheus.io/docs/prometheus/latest/querying/api/.

Others speak it too, with differences that are met here: a path before `/api/v1` (Mimir, VictoriaMetrics, Grafana
Cloud), no `limit` or `timeout` (both are left out once an API has refused them), no metadata or rules.
"""

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlsplit

import httpx2
import orjson

from midwatch_contracts.canonical import float_text
from midwatch_contracts.untrusted import clean
from midwatch_mcp.errors import MetricsError, SettingsError, UnreachableError
from midwatch_mcp.hosts import is_loopback
from midwatch_mcp.metrics.access import FLAG, NO_ACCESS, Access, shown_url
from midwatch_mcp.metrics.http_config import read_access
from midwatch_mcp.redact import redact_text
from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.shapes import Number

MAX_BYTES = 32 * 1024 * 1024
"""Of one answer, unpacked: more is not read."""
_SHOWN = 300
_LONG_QUERY = 2_000
_TIMEOUT_S = 15.0
_ITS_SHARE = 0.9
"""Of our time, what the API is told to stop after: its own word on a slow query says more than our silence."""
_OPTIONAL = ("limit", "timeout", "limit_per_metric")
_REDIRECTS = range(300, 400)
_NOT_LET_IN = frozenset({401, 403})
_NOT_OFFERED = frozenset({404, 405, 501})
_BAD_REQUEST = frozenset({400, 422})
_REFUSALS = ("unknown", "unsupported", "not supported", "unexpected", "unrecognized")


class PrometheusClient:
    """One base URL, such as `http://host:9090` or `.../prometheus`. Opens at the first call, again after `aclose`."""

    def __init__(
        self, url: str | None, access: Access = NO_ACCESS, *, timeout_s: float = _TIMEOUT_S, transport: Any = None
    ) -> None:
        self._url = None if url is None else url.rstrip("/")
        self._access = access
        self._timeout_s = timeout_s
        self._transport = transport
        self._http: httpx2.AsyncClient | None = None
        self._context: ssl.SSLContext | None = None
        self._plain = False
        """Whether the API refused the parameters that not all of them know."""

    @classmethod
    def of(cls, settings: ServerSettings) -> "PrometheusClient":
        """Return the client of the settings.

        Raises:
            SettingsError: the file of `--prometheus-http-config` cannot be used, or must not be used for this URL.
        """
        file, url = settings.prometheus_http_config, settings.prometheus
        access = NO_ACCESS if file is None else read_access(file)
        if url is not None:
            access.check_url(url)
        return cls(url, access)

    async def get(self, path: str, query: Mapping[str, str | int | float | None] | None = None) -> Any:
        """GET `/api/v1/<path>` and return its `data`.

        Raises:
            MetricsError: the API answered with an error.
            UnreachableError: nothing answered, or not in time.
            SettingsError: no URL was given, or the way in does not work.
        """
        return (await self._answer("GET", path, query)).get("data")

    async def get_if_offered(self, path: str, query: Mapping[str, str | int | float | None] | None = None) -> Any:
        """GET as `get`, but return None where this API has no such path, or answers it with no JSON."""
        try:
            return await self.get(path, query)
        except MetricsError as error:
            if error.offered:
                raise
            return None

    async def query(self, path: str, query: Mapping[str, str | int | float | None]) -> tuple[dict[str, Any], list[str]]:
        """Return the `data` of a query, and its warnings and notes; a long one is sent as a form: URLs have limits."""
        long = len(str(query.get("query") or "")) > _LONG_QUERY
        timed = {**query, "timeout": f"{max(int(self._timeout_s * _ITS_SHARE), 1)}s"}
        answer = await self._answer("POST" if long else "GET", path, timed)
        told = [cast("list[Any]", answer.get(name) or []) for name in ("warnings", "infos")]
        return cast("dict[str, Any]", answer.get("data") or {}), [
            self._safe(str(text)) for part in told for text in part
        ]

    async def aclose(self) -> None:
        """Close the connections."""
        http, self._http, self._context = self._http, None, None
        if http is not None:
            await http.aclose()

    async def _answer(
        self, method: str, path: str, query: Mapping[str, str | int | float | None] | None
    ) -> dict[str, Any]:
        given = {name: str(value) for name, value in (query or {}).items() if value is not None}
        fewer = {name: value for name, value in given.items() if name not in _OPTIONAL}
        if self._plain or fewer == given:
            return await self._asked(method, path, fewer)
        try:
            return await self._asked(method, path, given)
        except MetricsError as error:
            if not _parameter_refused(error):
                raise
        answer = await self._asked(method, path, fewer)
        self._plain = True
        return answer

    async def _asked(self, method: str, path: str, given: Mapping[str, str]) -> dict[str, Any]:
        http = self._open()
        where = f"{shown_url(self._url or '')}/api/v1/{path}"
        carried: dict[str, Any] = {"params": given} if method == "GET" else {"data": given}
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                http.stream(method, f"/api/v1/{path}", headers=self._access.sent(), **carried) as answer,
            ):
                content = await _bounded(answer, where)
        except (httpx2.TimeoutException, TimeoutError) as error:
            message = f"{where} did not answer within {self._timeout_s:g} s: ask for less"
            raise UnreachableError(message, may_have_arrived=True) from error
        except (httpx2.TransportError, httpx2.DecodingError) as error:
            told = self._safe(str(error) or type(error).__name__)
            raise UnreachableError(f"{where} cannot be reached: {told}", may_have_arrived=False) from error
        if answer.status_code in _REDIRECTS:
            onward = self._safe(shown_url(answer.headers.get("location", "")))
            raise MetricsError(f"{where} redirects to {onward or 'nowhere'}, which is not followed: give that URL")
        return self._document(content, answer.status_code, where)

    def _open(self) -> httpx2.AsyncClient:
        if self._url is None:
            raise SettingsError("no metrics to ask: give --prometheus URL, or --lab for a running lab")
        secure = self._url.startswith("https:")
        if self._http is None:
            self._access.check_url(self._url)
            self._context = self._access.context(None) if secure else None
            self._http = httpx2.AsyncClient(
                base_url=self._url,
                timeout=self._timeout_s,
                transport=self._transport,
                trust_env=not is_loopback(urlsplit(self._url).hostname or ""),
                verify=self._context or False,
            )
        elif secure:
            self._access.context(self._context)
        return self._http

    def _safe(self, text: str) -> str:
        return redact_text(clean(self._access.hidden(text)))

    def _document(self, content: bytes, status: int, where: str) -> dict[str, Any]:
        mend = _mend(status)
        try:
            found: Any = orjson.loads(content)
        except orjson.JSONDecodeError as error:
            start = content[: 4 * _SHOWN].decode("utf-8", errors="replace")
            shown = self._safe(start).strip()[:_SHOWN] or "an empty body"
            message = f"{where} answered HTTP {status} and no JSON{mend}: {shown}"
            raise MetricsError(message, status=status, offered=status not in _NOT_OFFERED) from error
        answer = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
        if answer.get("status") == "success":
            return answer
        offered = status not in _NOT_OFFERED
        if answer.get("status") != "error":
            told = self._safe(str(answer.get("message") or answer.get("error") or ""))[:_SHOWN]
            message = f"{where} answered HTTP {status} and not as a Prometheus API does{mend}"
            raise MetricsError(message + (f": {told}" if told else ""), status=status, offered=offered)
        kind, message = str(answer.get("errorType") or ""), self._safe(str(answer.get("error") or "no reason given"))
        raise MetricsError(f"the metrics API refused{mend}: {kind}: {message}", kind, status=status, offered=offered)


async def _bounded(answer: httpx2.Response, where: str) -> bytes:
    """Read a body as far as is allowed, counted as it is unpacked."""
    pieces: list[bytes] = []
    size = 0
    async for piece in answer.aiter_bytes():
        size += len(piece)
        if size > MAX_BYTES:
            raise MetricsError(
                f"{where} answers more than {MAX_BYTES // 1024**2} MiB: aggregate with sum by (...), narrow the "
                "selector, or ask for a shorter time"
            )
        pieces.append(piece)
    return b"".join(pieces)


def _mend(status: int) -> str:
    if status in _NOT_LET_IN:
        return f" (credentials are missing or not enough: {FLAG} FILE gives them)"
    if status in _NOT_OFFERED:
        return " (this API has no such path; is a prefix such as /prometheus missing in --prometheus?)"
    return ""


def _parameter_refused(error: MetricsError) -> bool:
    text = str(error).casefold()
    named = any(name in text for name in _OPTIONAL)
    return error.status in _BAD_REQUEST and named and any(word in text for word in _REFUSALS)


def sample(text: Any) -> Number:
    """Return a sample as Prometheus writes it (text): a number, or `NaN`, `+Inf`, `-Inf`."""
    try:
        value = float(text)
    except (TypeError, ValueError):
        return "NaN"
    return value if abs(value) < float("inf") else float_text(value)
