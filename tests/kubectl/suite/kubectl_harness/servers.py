"""The lab's API on a port, without controllers and processes: what is written is what is read, as on the original."""

import asyncio
import socket
import threading
from collections.abc import Generator
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
from midwatch_lab.files import Certificates
from midwatch_lab.kinds.admission import SERVICE_ACCOUNT
from midwatch_lab.kinds.resources import SERVICES
from midwatch_lab.network.addresses import LoopbackNetwork, service_placer
from midwatch_lab.plane import ControlPlane

_STARTED_S: Final = 20.0


@dataclass(frozen=True)
class Served:
    """Where a lab's API answers, and the tokens of its users."""

    url: str
    tokens: dict[str, str]
    plane: ControlPlane


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
