"""The lab in a thread: its API alone, where what is written is what is read; or whole, with small processes as pods."""

import asyncio
import socket
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvicorn

from contract_harness.lab import NoLogs
from midwatch_contracts.clock import WallClock
from midwatch_lab.api.connections import HttpProtocol, StreamProtocol
from midwatch_lab.api.server import ApiServer
from midwatch_lab.api.users import fresh_users
from midwatch_lab.files import Certificates, LabInfo
from midwatch_lab.kinds.admission import SERVICE_ACCOUNT
from midwatch_lab.kinds.resources import SERVICES
from midwatch_lab.kubelet.commands import ContainerContext
from midwatch_lab.lab import Lab, LabOptions
from midwatch_lab.network.addresses import LoopbackNetwork, service_placer
from midwatch_lab.plane import ControlPlane

_STARTED_S: Final = 20.0
_FAKE: Final = str(Path(__file__).parents[3] / "lab_kube" / "fake_pod.py")


@dataclass(frozen=True)
class Served:
    """Where a lab's API answers, and the tokens of its users."""

    url: str
    tokens: dict[str, str]
    plane: ControlPlane


def play(context: ContainerContext) -> Sequence[str]:
    """Run what a container asks for where that is a shell or `cat`, else the small server of the lab's tests."""
    if context.arguments[:1] in (("sh",), ("cat",)):
        return context.arguments
    return [sys.executable, _FAKE, *context.arguments, "--host", context.ip, "--port", str(context.port)]


@contextmanager
def whole_lab(folder: Path) -> Generator[LabInfo]:
    """Run a lab with controllers and processes from a thread until the block ends."""
    ready: Future[tuple[LabInfo, Callable[[], None]]] = Future()

    async def run() -> None:
        lab = Lab(LabOptions(folder, process_command=play, backoff_start_s=0.5))
        try:
            info = await lab.start()
            loop = asyncio.get_running_loop()
            ready.set_result((info, lambda: loop.call_soon_threadsafe(lab.end) and None))
            await lab.wait()
        finally:
            await lab.stop()

    thread = threading.Thread(target=lambda: asyncio.run(run()), name="lab")
    thread.start()
    info, end = ready.result(_STARTED_S)
    try:
        yield info
    finally:
        end()
        thread.join()


class _Server(uvicorn.Server):
    """Says when it answers; leaves signals alone."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets)
        self.ready.set()


@contextmanager
def lab_api(folder: Path) -> Generator[Served]:
    """Serve a fresh control plane from a thread until the block ends; over TLS, or kubectl sends no token."""
    certificates = Certificates.generate()
    (folder / "cert.pem").write_bytes(certificates.certificate)
    (folder / "key.pem").write_bytes(certificates.key)
    plane = ControlPlane(WallClock())
    plane.registry.disabled_plugins = frozenset({SERVICE_ACCOUNT})
    network = LoopbackNetwork("10.96", socket.socket())
    network.release()
    plane.registry.place_service = service_placer(network, lambda: plane.store.items(SERVICES.key))
    users, tokens = fresh_users()
    app = ApiServer(plane.registry, plane.clock, users, NoLogs())
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app,
        http=HttpProtocol,
        ws=StreamProtocol,
        lifespan="off",
        log_config=None,
        timeout_graceful_shutdown=1,
        ssl_certfile=folder / "cert.pem",
        ssl_keyfile=folder / "key.pem",
    )
    server = _Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])), name="lab api")
    thread.start()
    try:
        assert server.ready.wait(_STARTED_S)
        yield Served(f"https://127.0.0.1:{listening.getsockname()[1]}", tokens, plane)
    finally:
        server.should_exit = True
        thread.join()
