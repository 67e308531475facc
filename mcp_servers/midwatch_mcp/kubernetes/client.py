"""An async client of the Kubernetes API that speaks raw JSON: the only importer of the `kubernetes` package.

That package is used for what it does best, kubeconfig and credentials (exec plugins, OIDC, certificates) and the
connection pool; its typed models are not, since parsing 1,000 pods into them takes half a second (DESIGN §5). It is
imported at the first call (0.7 s), never at `--help` or at the start of a server.
"""

import asyncio
import importlib
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

from midwatch_mcp.errors import KubeError, UnreachableError
from midwatch_mcp.kubernetes.answers import KubeResponse, kube_error
from midwatch_mcp.kubernetes.connection import Bounds, Connection, check_namespace, connect, placed
from midwatch_mcp.kubernetes.discovery import Discovery, Resource, from_aggregated, from_lists

JSON = "application/json"
STRATEGIC_MERGE = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"

_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
_AGGREGATED = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
)
_DISCOVERY_TTL_S = 300.0
_HTTP_ERROR = 400

Query = Mapping[str, str | int | bool | None]


class KubeClient:
    """One context of one kubeconfig, pinned when first used.

    Closed with `aclose`, after which the next call opens it again. Not for use from two event loops at once.
    """

    def __init__(
        self,
        kubeconfig: Path | None = None,
        context: str | None = None,
        *,
        timeout_s: float = 15.0,
        bounds: Bounds = Bounds(),  # noqa: B008 (frozen)
    ) -> None:
        self._kubeconfig = kubeconfig
        self._context = context
        self._timeout_s = timeout_s
        self._bounds = bounds
        self._api: Connection | None = None
        self._opening = asyncio.Lock()
        self._discovery: Discovery | None = None
        self._discovered = 0.0
        self._cluster: str | None = None

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        content_type: str = JSON,
        query: Query | None = None,
        *,
        accept: str = JSON,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> KubeResponse:
        """Send one request and return its answer. `body` is JSON data for any of the content types above.

        Raises:
            KubeError: for a status of 400 and more.
            UnreachableError: no whole answer; its `may_have_arrived` tells whether the request got out.
            SettingsError: the kubeconfig or context does not work.
        """
        limit = timeout_s or self._timeout_s
        async with self._exchange(method, path, body, content_type, query, accept, headers, limit) as answer:
            content = cast("bytes", await answer.read())
        if answer.status >= _HTTP_ERROR:
            raise kube_error(answer.status, content, answer.headers.get("Retry-After"))
        return KubeResponse(answer.status, {k.lower(): v for k, v in answer.headers.items()}, content)

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, body: Any = None, *, timeout_s: float
    ) -> AsyncGenerator[AsyncIterator[bytes]]:
        """Send one request and hand out the bytes of its answer as they come. Errors as of `request`."""
        async with self._exchange(method, path, body, JSON, None, "*/*", None, timeout_s) as answer:
            if answer.status >= _HTTP_ERROR:
                raise kube_error(answer.status, cast("bytes", await answer.read()))
            yield cast("AsyncIterator[bytes]", answer.content.iter_any())

    @asynccontextmanager
    async def websocket(
        self, path: str, query: Sequence[tuple[str, str]], *, protocols: Sequence[str], timeout_s: float
    ) -> AsyncGenerator[Any]:
        """Open a WebSocket and lend it (`aiohttp.ClientWebSocketResponse`).

        Raises:
            KubeError: the server did not agree to it, so that nothing was started.
            UnreachableError: no whole answer; its `may_have_arrived` tells whether the request got out.
        """
        await self._check_bounds(path)
        api = await self._open()
        url = f"ws{api.host.removeprefix('http')}{path}?{urlencode(query)}"
        sent = await api.headers({}, "GET", path)
        http = importlib.import_module("aiohttp")
        where = f"the Kubernetes API at {api.host}"
        try:
            async with asyncio.timeout(timeout_s):
                socket = await api.session.ws_connect(
                    url, headers=sent, protocols=protocols, autoping=True, **api.proxy
                )
        except http.WSServerHandshakeError as error:
            raise KubeError(error.status, "", f"{path} does not open a WebSocket: {error.message}") from error
        except http.ClientConnectorError as error:
            raise UnreachableError(f"{where} cannot be reached: {error}", may_have_arrived=False) from error
        except TimeoutError as error:
            message = f"{where} did not open {path} within {timeout_s:g} s"
            raise UnreachableError(message, may_have_arrived=True) from error
        except http.ClientError as error:
            raise UnreachableError(f"{where} broke off while opening {path}: {error}", may_have_arrived=True) from error
        try:
            yield socket
        finally:
            await socket.close()

    @asynccontextmanager
    async def _exchange(  # noqa: PLR0917 (private, and always called with all of them)
        self,
        method: str,
        path: str,
        body: Any,
        content_type: str,
        query: Query | None,
        accept: str,
        headers: Mapping[str, str] | None,
        limit: float,
    ) -> AsyncGenerator[Any]:
        """Send a request, lend the answer, and turn what goes wrong on the way into UnreachableError."""
        await self._check_bounds(path)
        api = await self._open()
        given = {"Accept": accept, "Content-Type": content_type, **(headers or {})}
        sent = await api.headers(given, method, path)
        # The standard library's writer leaves a NaN a NaN, which the server refuses; orjson would write a null.
        content = None if body is None else json.dumps(body).encode()
        http = importlib.import_module("aiohttp")
        where = f"the Kubernetes API at {api.host}"
        answer: Any = None
        try:
            async with asyncio.timeout(limit):
                answer = await api.send(method, path + _encoded(query), sent, content)
                yield answer
        except http.ClientConnectorError as error:
            raise UnreachableError(f"{where} cannot be reached: {error}", may_have_arrived=False) from error
        except TimeoutError as error:
            message = f"{where} did not answer {method} {path} within {limit:g} s"
            raise UnreachableError(message, may_have_arrived=True) from error
        except http.ClientError as error:
            message = f"{where} broke off while answering {method} {path}: {error}"
            raise UnreachableError(message, may_have_arrived=True) from error
        finally:
            if answer is not None:
                # A body read to its end went back to the pool; one that was not must not be reused.
                answer.close()

    async def get(self, path: str, query: Query | None = None) -> dict[str, Any]:
        """GET one JSON object."""
        return (await self.request("GET", path, query=query)).object()

    async def list(self, path: str, query: Query | None = None) -> dict[str, Any]:
        """GET a list: `{metadata: {resourceVersion, continue?, remainingItemCount?}, items: [...]}`."""
        found = await self.get(path, query)
        if not isinstance(found.get("items"), list):
            raise KubeError(200, "NotAList", f"{path} answered a {found.get('kind', 'document')}, not a list")
        return found

    async def table(self, path: str, query: Query | None = None) -> dict[str, Any]:
        """GET a `meta.k8s.io/v1` Table: `{columnDefinitions, rows: [{cells, object?}], metadata}`."""
        found = (await self.request("GET", path, query=query, accept=_TABLE)).object()
        if found.get("kind") != "Table":
            raise KubeError(200, "NotATable", f"{path} answered a {found.get('kind', 'document')}, not a Table")
        return found

    async def text(self, path: str, query: Query | None = None) -> str:
        """GET text, such as a log; bytes that are not UTF-8 become U+FFFD."""
        answer = await self.request("GET", path, query=query, accept="text/plain, */*")
        return answer.content.decode("utf-8", errors="replace")

    async def patch(
        self, path: str, body: Any, *, content_type: str = STRATEGIC_MERGE, query: Query | None = None
    ) -> dict[str, Any]:
        """PATCH, and return the object that results."""
        return (await self.request("PATCH", path, body, content_type, query)).object()

    async def create(self, path: str, body: Mapping[str, Any], *, query: Query | None = None) -> dict[str, Any]:
        """POST an object to a collection (or a subresource), and return what results."""
        return (await self.request("POST", path, dict(body), query=query)).object()

    async def delete(
        self, path: str, *, query: Query | None = None, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """DELETE an object; `body` is a DeleteOptions, for instance with `preconditions`."""
        options = None if body is None else dict(body)
        return (await self.request("DELETE", path, options, query=query)).object()

    async def discover(self, *, fresh: bool = False) -> Discovery:
        """Return the kinds that the server has; kept for five minutes unless `fresh`."""
        age = time.monotonic() - self._discovered
        if self._discovery is None or fresh or age > _DISCOVERY_TTL_S:
            self._discovery = await self._read_discovery()
            self._discovered = time.monotonic()
        return self._discovery

    async def cluster_uid(self) -> str:
        """Return the uid of the `kube-system` namespace, which names the cluster (CONTRACTS §5)."""
        if self._cluster is None:
            found = await self.get("/api/v1/namespaces/kube-system")
            uid = cast("dict[str, Any]", found.get("metadata") or {}).get("uid")
            if not uid:
                raise KubeError(200, "NotAnObject", f"kube-system is answered with a {found.get('kind', 'document')}")
            self._cluster = str(uid)
        return self._cluster

    async def aclose(self) -> None:
        """Close the connections."""
        api, self._api = self._api, None
        if api is not None:
            await api.aclose()

    async def _read_discovery(self) -> Discovery:
        roots = [(await self.request("GET", path, accept=_AGGREGATED)).json() for path in ("/api", "/apis")]
        if all(root.get("kind") == "APIGroupDiscoveryList" for root in roots):
            return from_aggregated(roots)
        core, groups = roots
        versions = [("", version, f"/api/{version}") for version in core.get("versions", [])]
        for group in groups.get("groups", []):
            preferred = group.get("preferredVersion", {}).get("version")
            names = sorted((v["version"] for v in group["versions"]), key=lambda version: version != preferred)
            versions += [(group["name"], version, f"/apis/{group['name']}/{version}") for version in names]
        documents = await asyncio.gather(*(self.get(path) for _, _, path in versions))
        return from_lists((group, v, found) for (group, v, _), found in zip(versions, documents, strict=True))

    async def _open(self) -> Connection:
        if self._api is not None:
            return self._api
        async with self._opening:
            if self._api is None:
                await asyncio.to_thread(importlib.import_module, "kubernetes.aio")
                self._api = await connect(self._kubeconfig, self._context, self._bounds)
        return self._api

    async def _check_bounds(self, path: str) -> None:
        """Refuse a path out of the namespaces that this client is kept to, before anything is sent."""
        place = placed(path) if self._bounds.namespaces else None
        if place is not None:
            known = (await self.discover()).resources
            check_namespace(path, self._bounds, namespaced=_namespaced(path, place[1], known))


def _namespaced(path: str, plural: str, known: Iterable[Resource]) -> bool:
    """Say whether a kind lives in namespaces; one that is not known is taken to, so that it is kept back."""
    found = [resource for resource in known if resource.plural == plural and path.startswith(f"{resource.root}/")]
    return found[0].namespaced if found else True


def _encoded(query: Query | None) -> str:
    given = {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in (query or {}).items()
        if value is not None
    }
    return f"?{urlencode(given)}" if given else ""
