"""Services, endpoints, ingresses and network policies."""

from collections.abc import Iterator
from typing import Final

from midwatch_lab.exporters.family import Family, Point
from midwatch_lab.exporters.state.kind import NAME, NAMESPACE, UID, Kind
from midwatch_lab.exporters.state.reading import count, created, one, resource_version, words
from midwatch_lab.kinds.resources import ENDPOINTS, INGRESSES, NETWORK_POLICIES, SERVICES
from midwatch_lab.objects import Object, annotations_of, dig

_PORT_LABELS: Final = ("port_name", "port_protocol", "port_number")


def _external_ips(service: Object) -> Iterator[Point]:
    for address in dig(service, "spec", "externalIPs", default=[]):
        yield {"external_ip": address}, 1.0


def _balancers(service: Object) -> Iterator[Point]:
    for item in dig(service, "status", "loadBalancer", "ingress", default=[]):
        yield {"ip": item.get("ip", ""), "hostname": item.get("hostname", "")}, 1.0


def _port(port: Object) -> dict[str, str]:
    return {
        "port_name": port.get("name", ""),
        "port_protocol": port.get("protocol", ""),
        "port_number": str(port.get("port", "")),
    }


def _subsets(item: Object) -> list[Object]:
    return dig(item, "subsets", default=[])


def _addresses(item: Object) -> Iterator[Point]:
    for subset in _subsets(item):
        for port in subset.get("ports", []):
            for key, ready in (("addresses", "true"), ("notReadyAddresses", "false")):
                for address in subset.get(key, []):
                    yield {**_port(port), "ip": address["ip"], "ready": ready}, 1.0


def _endpoint_ports(item: Object) -> Iterator[Point]:
    for subset in _subsets(item):
        for port in subset.get("ports", []):
            yield _port(port), 1.0


def _ingress_info(item: Object) -> Iterator[Point]:
    named = annotations_of(item).get("kubernetes.io/ingress.class")
    yield {"ingressclass": named or dig(item, "spec", "ingressClassName") or "_default"}, 1.0


def _paths(item: Object) -> Iterator[Point]:
    for rule in dig(item, "spec", "rules", default=[]):
        for path in dig(rule, "http", "paths", default=[]):
            labels = {"host": rule.get("host", ""), "path": path.get("path", "")}
            service, other = dig(path, "backend", "service"), dig(path, "backend", "resource", default={})
            if service is not None:
                port = str(dig(service, "port", "number", default=0))
                yield {**labels, "service_name": service["name"], "service_port": port}, 1.0
            else:
                keys = {"resource_api_group": "apiGroup", "resource_kind": "kind", "resource_name": "name"}
                yield {**labels, **{label: other.get(key) or "" for label, key in keys.items()}}, 1.0


def _tls(item: Object) -> Iterator[Point]:
    for entry in dig(item, "spec", "tls", default=[]):
        for host in entry.get("hosts", []):
            yield {"tls_host": host, "secret": entry.get("secretName", "")}, 1.0


SERVICE_KIND: Final = Kind(
    SERVICES,
    {**NAMESPACE, "service": NAME, "uid": UID},
    (
        Family(
            "kube_service_info",
            "The Service and its addresses",
            words(
                {
                    "cluster_ip": ("spec", "clusterIP"),
                    "external_name": ("spec", "externalName"),
                    "load_balancer_ip": ("spec", "loadBalancerIP"),
                    "external_traffic_policy": ("spec", "externalTrafficPolicy"),
                }
            ),
            ("cluster_ip", "external_name", "load_balancer_ip", "external_traffic_policy"),
        ),
        created("kube_service"),
        Family("kube_service_spec_type", "The type of the Service", words({"type": ("spec", "type")}), ("type",)),
        Family("kube_service_spec_external_ip", "Addresses outside", _external_ips, ("external_ip",)),
        Family(
            "kube_service_status_load_balancer_ingress",
            "Addresses of the load balancer",
            _balancers,
            ("ip", "hostname"),
        ),
    ),
)
ENDPOINT_KIND: Final = Kind(
    ENDPOINTS,
    {**NAMESPACE, "endpoint": NAME},
    (
        Family("kube_endpoint_info", "The Endpoints are there", one),
        created("kube_endpoint"),
        Family(
            "kube_endpoint_address",
            "Each address at each port, and whether it is ready",
            _addresses,
            (*_PORT_LABELS, "ip", "ready"),
        ),
        Family("kube_endpoint_ports", "Each port", _endpoint_ports, _PORT_LABELS),
    ),
)
INGRESS_KIND: Final = Kind(
    INGRESSES,
    {**NAMESPACE, "ingress": NAME},
    (
        Family("kube_ingress_info", "The Ingress and its class", _ingress_info, ("ingressclass",)),
        created("kube_ingress"),
        resource_version("kube_ingress"),
        Family(
            "kube_ingress_path",
            "Each path and what it leads to",
            _paths,
            (
                "host", "path", "service_name", "service_port", "resource_api_group", "resource_kind", "resource_name",
            ),
        ),
        Family("kube_ingress_tls", "Each host with TLS and its Secret", _tls, ("tls_host", "secret")),
    ),
)  # fmt: skip
POLICY_KIND: Final = Kind(
    NETWORK_POLICIES,
    {**NAMESPACE, "networkpolicy": NAME},
    (
        created("kube_networkpolicy"),
        Family("kube_networkpolicy_spec_ingress_rules", "Rules for what comes in", count("spec", "ingress")),
        Family("kube_networkpolicy_spec_egress_rules", "Rules for what goes out", count("spec", "egress")),
    ),
)
