"""The exporters of a running lab."""

from collections.abc import Callable

from midwatch_lab.api.requests import RequestCounts
from midwatch_lab.exporters.apiserver import ApiServerMetrics
from midwatch_lab.exporters.cadvisor import Cadvisor
from midwatch_lab.exporters.kubelet import KubeletMetrics
from midwatch_lab.exporters.machine.exporter import Machine
from midwatch_lab.exporters.state.allowlist import Allowed
from midwatch_lab.exporters.state.kinds import StateMetrics
from midwatch_lab.exporters.throttling import waits
from midwatch_lab.kinds.resources import PODS
from midwatch_lab.kubelet.kubelet import Kubelet
from midwatch_lab.metrics.local import Exporter
from midwatch_lab.metrics.store import Store


def lab_exporters(
    kubelet: Kubelet, requests: RequestCounts, allowed: Allowed, scraped: Callable[[], Store]
) -> tuple[Exporter, ...]:
    """Return the targets of a kube-prometheus stack that are parts of the lab: one a job, two a node's kubelet.

    `scraped` is the store of samples, where containers' own figures are.
    """
    store, nodes = kubelet.registry.store, kubelet.nodes.items()

    def containers(name: str, address: str) -> Exporter:
        pods, now = (lambda: store.items(PODS.key)), kubelet.clock.now
        return Cadvisor(name, address, kubelet.usage, pods, lambda: waits(scraped(), now())).exporter

    return (
        StateMetrics(store, allowed).exporter,
        ApiServerMetrics(requests).exporter,
        Machine(kubelet.clock).exporter,
        *(KubeletMetrics(name, address, kubelet.load_of).exporter for name, address in nodes),
        *(containers(name, address) for name, address in nodes),
    )
