"""An async client of the Prometheus HTTP API: https://prometheus.io/docs/prometheus/latest/querying/api/."""

import ssl
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlsplit

import httpx2
import orjson

from midwatch_contracts.canonical import float_text
from midwatch_contracts.untrusted import clean
from midwatch_mcp.errors import MetricsError, SettingsError, UnreachableError
from midwatch_mcp.redact import redact_text
from midwatch_mcp.shapes import Number

_SHOWN = 500
_LONG_QUERY = 2_000


class PrometheusClient:
    """One base URL, such as `http://127.0.0.1:9090` or `.../prometheus`. Opens at the first call, again after `aclose`.

    A user and password in the URL are sent as basic authentication and shown nowhere.
    """

    def __init__(self, url: str | None, *, timeout_s: float = 15.0, transport: Any = None) -> None:
        self._url = None if url is None else url.rstrip("/")
        self._timeout_s = timeout_s
        self._transport = transport
        self._http: httpx2.AsyncClient | None = None

    async def get(self, path: str, query: Mapping[str, str | int | float | None] | None = None) -> Any:
        """GET `/api/v1/<path>` and return its `data`.

        Raises:
            MetricsError: the API answered with an error.
            UnreachableError: nothing answered, or not in time.
            SettingsError: no URL was given.
        """
        return (await self._answer("GET", path, query)).get("data")

    async def query(self, path: str, query: Mapping[str, str | int | float | None]) -> tuple[dict[str, Any], list[str]]:
        """Return the `data` and the warnings of a query; a long one is sent as a form, since URLs have limits."""
        long = len(str(query.get("query") or "")) > _LONG_QUERY
        answer = await self._answer("POST" if long else "GET", path, query)
        return cast("dict[str, Any]", answer.get("data") or {}), cast("list[str]", answer.get("warnings") or [])

    async def aclose(self) -> None:
        """Close the connections."""
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

    async def _answer(
        self, method: str, path: str, query: Mapping[str, str | int | float | None] | None
    ) -> dict[str, Any]:
        http = self._open()
        given = {name: str(value) for name, value in (query or {}).items() if value is not None}
        where = f"{self._shown()}/api/v1/{path}"
        carried: dict[str, Any] = {"params": given} if method == "GET" else {"data": given}
        try:
            answer = await http.request(method, f"/api/v1/{path}", **carried)
        except httpx2.TimeoutException as error:
            message = f"{where} did not answer within {self._timeout_s:g} s"
            raise UnreachableError(message, may_have_arrived=True) from error
        except httpx2.TransportError as error:
            raise UnreachableError(f"{where} cannot be reached: {error}", may_have_arrived=False) from error
        return _document(answer.content, answer.status_code, where)

    def _open(self) -> httpx2.AsyncClient:
        if self._url is None:
            raise SettingsError("no metrics to ask: give --prometheus URL, or --lab for a running lab")
        if self._http is None:
            parts = urlsplit(self._url)
            if parts.scheme not in {"http", "https"} or not parts.hostname:
                raise SettingsError(f"{self._shown()!r} is no URL of a Prometheus API: write http://host:port")
            self._http = httpx2.AsyncClient(
                base_url=self._url,
                timeout=self._timeout_s,
                transport=self._transport,
                trust_env=not loopback(parts.hostname),
                verify=ssl.create_default_context() if parts.scheme == "https" else False,
            )
        return self._http

    def _shown(self) -> str:
        """Return the URL without user and password."""
        parts = urlsplit(self._url or "")
        host = parts.netloc.rpartition("@")[2]
        return parts._replace(netloc=host, query="", fragment="").geturl()


def loopback(host: str) -> bool:
    """Say whether a host is this machine; a proxy named by the environment must not see what goes there."""
    return host in {"localhost", "::1"} or host.startswith("127.")


def sample(text: Any) -> Number:
    """Return a sample as Prometheus writes it (text): a number, or `NaN`, `+Inf`, `-Inf`."""
    try:
        value = float(text)
    except (TypeError, ValueError):
        return "NaN"
    return value if abs(value) < float("inf") else float_text(value)


def _document(content: bytes, status: int, where: str) -> dict[str, Any]:
    try:
        found: Any = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        shown = redact_text(clean(content[:_SHOWN].decode("utf-8", errors="replace"))).strip() or "an empty body"
        raise MetricsError(f"{where} answered HTTP {status} and no JSON: {shown}") from error
    if not isinstance(found, dict) or cast("dict[str, Any]", found).get("status") not in {"success", "error"}:
        raise MetricsError(f"{where} answered HTTP {status} and not as a Prometheus API does")
    answer = cast("dict[str, Any]", found)
    if answer["status"] == "error":
        kind, message = str(answer.get("errorType") or ""), str(answer.get("error") or "no reason given")
        raise MetricsError(f"the metrics API refused: {kind}: {clean(message)}", kind)
    return answer
