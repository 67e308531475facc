"""The Endpoints and EndpointSlice controllers in one: which pods are behind a Service, which are ready."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from midwatch_lab.controllers.runtime import Controller, Key
from midwatch_lab.kinds.resources import ENDPOINT_SLICES, ENDPOINTS, PODS, SERVICES, Resource
from midwatch_lab.objects import (
    Object,
    dig,
    is_condition_true,
    is_terminating,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    uid_of,
)
from midwatch_lab.registry.upkeep import DeleteOptions
from midwatch_lab.selectors import LabelSelector
from midwatch_lab.store.store import Change

SERVICE_NAME: Final = "kubernetes.io/service-name"
_SLICES_BY: Final = "endpointslice.kubernetes.io/managed-by"
_SLICE_CONTROLLER: Final = "endpointslice-controller.k8s.io"
_ENDPOINTS_BY: Final = "endpoints.kubernetes.io/managed-by"
_GONE: Final = ("Succeeded", "Failed")


@dataclass(frozen=True)
class Backend:
    """A pod behind a Service."""

    pod: Object
    ready: bool
    """Ready and not on its way out: traffic goes to these only."""

    @property
    def ip(self) -> str:
        """The pod's address."""
        return str(dig(self.pod, "status", "podIP"))


def backends(service: Object, pods: Iterable[Object]) -> list[Backend]:
    """Return the pods behind a Service that have an address."""
    selector = dig(service, "spec", "selector")
    if not selector:
        return []
    wanted = LabelSelector.of_map(selector)
    always = bool(dig(service, "spec", "publishNotReadyAddresses"))
    return [
        Backend(pod, always or (is_condition_true(pod, "Ready") and not is_terminating(pod)))
        for pod in pods
        if wanted.matches(labels_of(pod)) and dig(pod, "status", "podIP") and dig(pod, "status", "phase") not in _GONE
    ]


def target_port(pod: Object, port: Object) -> int | None:
    """Return the port number on the pod that a Service's port leads to; None where the pod has no port of that name."""
    wanted: Any = port.get("targetPort", port.get("port"))
    if isinstance(wanted, int):
        return wanted
    for container in dig(pod, "spec", "containers", default=[]):
        for item in container.get("ports", []):
            if item.get("name") == wanted:
                return int(item["containerPort"])
    return None


class EndpointsController(Controller):
    """Writes the Endpoints object and one EndpointSlice of each Service with a selector."""

    principal = "system:serviceaccount:kube-system:endpointslice-controller"

    def interested(self, change: Change) -> Iterable[Key]:
        """Return a Service itself, or every Service that selects the changed pod."""
        if change.key == SERVICES.key:
            yield namespace_of(change.obj), name_of(change.obj)
        elif change.key == PODS.key:
            namespace = namespace_of(change.obj)
            for service in self.registry.store.items(SERVICES.key, namespace):
                wanted = dig(service, "spec", "selector")
                if wanted and LabelSelector.of_map(wanted).matches(labels_of(change.obj)):
                    yield namespace, name_of(service)

    def reconcile(self, key: Key) -> float | None:
        """Write both forms of the Service's endpoints."""
        service = self.registry.find(SERVICES, *key)
        if service is None or is_terminating(service):
            self._remove_endpoints(key)
            return None
        if not dig(service, "spec", "selector"):
            return None
        found = backends(service, self.registry.store.items(PODS.key, key[0]))
        found.sort(key=lambda backend: backend.ip)
        self._write_endpoints(service, found)
        self._write_slice(service, found)
        return None

    def _remove_endpoints(self, key: Key) -> None:
        old = self.registry.find(ENDPOINTS, *key)
        if old is not None and labels_of(old).get(_ENDPOINTS_BY):
            self.registry.delete(ENDPOINTS, old, DeleteOptions(), self.origin("delete", ENDPOINTS, *key))

    def _write_endpoints(self, service: Object, found: list[Backend]) -> None:
        namespace, name = namespace_of(service), name_of(service)
        subsets: list[Object] = []
        groups: dict[tuple[Any, ...], tuple[list[Object], list[Object]]] = {}
        for backend in found:
            ports = tuple((p["name"], p["port"], p["protocol"]) for p in _ports(service, backend.pod))
            ready, waiting = groups.setdefault(ports, ([], []))
            address = {
                "ip": backend.ip,
                "nodeName": dig(backend.pod, "spec", "nodeName"),
                "targetRef": _ref(backend.pod),
            }
            if not is_terminating(backend.pod):
                (ready if backend.ready else waiting).append(address)
        for ports, (ready, waiting) in groups.items():
            if ports and (ready or waiting):
                named = [{k: v for k, v in zip(("name", "port", "protocol"), p, strict=True) if v} for p in ports]
                addresses = {"addresses": ready, "notReadyAddresses": waiting}
                subsets.append({**{k: v for k, v in addresses.items() if v}, "ports": named})
        labels = {**labels_of(service), _ENDPOINTS_BY: "endpoint-controller"}
        self._write(ENDPOINTS, namespace, name, {"metadata": {"name": name, "labels": labels}, "subsets": subsets})

    def _write_slice(self, service: Object, found: list[Backend]) -> None:
        namespace, name = namespace_of(service), name_of(service)
        ports = _ports(service, found[0].pod) if found else []
        endpoints = [
            {
                "addresses": [backend.ip],
                "conditions": {
                    "ready": backend.ready,
                    "serving": is_condition_true(backend.pod, "Ready"),
                    "terminating": is_terminating(backend.pod),
                },
                "nodeName": dig(backend.pod, "spec", "nodeName"),
                "targetRef": _ref(backend.pod),
            }
            for backend in found
        ]
        old = next(
            (
                item
                for item in self.registry.store.items(ENDPOINT_SLICES.key, namespace)
                if labels_of(item).get(SERVICE_NAME) == name and labels_of(item).get(_SLICES_BY) == _SLICE_CONTROLLER
            ),
            None,
        )
        labels = {**labels_of(service), SERVICE_NAME: name, _SLICES_BY: _SLICE_CONTROLLER}
        metadata: Object = {"labels": labels, "ownerReferences": [owner_reference(service)]}
        metadata |= {"generateName": f"{name}-"} if old is None else {"name": name_of(old)}
        body: Object = {"metadata": metadata, "addressType": "IPv4", "endpoints": endpoints, "ports": ports}
        self._write(ENDPOINT_SLICES, namespace, "" if old is None else name_of(old), body)

    def _write(self, resource: Resource, namespace: str, name: str, body: Object) -> None:
        old = self.registry.find(resource, namespace, name) if name else None
        if old is None:
            self.registry.create(resource, namespace, body, self.origin("create", resource, namespace, ""))
            return
        metadata = {**old["metadata"], **body["metadata"]}
        draft = {"apiVersion": old["apiVersion"], "kind": old["kind"], **body, "metadata": metadata}
        same = all(old.get(key, []) == draft.get(key, []) for key in ("subsets", "endpoints", "ports", "addressType"))
        if not same or labels_of(old) != labels_of(draft):
            self.registry.update(resource, old, draft, self.origin("update", resource, namespace, name))


def _ports(service: Object, pod: Object) -> list[Object]:
    found: list[Object] = []
    for port in dig(service, "spec", "ports", default=[]):
        number = target_port(pod, port)
        if number is not None:
            found.append({"name": port.get("name", ""), "port": number, "protocol": port.get("protocol", "TCP")})
    return found


def _ref(pod: Object) -> Object:
    return {"kind": "Pod", "name": name_of(pod), "namespace": namespace_of(pod), "uid": uid_of(pod)}
