"""The lab's side: a control plane of its own for each case, in this process, without controllers and processes."""

import socket
from collections.abc import Callable
from typing import Final

import httpx2

from contract_harness.original import BINDINGS, bindings
from contract_harness.transport import StreamingTransport
from midwatch_contracts.clock import WallClock
from midwatch_lab.api.server import ApiServer
from midwatch_lab.api.users import fresh_users
from midwatch_lab.kinds.admission import SERVICE_ACCOUNT
from midwatch_lab.kinds.resources import CLUSTER_ROLE_BINDINGS, SERVICES
from midwatch_lab.kubelet.logs import ContainerLog
from midwatch_lab.network.addresses import LoopbackNetwork, service_placer
from midwatch_lab.plane import ControlPlane
from midwatch_lab.store.audit import Origin

_FIRST_VERSION: Final = 7_000_000
"""So that no resourceVersion is mistaken for another number in a message."""

_AGENT: Final = "python-httpx2"


class NoLogs:
    """A log source of a cluster that runs nothing."""

    def log_of(self, uid: str, container: str, *, previous: bool) -> ContainerLog | None:  # noqa: ARG002 (a protocol)
        return None


def fresh_lab() -> Callable[[str | None], httpx2.AsyncClient]:
    """Return what makes clients of a new lab, by user; None sends no token."""
    plane = ControlPlane(WallClock())
    plane.store.version += _FIRST_VERSION
    plane.registry.disabled_plugins = frozenset({SERVICE_ACCOUNT})
    # The service range of the original: a contract is about the API, not about whose addresses are bound here.
    network = LoopbackNetwork("10.96", socket.socket())
    network.release()
    plane.registry.place_service = service_placer(network, lambda: plane.store.items(SERVICES.key))
    users, tokens = fresh_users()
    for body in bindings():
        plane.registry.create(CLUSTER_ROLE_BINDINGS, "", body, Origin("admin", "create", BINDINGS, manager=_AGENT))
    transport = StreamingTransport(ApiServer(plane.registry, plane.clock, users, NoLogs()))

    def client(user: str | None) -> httpx2.AsyncClient:
        headers = {"Authorization": f"Bearer {tokens.get(user, 'nobody')}"} if user else {}
        return httpx2.AsyncClient(transport=transport, base_url="https://lab", headers=headers, timeout=30)

    return client
