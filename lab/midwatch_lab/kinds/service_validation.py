"""Rules of Services: ports, types, addresses. Which addresses and node ports are to be had, the network says."""

from typing import Any, Final

from midwatch_lab import names
from midwatch_lab.kinds import rules
from midwatch_lab.kinds.rules import Faults
from midwatch_lab.objects import Object, dig
from midwatch_lab.status import FieldFault, duplicate, forbidden_field, invalid_value, required

_SERVICE_TYPES: Final = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")


def service(obj: Object) -> Faults:
    """Check a Service."""
    spec: Object = obj.get("spec", {})
    ports: list[Object] = spec.get("ports", [])
    if not ports and spec.get("type") != "ExternalName" and spec.get("clusterIP") != "None":
        yield required("spec.ports")
    seen: set[str] = set()
    for index, port in enumerate(ports):
        path = f"spec.ports[{index}]"
        yield from _service_port(port, path, alone=len(ports) == 1)
        name = port.get("name", "")
        if name and name in seen:
            yield duplicate(f"{path}.name", name)
        seen.add(name)
    yield from rules.labels(spec.get("selector"), "spec.selector")
    yield from rules.one_of(spec, "sessionAffinity", "spec", ("ClientIP", "None"))
    yield from rules.one_of(spec, "type", "spec", _SERVICE_TYPES)
    if spec.get("type") == "ExternalName" and not spec.get("externalName"):
        yield required("spec.externalName")
    yield from _doubled_ports(ports)
    yield from _addresses(spec, ports)


def _doubled_ports(ports: list[Object]) -> Faults:
    seen: set[tuple[Any, Any]] = set()
    for index, port in enumerate(ports):
        number, protocol = port.get("port"), port.get("protocol")
        if (number, protocol) in seen:
            # The original shows its own structure, in which only these two are set.
            shown = (
                f'{{"Name":"","Protocol":"{protocol}","AppProtocol":null,"Port":{number},"TargetPort":0,"NodePort":0}}'
            )
            yield FieldFault(f"spec.ports[{index}]", "FieldValueDuplicate", f"Duplicate value: {shown}")
        seen.add((number, protocol))


def _service_port(port: Object, path: str, *, alone: bool) -> Faults:
    name = port.get("name", "")
    if not name and not alone:
        yield required(f"{path}.name")
    elif name and (fault := names.dns_label_fault(name)):
        yield invalid_value(f"{path}.name", name, fault)
    yield from rules.port_number(port.get("port"), f"{path}.port")
    yield from rules.one_of(port, "protocol", path, ("SCTP", "TCP", "UDP"))
    yield from rules.port_reference(port.get("targetPort"), f"{path}.targetPort")


def _addresses(spec: Object, ports: list[Object]) -> Faults:
    address, kind = spec.get("clusterIP", ""), spec.get("type")
    if address not in ("", "None") and not names.is_ip_address(address):
        detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
        yield invalid_value("spec.clusterIPs[0]", address, detail)
    for index, port in enumerate(ports if kind in ("ClusterIP", "ExternalName") else ()):
        if port.get("nodePort"):
            yield forbidden_field(f"spec.ports[{index}].nodePort", f"may not be used when `type` is '{kind}'")


def same_cluster_ip(new: Object, old: Object) -> Faults:
    """Check that a Service keeps its address."""
    before, after = dig(old, "spec", "clusterIP"), dig(new, "spec", "clusterIP")
    kinds = {dig(new, "spec", "type"), dig(old, "spec", "type")}
    if before and before != after and "ExternalName" not in kinds:
        yield invalid_value("spec.clusterIPs[0]", after, "may not change once set")
