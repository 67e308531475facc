"""A control plane with a few objects, behind its API, for tests that draw requests from its OpenAPI documents."""

from typing import Any, Final

from midwatch_contracts.clock import VirtualClock
from midwatch_lab.api.server import ApiServer
from midwatch_lab.api.users import fresh_users
from midwatch_lab.kinds.resources import NAMESPACES
from midwatch_lab.kubelet.logs import ContainerLog
from midwatch_lab.plane import ControlPlane
from midwatch_lab.store.audit import Origin
from midwatch_lab.topology import chat_topology

TESTER: Final = Origin("tester", "create", "/test", manager="tester")
ANSWER_S: Final = 20
_, DEPLOYMENT, SERVICE = chat_topology("llm", "a")
SEEDS: Final[dict[str, dict[str, Any]]] = {
    "/api/v1/namespaces/llm/configmaps": {"metadata": {"name": "a"}, "data": {"a": "b"}},
    "/api/v1/namespaces/llm/secrets": {"metadata": {"name": "a"}, "data": {"a": "YQ=="}},
    "/api/v1/namespaces/llm/services": SERVICE,
    "/api/v1/namespaces/llm/serviceaccounts": {"metadata": {"name": "a"}},
    "/api/v1/namespaces/llm/pods": {"metadata": {"name": "a"}, "spec": DEPLOYMENT["spec"]["template"]["spec"]},
    "/apis/apps/v1/namespaces/llm/deployments": DEPLOYMENT,
    "/apis/coordination.k8s.io/v1/namespaces/llm/leases": {"metadata": {"name": "a"}, "spec": {}},
}
"""What is there before, so that changes and deletions have something to meet."""


class NoLogs:
    def log_of(self, uid: str, container: str, *, previous: bool) -> ContainerLog | None:  # noqa: ARG002 (a protocol)
        return None


def fresh() -> tuple[ControlPlane, ApiServer, str]:
    plane = ControlPlane(VirtualClock())
    plane.registry.create(NAMESPACES, "", {"metadata": {"name": "llm"}}, TESTER)
    users, tokens = fresh_users()
    return plane, ApiServer(plane.registry, plane.clock, users, NoLogs()), tokens["admin"]
