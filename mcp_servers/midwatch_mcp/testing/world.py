"""The doubles together, served over HTTP on loopback, with every request written down."""

import json
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.testing.backend import BackendDouble
from midwatch_mcp.testing.cluster import ClusterDouble
from midwatch_mcp.testing.metrics import PREFIX, MetricsDouble

_START_S = 10.0


@dataclass(frozen=True)
class Seen:
    """One request as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    groups: tuple[str, ...] = ()
    """Every `Impersonate-Group`."""


@dataclass
class World:
    """A cluster, its metrics, and what was asked of them."""

    cluster: ClusterDouble = field(default_factory=ClusterDouble)
    metrics: MetricsDouble = field(default_factory=MetricsDouble)
    backends: dict[str, BackendDouble] = field(default_factory=dict[str, BackendDouble])
    """Reached at `<url>/backends/<name>`, beside the pod proxy."""
    seen: list[Seen] = field(default_factory=list[Seen])
    url: str = ""

    def kubeconfig(self, file: Path) -> Path:
        """Write a kubeconfig of two contexts, `double` (current) and `nowhere`, and return its path."""
        config: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "double",
            "clusters": [
                {"name": "double", "cluster": {"server": self.url}},
                {"name": "nowhere", "cluster": {"server": "http://127.0.0.1:1"}},
            ],
            "users": [{"name": "admin", "user": {"token": self.cluster.token}}],
            "contexts": [
                {"name": "double", "context": {"cluster": "double", "user": "admin"}},
                {"name": "nowhere", "context": {"cluster": "nowhere", "user": "admin"}},
            ],
        }
        file.write_text(json.dumps(config), "utf-8")
        file.chmod(0o600)
        return file

    def settings(self, folder: Path) -> ServerSettings:
        """Return settings that reach this world, with their state in `folder`."""
        kubeconfig = self.kubeconfig(folder / "kubeconfig")
        return ServerSettings(state=folder / "state", kubeconfig=kubeconfig, prometheus=self.url + PREFIX)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request as an ASGI application."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        path = request.url.path
        groups = tuple(request.headers.getlist("impersonate-group"))
        self.seen.append(Seen(request.method, path, dict(request.query_params), dict(request.headers), groups))
        response = await self._answer(request, path)
        await response(scope, receive, send)

    async def _answer(self, request: Request, path: str) -> Response:
        if path.startswith(PREFIX):
            return await self.metrics.answer(request)
        if path.startswith("/backends/"):
            name, _, behind = path.removeprefix("/backends/").partition("/")
            return await self.backends[name].answer(request, f"/{behind}")
        return await self.cluster.answer(request)


@dataclass
class Stage:
    """Where worlds are served one after the other, since starting a server costs more than most tests."""

    url: str = ""
    world: World | None = None

    def enter(self, world: World) -> World:
        """Serve this world from here on, in place of the one before."""
        self.world, world.url = world, self.url
        return world

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request to the world on stage."""
        if self.world is not None:
            await self.world(scope, receive, send)


@contextmanager
def stage() -> Generator[Stage]:
    """Serve a stage on a free loopback port."""
    empty = Stage()
    with served(empty) as port:
        empty.url = f"http://127.0.0.1:{port}"
        yield empty


@contextmanager
def served(app: ASGIApp, **options: Any) -> Generator[int]:
    """Serve an application on a free loopback port, which is yielded; `options` are uvicorn's (`ssl_keyfile`)."""
    chosen: dict[str, Any] = {"log_level": "warning", "lifespan": "off", "ws": "none", **options}
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, **chosen))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + _START_S
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise RuntimeError("the doubles did not start to listen on loopback")
        time.sleep(0.005)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(_START_S)
