"""What the lab scrapes where it is told nothing else, and where its load goes: the pods behind Services."""

from typing import Final

from midwatch_contracts.entity import Entity
from midwatch_lab.discovery_labels import ENDPOINT, METRICS_PORT, metrics_port
from midwatch_lab.kinds.resources import SERVICES
from midwatch_lab.metrics.relabelling import Rule
from midwatch_lab.metrics.scrape_config import Discovery, Job
from midwatch_lab.objects import dig
from midwatch_lab.store.store import Store

_META: Final = "__meta_kubernetes_"
_NAMED: Final = {
    "namespace": f"{_META}namespace",
    "service": f"{_META}service_name",
    "pod": f"{_META}pod_name",
    "container": f"{_META}pod_container_name",
    "job": f"{_META}service_name",
    "endpoint": ENDPOINT,
}
SERVICES_JOB: Final = Job(
    "services",
    kubernetes=(Discovery("endpoints"),),
    yielding=True,
    relabel=(
        Rule("keep", (METRICS_PORT,), regex="true"),
        Rule("keep", (f"{_META}pod_phase",), regex="Running"),
        *(Rule(source_labels=(source,), target_label=name) for name, source in _NAMED.items()),
    ),
)
"""Every running pod behind a Service, on the port named `http` or the Service's first, with the labels that the
prometheus-operator gives to the targets of a ServiceMonitor."""


def service_url(store: Store, entity: Entity) -> str | None:
    """Return the base URL of a Service on its cluster address; None where there is no such Service."""
    service = store.get(SERVICES.key, entity.namespace, entity.name) if entity.kind == "Service" else None
    address = dig(service, "spec", "clusterIP")
    port = metrics_port(service) if service is not None else None
    if address in (None, "", "None") or port is None:
        return None
    return f"http://{address}:{port['port']}"
