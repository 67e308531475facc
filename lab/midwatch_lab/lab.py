"""The lab, assembled: a store behind an API server, controllers, a kubelet, a balancer, metrics, load and faults."""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Coroutine, Generator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from midwatch_contracts.clock import Clock, WallClock
from midwatch_contracts.promql import DEFAULT_FEATURES, Features
from midwatch_lab.access.bootstrap import made_by_server
from midwatch_lab.alertmanager.api import alertmanager_app
from midwatch_lab.alertmanager.config import Config as AlertmanagerConfig
from midwatch_lab.alertmanager.service import Alertmanager
from midwatch_lab.api.connections import HttpProtocol, StreamProtocol, end_connections
from midwatch_lab.api.lab_routes import LabRoutes
from midwatch_lab.api.server import ApiServer
from midwatch_lab.api.users import bind_users, fresh_users
from midwatch_lab.controllers.volumes import STANDARD
from midwatch_lab.discovery import Discoverer
from midwatch_lab.errors import AddressError, LabError
from midwatch_lab.exporters.assembly import lab_exporters
from midwatch_lab.exporters.state.allowlist import Allowed
from midwatch_lab.faults import Faults
from midwatch_lab.files import (
    CERTIFICATE,
    CERTIFICATE_KEY,
    KUBECONFIG,
    LAB_FILE,
    MIDWATCH_KUBECONFIG,
    Certificates,
    LabInfo,
    kubeconfig,
    remove_files,
    write_lab_key,
    write_private,
)
from midwatch_lab.kinds.resources import NAMESPACES, SERVICES, STORAGE_CLASSES
from midwatch_lab.kubelet.commands import ProcessCommand, serving_command
from midwatch_lab.kubelet.container import BACKOFF_START_S
from midwatch_lab.kubelet.kubelet import Kubelet
from midwatch_lab.load.service import LoadService
from midwatch_lab.manifests.loading import load
from midwatch_lab.manifests.reading import Manifest
from midwatch_lab.metrics.engine.evaluate import Limits
from midwatch_lab.metrics.retention import Retention
from midwatch_lab.metrics.scrape_config import Job
from midwatch_lab.metrics.service import MetricsService
from midwatch_lab.network.addresses import LoopbackNetwork, service_placer
from midwatch_lab.network.balancer import Balancer
from midwatch_lab.network.earlier import earlier_network, move_services
from midwatch_lab.objects import name_of, uid_of
from midwatch_lab.plane import ControlPlane
from midwatch_lab.scraping import SERVICES_JOB, service_url
from midwatch_lab.store.journal import Journal, NoJournal
from midwatch_lab.store.sqlite import SqliteJournal

_LOG = logging.getLogger(__name__)
_HOST: Final = "127.0.0.1"
_QUERY_S: Final = 20.0
"""How long a query may hold up the rest of the lab, which answers in the same process."""
_HEADERS_MAX: Final = 256 * 1024


@dataclass(frozen=True)
class LabOptions:
    """How a lab is to be. `dir` gets its files; port 0 takes a free one."""

    dir: Path
    port: int = 0
    rules: str | None = None
    """A Prometheus rule file's text."""
    alertmanager: AlertmanagerConfig | None = None
    """Who is told of alerts; None for a lab that tells nobody."""
    nodes: int | tuple[str, ...] = 2
    """How many, or their names."""
    process_command: ProcessCommand = serving_command
    backoff_start_s: float = BACKOFF_START_S
    store: Path | None = None
    """The file that keeps the objects; None for a lab that lives in memory."""
    promql: Features = DEFAULT_FEATURES
    """The experimental parts of PromQL that its Prometheus reads."""
    scrape: tuple[Job, ...] = (SERVICES_JOB,)
    """What its Prometheus scrapes."""
    remote_write: bool = False
    """Its Prometheus takes samples from others."""
    metric_labels: Allowed = field(default_factory=dict[str, tuple[str, ...]])
    """The labels of objects that their metrics have too, by kind."""
    retention: Retention = field(default_factory=Retention)
    """When the samples of its Prometheus go."""
    manifests: tuple[Manifest, ...] = ()
    """What is applied before the lab answers."""


class _Server(uvicorn.Server):
    """A server that leaves signals to the lab."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """Take no signal."""
        yield


class Lab:
    """A running lab. `start`, then `wait` until something ends it, then `stop`."""

    def __init__(self, options: LabOptions, clock: Clock | None = None) -> None:
        self.options = options
        self.clock: Clock = clock or WallClock()
        self._journal: Journal = NoJournal() if options.store is None else SqliteJournal(options.store)
        try:
            self.plane = ControlPlane(self.clock, self._journal)
            self.store, self.registry = self.plane.store, self.plane.registry
            self.network = LoopbackNetwork.take(earlier_network(self.store))
            move_services(self.store, self.network)
        except LabError:
            self._journal.close()
            raise
        self.registry.place_service = service_placer(self.network, lambda: self.store.items(SERVICES.key))
        self.kubelet = Kubelet(
            self.registry,
            self.clock,
            self.plane.recorder,
            self.network,
            self.plane.usage,
            nodes=options.nodes,
            process_command=options.process_command,
            backoff_start_s=options.backoff_start_s,
        )
        self.balancer = Balancer(self.store, tuple(self.kubelet.nodes.values()))
        self.users, self.tokens = fresh_users()
        bind_users(self.registry)
        if self.registry.find(STORAGE_CLASSES, "", name_of(STANDARD)) is None:
            self.registry.create(STORAGE_CLASSES, "", STANDARD, made_by_server(STORAGE_CLASSES))
        self.api = ApiServer(self.registry, self.clock, self.users, self.kubelet, self.kubelet, self.plane.usage)
        self.faults = Faults(self.registry)
        self.metrics = MetricsService(
            self.clock,
            Discoverer(self.store, options.scrape).targets,
            lab_exporters(self.kubelet, self.api.requests, options.metric_labels, lambda: self.metrics.store),
            retention=options.retention,
            limits=Limits(step_ms=1000, timeout_s=_QUERY_S, features=options.promql),
            jobs=options.scrape,
            remote_write=options.remote_write,
        )
        self.alertmanager = (
            None
            if options.alertmanager is None
            else Alertmanager.over(self.metrics.rules, self.clock, options.alertmanager)
        )
        self.load = LoadService(self.clock, lambda entity: service_url(self.store, entity))
        self._tasks: list[asyncio.Task[None]] = []
        self._servers: list[_Server] = []
        self._ended = asyncio.Event()
        self._stack = contextlib.AsyncExitStack()

    async def start(self) -> LabInfo:
        """Start everything and return where it answers; the files are written last.

        Raises:
            AddressError: when the port is in use.
            LabError: when the rules or the manifests cannot be loaded.
        """
        self.options.dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        plain = _listen(self.options.port)
        secure = _listen(0)
        if self.options.rules is not None:
            self.metrics.set_rules(self.options.rules)
        if self.options.manifests:
            await load(self._rehearsal(), self.api, self.tokens["admin"], self.options.manifests)
        await self._stack.enter_async_context(self.plane.running())
        self._spawn(self.balancer.run(), "balancer")
        self._spawn(self.metrics.run(), "metrics")
        if self.alertmanager is not None:
            self._spawn(self.alertmanager.run(), "alertmanager")
        self.kubelet.start()
        info = self._describe(plain, secure)
        self.metrics.rules.external_url = info.prometheus
        app = self._app(info)
        folder = self.options.dir
        await self._serve(_server_config(app), plain)
        await self._serve(_server_config(app, folder / CERTIFICATE, folder / CERTIFICATE_KEY), secure)
        write_private(folder / LAB_FILE, _json_text(info))
        return info

    def end(self) -> None:
        """Have `wait` return."""
        self._ended.set()

    async def wait(self) -> None:
        """Return once the lab is to end."""
        await self._ended.wait()

    async def stop(self) -> None:
        """End every process, every connection and every task, and take the files away."""
        self.api.closing.set()
        await self.load.close()
        for server in self._servers:
            server.should_exit = True
        await self.kubelet.stop()
        for task in self._tasks:
            if task.get_name() != "server":
                task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for server in self._servers:
            await end_connections(server.server_state.connections)
        await self._stack.aclose()
        await self.api.proxy.close()
        self.network.release()
        self._journal.close()
        remove_files(self.options.dir)

    def _rehearsal(self) -> ApiServer:
        """Return an API server over a copy of the control plane, which nothing else reads or follows."""
        plane = ControlPlane(self.clock, NoJournal(self.store.saved()))
        plane.registry.place_service = service_placer(self.network, lambda: plane.store.items(SERVICES.key))
        return ApiServer(plane.registry, self.clock, self.users, self.kubelet)

    def _describe(self, plain: socket.socket, secure: socket.socket) -> LabInfo:
        folder = self.options.dir
        certificates = Certificates.generate()
        server = f"https://{_HOST}:{secure.getsockname()[1]}"
        write_private(folder / CERTIFICATE, certificates.certificate)
        write_private(folder / CERTIFICATE_KEY, certificates.key)
        for name, user in ((KUBECONFIG, "admin"), (MIDWATCH_KUBECONFIG, "midwatch")):
            write_private(folder / name, kubeconfig(server, certificates.authority, user, self.tokens[user]))
        write_lab_key(folder)
        url = f"http://{_HOST}:{plain.getsockname()[1]}"
        return LabInfo(
            url=url,
            prometheus=f"{url}/prometheus",
            kubeconfig=folder / KUBECONFIG,
            midwatch_kubeconfig=folder / MIDWATCH_KUBECONFIG,
            cluster=uid_of(self.registry.read(NAMESPACES, "", "kube-system")),
            pid=os.getpid(),
            dir=folder,
            tokens=self.tokens,
        )

    def _app(self, info: LabInfo) -> Starlette:
        health = {"pid": info.pid, "cluster": info.cluster}
        routes = LabRoutes(self.users, self.store.audit, self.faults, self.load, self.metrics, health)
        mounts = [Mount("/prometheus", app=self.metrics.app), Mount("/", app=self.api)]
        if self.alertmanager is not None:
            self.alertmanager.dispatcher.external_url = f"{info.url}/alertmanager"
            mounts.insert(0, Mount("/alertmanager", app=alertmanager_app(self.alertmanager.dispatcher)))
        return Starlette(routes=[*routes.routes(), *mounts])

    async def _serve(self, config: uvicorn.Config, listening: socket.socket) -> None:
        server = _Server(config)
        self._servers.append(server)
        self._spawn(server.serve(sockets=[listening]), "server")
        while not server.started:  # noqa: ASYNC110 (uvicorn tells by this flag alone)
            await asyncio.sleep(0.005)

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._over)
        self._tasks.append(task)

    def _over(self, task: asyncio.Task[None]) -> None:
        """End the lab when one of its parts fails, since half a lab misleads."""
        if not task.cancelled() and task.exception() is not None:
            _LOG.error("the lab ends: its %s failed", task.get_name(), exc_info=task.exception())
            self.end()


def _server_config(app: Starlette, certificate: Path | None = None, key: Path | None = None) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=HttpProtocol,
        ws=StreamProtocol,
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        lifespan="off",
        log_config=None,
        access_log=False,
        # As kube-apiserver: a client that keeps its connections for less long never writes into one that just ended.
        timeout_keep_alive=90,
        timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=_HEADERS_MAX,
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )


def _listen(port: int) -> socket.socket:
    # By its protocol asyncio knows that it may send at once: else a small answer waits 40 ms for the client's ACK.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((_HOST, port))
    except OSError as error:
        listening.close()
        raise AddressError(
            f"port {port} on {_HOST} cannot be had: {error.strerror}; give another, or --port 0"
        ) from error
    return listening


def _json_text(info: LabInfo) -> bytes:

    return orjson.dumps(info.to_json(), option=orjson.OPT_INDENT_2) + b"\n"
