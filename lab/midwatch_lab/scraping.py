"""What the lab scrapes, and where its load goes: read from Services and pods, as a cluster's monitoring would."""

from midwatch_contracts.entity import Entity
from midwatch_lab.controllers.endpoints import backends, target_port
from midwatch_lab.kinds.resources import PODS, SERVICES
from midwatch_lab.metrics.targets import Target
from midwatch_lab.objects import Object, dig, is_terminating, name_of, namespace_of
from midwatch_lab.store.store import Store


def scrape_targets(store: Store) -> list[Target]:
    """Return every running pod behind a Service, on the port named `http` or the Service's first.

    Labels are those that the prometheus-operator gives to the targets of a ServiceMonitor.
    """
    found: list[Target] = []
    for service in store.items(SERVICES.key):
        port = _metrics_port(service)
        if port is None:
            continue
        namespace = namespace_of(service)
        for backend in backends(service, store.items(PODS.key, namespace)):
            pod = backend.pod
            number = target_port(pod, port)
            if number is None or is_terminating(pod) or dig(pod, "status", "phase") != "Running":
                continue
            address = f"{backend.ip}:{number}"
            labels = {
                "namespace": namespace,
                "pod": name_of(pod),
                "container": _container_of(pod, number),
                "service": name_of(service),
                "endpoint": str(port.get("name") or port.get("targetPort")),
                "job": name_of(service),
                "instance": address,
            }
            found.append(Target(labels, f"http://{address}/metrics"))
    return found


def _metrics_port(service: Object) -> Object | None:
    ports: list[Object] = dig(service, "spec", "ports", default=[])
    return next((port for port in ports if port.get("name") == "http"), ports[0] if ports else None)


def _container_of(pod: Object, number: int) -> str:
    containers: list[Object] = dig(pod, "spec", "containers", default=[])
    for container in containers:
        if any(port.get("containerPort") == number for port in container.get("ports", [])):
            return str(container["name"])
    return str(containers[0]["name"]) if containers else ""


def service_url(store: Store, entity: Entity) -> str | None:
    """Return the base URL of a Service on its cluster address; None where there is no such Service."""
    service = store.get(SERVICES.key, entity.namespace, entity.name) if entity.kind == "Service" else None
    address = dig(service, "spec", "clusterIP")
    port = _metrics_port(service) if service is not None else None
    if address in (None, "", "None") or port is None:
        return None
    return f"http://{address}:{port['port']}"
