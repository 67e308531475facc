"""Rules of Ingresses, IngressClasses and NetworkPolicies."""

import ipaddress
import re
from typing import Any, Final

from midwatch_lab import names
from midwatch_lab.kinds import rules
from midwatch_lab.kinds.rules import Faults
from midwatch_lab.objects import Object, dig
from midwatch_lab.status import FieldFault, forbidden_field, invalid_value, required, unsupported

_PATH_TYPES: Final = ("Exact", "ImplementationSpecific", "Prefix")
_NOT_IN_PATHS: Final = ("//", "/./", "/../", "%2f", "%2F")
_NOT_AT_END: Final = ("/..", "/.")
_CONTROLLER_MAX: Final = 250
_LABEL: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_WILDCARD: Final = re.compile(rf"\*\.{_LABEL}(\.{_LABEL})*")
_WILDCARD_FAULT: Final = (
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of "
    "lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', "
    rf"regex used for validation is '\*\.{_LABEL}(\.{_LABEL})*')"
)
_ADDRESS_FAULT: Final = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
_CIDR_FAULT: Final = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
_NO_ADDRESS: Final = "must be a DNS name, not an IP address"
_TYPES_MAX: Final = 2


def ingress(obj: Object) -> Faults:
    """Check an Ingress."""
    spec: Object = obj.get("spec", {})
    found: list[Object] = spec.get("rules") or []
    if not found and "defaultBackend" not in spec:
        yield invalid_value("spec", None, "either `defaultBackend` or `rules` must be specified")
    if "defaultBackend" in spec:
        yield from _backend(spec["defaultBackend"], "spec.defaultBackend")
    for index, rule in enumerate(found):
        yield from _rule(rule, f"spec.rules[{index}]")
    for index, secured in enumerate(dig(spec, "tls", default=[])):
        where = f"spec.tls[{index}]"
        for place, host in enumerate(dig(secured, "hosts", default=[])):
            yield from _host(host, f"{where}.hosts[{place}]")
        yield from _subdomain(secured.get("secretName", ""), f"{where}.secretName")
    yield from _subdomain(spec.get("ingressClassName", ""), "spec.ingressClassName")
    yield from _addresses(obj)


def _addresses(obj: Object) -> Faults:
    items: list[Object] = dig(obj, "status", "loadBalancer", "ingress", default=[])
    for index, item in enumerate(items):
        where = f"status.loadBalancer.ingress[{index}]"
        address, host = item.get("ip", ""), item.get("hostname", "")
        if address and not names.is_ip_address(address):
            yield invalid_value(f"{where}.ip", address, _ADDRESS_FAULT)
        if host and names.is_ip_address(host):
            yield invalid_value(f"{where}.hostname", host, _NO_ADDRESS)
        yield from _subdomain(host, f"{where}.hostname")


def _subdomain(text: str, path: str) -> Faults:
    if text and (fault := names.dns_subdomain_fault(text)):
        yield invalid_value(path, text, fault)


def _host(host: str, path: str) -> Faults:
    if "*" in host:
        if not _WILDCARD.fullmatch(host):
            yield invalid_value(path, host, _WILDCARD_FAULT)
    else:
        yield from _subdomain(host, path)


def _rule(rule: Object, path: str) -> Faults:
    host = str(rule.get("host", ""))
    if host and names.is_ip_address(host):
        yield invalid_value(f"{path}.host", host, _NO_ADDRESS)
    yield from _host(host, f"{path}.host")
    if "http" not in rule:
        return
    paths: list[Object] = rule["http"].get("paths") or []
    if not paths:
        yield required(f"{path}.http.paths")
    for index, item in enumerate(paths):
        yield from _path(item, f"{path}.http.paths[{index}]")


def _path(item: Object, path: str) -> Faults:
    kind, text = item.get("pathType"), str(item.get("path", ""))
    if kind is None:
        yield required(f"{path}.pathType", "pathType must be specified")
    elif kind in ("Exact", "Prefix"):
        if not text.startswith("/"):
            yield invalid_value(f"{path}.path", text, "must be an absolute path")
        for part in _NOT_IN_PATHS:
            if part in text:
                yield invalid_value(f"{path}.path", text, f"must not contain '{part}'")
        for part in _NOT_AT_END:
            if text.endswith(part):
                yield invalid_value(f"{path}.path", text, f"cannot end with '{part}'")
    elif kind not in _PATH_TYPES:
        yield unsupported(f"{path}.pathType", kind, _PATH_TYPES)
    elif text and not text.startswith("/"):
        yield invalid_value(f"{path}.path", text, "must be an absolute path")
    yield from _backend(item.get("backend", {}), f"{path}.backend")


def _backend(backend: Object, path: str) -> Faults:
    service, resource = backend.get("service"), backend.get("resource")
    if service is not None and resource is not None:
        yield invalid_value(path, "", "cannot set both resource and service backends")
    elif resource is not None:
        for key in ("kind", "name"):
            if not resource.get(key):
                yield required(f"{path}.resource.{key}")
    elif service is None:
        yield invalid_value(path, "", "resource or service backend is required")
    else:
        yield from _service(service, path)


def _service(service: Object, path: str) -> Faults:
    name = str(service.get("name", ""))
    if not name:
        yield required(f"{path}.service.name")
    elif fault := names.dns_label_fault(name):
        yield invalid_value(f"{path}.service.name", name, fault)
    port: Object = service.get("port", {})
    number, word = port.get("number", 0), port.get("name", "")
    if number and word:
        yield invalid_value(path, "", "cannot set both port name & port number")
    elif word:
        for fault in names.port_name_faults(word):
            yield invalid_value(f"{path}.service.port.name", word, fault)
    elif number:
        yield from rules.port_number(number, f"{path}.service.port.number")
    else:
        yield required(path, "port name or number is required")


def ingress_class(obj: Object) -> Faults:
    """Check an IngressClass."""
    spec: Object = obj.get("spec", {})
    controller, path = str(spec.get("controller", "")), "spec.controller"
    domain, slash, rest = controller.partition("/")
    if not controller:
        yield required(path)
    elif len(controller) > _CONTROLLER_MAX:
        yield FieldFault(path, "FieldValueTooLong", f"Too long: may not be more than {_CONTROLLER_MAX} bytes")
    elif not slash or not domain or not rest:
        yield invalid_value(path, controller, 'must be a domain-prefixed path (such as "acme.io/foo")')
    else:
        yield from _subdomain(domain, path)
    if "parameters" in spec:
        yield from _parameters(spec["parameters"], "spec.parameters")


def _parameters(found: Object, path: str) -> Faults:
    group, scope = found.get("apiGroup"), found.get("scope")
    if group is not None:
        yield from _subdomain(group, f"{path}.apiGroup")
    for key in ("kind", "name"):
        text = str(found.get(key, ""))
        if not text:
            yield required(f"{path}.{key}")
        for fault in names.path_segment_faults(text):
            yield invalid_value(f"{path}.{key}", text, fault)
    if scope not in ("Cluster", "Namespace"):
        yield unsupported(f"{path}.scope", scope, ("Cluster", "Namespace"))
    elif scope == "Namespace":
        if not found.get("namespace"):
            yield required(f"{path}.namespace", "`parameters.scope` is set to 'Namespace'")
    elif found.get("namespace") is not None:
        yield forbidden_field(f"{path}.namespace", "`parameters.scope` is set to 'Cluster'")


def ingress_class_update(new: Object, old: Object) -> Faults:
    """Check an IngressClass that is changed: its controller stays."""
    controller = dig(new, "spec", "controller")
    if controller != dig(old, "spec", "controller"):
        yield invalid_value("spec.controller", controller, "field is immutable")
    if "parameters" in new.get("spec", {}):
        yield from _parameters(new["spec"]["parameters"], "spec.parameters")


def network_policy(obj: Object) -> Faults:
    """Check a NetworkPolicy."""
    spec: Object = obj.get("spec", {})
    yield from rules.label_selector(spec.get("podSelector", {}), "spec.podSelector")
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(dig(spec, direction, default=[])):
            where = f"spec.{direction}[{index}]"
            for place, port in enumerate(dig(rule, "ports", default=[])):
                yield from _port(port, f"{where}.ports[{place}]")
            for place, peer in enumerate(dig(rule, peers, default=[])):
                yield from _peer(peer, f"{where}.{peers}[{place}]")
    types: list[str] = spec.get("policyTypes") or []
    if len(types) > _TYPES_MAX:
        yield invalid_value("spec.policyTypes", types, "may not specify more than two policyTypes")
        return
    for index, kind in enumerate(types):
        if kind not in ("Ingress", "Egress"):
            yield unsupported(f"spec.policyTypes[{index}]", kind, ("Ingress", "Egress"))


def _port(item: Object, path: str) -> Faults:
    yield from rules.one_of(item, "protocol", path, ("TCP", "UDP", "SCTP"))
    port: Any = item.get("port")
    end = item.get("endPort")
    if isinstance(port, str):
        for fault in names.port_name_faults(port):
            yield invalid_value(f"{path}.port", port, fault)
    elif port is not None:
        yield from rules.port_number(port, f"{path}.port")
    if end is None:
        return
    if port is None:
        yield invalid_value(f"{path}.endPort", end, "may not be specified when `port` is not specified")
    elif isinstance(port, str):
        yield invalid_value(f"{path}.endPort", end, "may not be specified when `port` is non-numeric")
    else:
        if end < port:
            # The port is shown, not the end.
            yield invalid_value(f"{path}.endPort", port, "must be greater than or equal to `port`")
        yield from rules.port_number(end, f"{path}.endPort")


def _peer(peer: Object, path: str) -> Faults:
    kinds = [key for key in ("podSelector", "namespaceSelector", "ipBlock") if key in peer]
    for key in kinds[:2]:
        if key != "ipBlock":
            yield from rules.label_selector(peer[key], f"{path}.{key}")
    if "ipBlock" in peer:
        yield from _block(peer["ipBlock"], f"{path}.ipBlock")
    if not kinds:
        yield required(path, "must specify a peer")
    elif len(kinds) > 1 and "ipBlock" in kinds:
        yield forbidden_field(path, "may not specify both ipBlock and another peer")


def _block(block: Object, path: str) -> Faults:
    text = str(block.get("cidr", ""))
    if not text:
        yield required(f"{path}.cidr")
        return
    whole = _network(text)
    if whole is None:
        yield invalid_value(f"{path}.cidr", text, _CIDR_FAULT)
        return
    for index, inner in enumerate(dig(block, "except", default=[])):
        part = _network(inner)
        if part is None:
            yield invalid_value(f"{path}.except[{index}]", inner, _CIDR_FAULT)
        elif part.version != whole.version or part == whole or not _within(part, whole):
            yield invalid_value(f"{path}.except[{index}]", inner, "must be a strict subset of `cidr`")


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _network(text: str) -> Network | None:
    if "/" not in text:
        return None
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _within(part: Network, whole: Network) -> bool:
    return part.prefixlen > whole.prefixlen and int(part.network_address) in range(
        int(whole.network_address), int(whole.broadcast_address) + 1
    )
