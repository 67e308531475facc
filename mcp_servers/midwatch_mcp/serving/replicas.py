"""How the serving tools reach replicas: the pods behind a Service through the API server's pod proxy, or one URL."""

import asyncio
import ipaddress
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, cast
from urllib.parse import urlsplit

import httpx2
import orjson

from midwatch_contracts.untrusted import clean
from midwatch_mcp.errors import KubeError, RefusedError, ServingError, UnreachableError, UpstreamError
from midwatch_mcp.kubernetes.backends import backends
from midwatch_mcp.kubernetes.client import KubeClient
from midwatch_mcp.kubernetes.room import KubeRoom, at, ready
from midwatch_mcp.redact import redact_text

ResultT = TypeVar("ResultT")

NOT_OFFERED = 404
"""The status of a path that a backend does not have."""
MAX_REPLICAS = 64
"""Replicas that one call asks; a larger fleet is read through metrics."""
MAX_BYTES = 8 * 1024 * 1024
"""Of one answer of a replica."""
TIMEOUT_S = 5.0
"""For one answer of a replica."""
WHOLE_S = 15.0
"""For all replicas together: those that have not answered by then are told as such beside those that have."""
_TOGETHER = 16
_METADATA = frozenset({"metadata", "metadata.google.internal", "instance-data", "instance-data.ec2.internal"})
_SHOWN = 300
_HTTP_ERROR = 300
"""Redirects too: they are not followed."""


@dataclass(frozen=True)
class Reply:
    """A successful answer of a replica. Header names are lower case."""

    headers: Mapping[str, str]
    content: bytes

    def json(self) -> dict[str, Any]:
        """Return the JSON object of the body.

        Raises:
            ServingError: when it is none.
        """
        try:
            found: Any = orjson.loads(self.content)
        except orjson.JSONDecodeError:
            found = None
        if not isinstance(found, dict):
            raise ServingError(f"the answer is no JSON object: {self.shown()}")
        return cast("dict[str, Any]", found)

    def shown(self) -> str:
        """Return the beginning of the body, fit to be read."""
        return _shown(self.content)


class Replica(Protocol):
    """One serving process."""

    @property
    def name(self) -> str:
        """The pod's name, or the URL's host and port."""
        ...

    @property
    def ready(self) -> bool:
        """Whether it takes traffic, as far as the cluster knows."""
        ...

    @property
    def spec(self) -> Mapping[str, Any] | None:
        """The pod, where there is one."""
        ...

    async def get(self, path: str) -> Reply:
        """GET a path.

        Raises:
            ServingError: it answered with an error status.
            UpstreamError: it could not be reached.
        """
        ...

    def post(
        self, path: str, body: Mapping[str, Any], timeout_s: float
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """POST JSON and hand out the answer's bytes as they come.

        Raises:
            ServingError: it answered with an error status.
            UpstreamError: it could not be reached.
        """
        ...


@dataclass(frozen=True)
class PodReplica:
    """A pod, reached through `pods/proxy`."""

    client: KubeClient
    pod: Mapping[str, Any]
    port: int

    @property
    def name(self) -> str:
        """Return the pod's name."""
        return str(at(self.pod, "metadata", "name"))

    @property
    def ready(self) -> bool:
        """Return whether the pod is Ready."""
        return ready(self.pod)

    @property
    def spec(self) -> Mapping[str, Any] | None:
        """Return the pod."""
        return self.pod

    async def get(self, path: str) -> Reply:
        """GET through the proxy."""
        try:
            answer = await self.client.request("GET", self._path(path), accept="*/*", timeout_s=TIMEOUT_S)
        except KubeError as error:
            raise ServingError(f"GET {path} answered HTTP {error.status}: {error.message}", error.status) from error
        return Reply(answer.headers, answer.content)

    @asynccontextmanager
    async def post(self, path: str, body: Mapping[str, Any], timeout_s: float) -> AsyncGenerator[AsyncIterator[bytes]]:
        """POST through the proxy."""
        try:
            async with self.client.stream("POST", self._path(path), dict(body), timeout_s=timeout_s) as chunks:
                yield chunks
        except KubeError as error:
            raise ServingError(f"POST {path} answered HTTP {error.status}: {error.message}", error.status) from error

    def _path(self, path: str) -> str:
        namespace = at(self.pod, "metadata", "namespace")
        return f"/api/v1/namespaces/{namespace}/pods/{self.name}:{self.port}/proxy{path}"


@dataclass(frozen=True)
class UrlReplica:
    """A serving endpoint by URL."""

    http: httpx2.AsyncClient
    url: str

    @property
    def name(self) -> str:
        """Return host and port."""
        return urlsplit(self.url).netloc

    @property
    def ready(self) -> bool:
        """Nothing tells otherwise."""
        return True

    @property
    def spec(self) -> Mapping[str, Any] | None:
        """There is no pod."""
        return None

    async def get(self, path: str) -> Reply:
        """GET directly."""
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                self.http.stream("GET", self.url + path, timeout=TIMEOUT_S) as answer,
            ):
                content = await self._read(answer)
        except (httpx2.TimeoutException, TimeoutError) as error:
            raise UnreachableError(f"{self.name} did not answer GET {path} in time", may_have_arrived=True) from error
        except (httpx2.TransportError, httpx2.DecodingError) as error:
            told = str(error) or type(error).__name__
            raise UnreachableError(f"{self.name} cannot be reached: {told}", may_have_arrived=True) from error
        if answer.status_code >= _HTTP_ERROR:
            raise ServingError(f"GET {path} answered HTTP {answer.status_code}: {_shown(content)}", answer.status_code)
        return Reply({k.lower(): v for k, v in answer.headers.items()}, content)

    async def _read(self, answer: httpx2.Response) -> bytes:
        content = bytearray()
        async for piece in answer.aiter_bytes():
            content += piece
            if len(content) > MAX_BYTES:
                raise ServingError(f"{self.name} answers more than {MAX_BYTES // 1024**2} MiB")
        return bytes(content)

    @asynccontextmanager
    async def post(self, path: str, body: Mapping[str, Any], timeout_s: float) -> AsyncGenerator[AsyncIterator[bytes]]:
        """POST directly."""
        try:
            async with self.http.stream("POST", self.url + path, json=dict(body), timeout=timeout_s) as answer:
                if answer.status_code >= _HTTP_ERROR:
                    shown = _shown(await answer.aread())
                    raise ServingError(f"POST {path} answered HTTP {answer.status_code}: {shown}", answer.status_code)
                yield answer.aiter_bytes()
        except httpx2.TransportError as error:
            raise UnreachableError(f"{self.name} broke off: {error}", may_have_arrived=True) from error


@dataclass
class ServingRoom:
    """The cluster whose Services are asked, and a client for URLs."""

    kube: KubeRoom
    _http: httpx2.AsyncClient | None = field(default=None, init=False)

    async def replicas(self, namespace: str | None, service: str | None, url: str | None) -> list[Replica]:
        """Return the replicas behind a Service, or the one behind a URL.

        Raises:
            RefusedError: neither, or both, or a URL that must not be asked.
        """
        if url is not None and (namespace is not None or service is not None):
            raise RefusedError("give either namespace and service, or url, not both")
        if url is not None:
            return [UrlReplica(self._open(), checked_url(url))]
        if namespace is None or service is None:
            raise RefusedError("give namespace and service of the Service whose replicas are meant, or url")
        found = await backends(self.kube, namespace, service)
        replicas: list[Replica] = []
        for pod in found.pods[:MAX_REPLICAS]:
            port = found.port(pod)
            if port is None:
                raise RefusedError(
                    f"Service/{namespace}/{service} names a port that pod {at(pod, 'metadata', 'name')} lacks"
                )
            replicas.append(PodReplica(self.kube.client, pod, port))
        if not replicas:
            raise RefusedError(f"no pod stands behind Service/{namespace}/{service}: see kube_topology")
        return replicas

    async def aclose(self) -> None:
        """Close the connections."""
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()
        await self.kube.client.aclose()

    def _open(self) -> httpx2.AsyncClient:
        if self._http is None:
            self._http = httpx2.AsyncClient(
                timeout=TIMEOUT_S, follow_redirects=False, trust_env=False, verify=ssl.create_default_context()
            )
        return self._http


def checked_url(url: str) -> str:
    """Return a base URL that may be asked, without a trailing slash.

    Link-local addresses are refused: that is where clouds keep the credentials of a machine.

    Raises:
        RefusedError: it is none, carries a user or query, or is link-local.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme not in {"http", "https"} or not host or parts.username or parts.query or parts.fragment:
        raise RefusedError(f"{url!r} is no base URL of a serving backend: write http://host:port")
    try:
        local = ipaddress.ip_address(host).is_link_local
    except ValueError:
        local = host in _METADATA
    if local:
        raise RefusedError(f"{host} is not asked: link-local and metadata addresses are out of bounds")
    return url.rstrip("/")


async def ask_all(
    replicas: Sequence[Replica], ask: Callable[[Replica], Awaitable[ResultT]]
) -> list[ResultT | UpstreamError]:
    """Ask every replica, a few at a time, for as long as a call may take.

    An answer is a result, or the UpstreamError in its place: a replica that hangs costs the others nothing.
    """
    turn = asyncio.Semaphore(_TOGETHER)

    async def one(replica: Replica) -> ResultT | UpstreamError:
        async with turn:
            try:
                return await ask(replica)
            except UpstreamError as error:
                return error

    asked = [asyncio.create_task(one(replica)) for replica in replicas]
    try:
        done, _ = await asyncio.wait(asked, timeout=WHOLE_S)
    finally:
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    late = UnreachableError(f"no answer within the {WHOLE_S:g} s of this call", may_have_arrived=True)
    return [task.result() if task in done else late for task in asked]


def _shown(content: bytes) -> str:
    return redact_text(clean(content[:_SHOWN].decode("utf-8", errors="replace"))).strip() or "an empty body"
