"""Loopback addresses: each lab takes a network 127.N.0.0/16 of its own, so that several live side by side.

On Linux the whole of 127/8 is loopback, so pods and Services have addresses of their own and keep their ports.
"""

import random
import socket
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from midwatch_lab.errors import AddressError
from midwatch_lab.objects import Object, dig
from midwatch_lab.status import FieldFault, invalid_value

KUBELET_PORT: Final = 10250
_NETWORKS: Final = range(16, 250)
_SERVICE_SUBNETS: Final = range(1, 16)
_POD_SUBNETS: Final = range(16, 250)
_HOSTS: Final = range(2, 250)
_NODE_PORTS: Final = range(30000, 32768)


@dataclass
class LoopbackNetwork:
    """One lab's addresses: 127.N.0.1 and on are nodes, 127.N.1-15.x Services, 127.N.16-249.x pods."""

    prefix: str
    _lock: socket.socket = field(repr=False)
    _next_pod: int = 0

    @classmethod
    def take(cls, wanted: int | None = None) -> "LoopbackNetwork":
        """Take a network that nobody has, 127.`wanted` if that is one.

        What holds it is a socket on its first address, so that it ends with us.

        Raises:
            AddressError: where 127/8 is not all loopback, or every network is taken.
        """
        numbers = list(_NETWORKS)
        random.shuffle(numbers)
        numbers.sort(key=lambda number: number != wanted)
        for number in numbers:
            lock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            try:
                lock.bind((f"127.{number}.0.1", KUBELET_PORT))
                lock.listen(1)
            except OSError:
                lock.close()
                continue
            return cls(f"127.{number}", lock)
        raise AddressError(
            "no loopback network is to be had: the lab needs a system on which all of 127.0.0.0/8 is loopback (Linux), "
            "and a free network between 127.16 and 127.249"
        )

    def release(self) -> None:
        """Give the network back."""
        self._lock.close()

    def node_ip(self, index: int) -> str:
        """Return the address of a node, counted from 0."""
        return f"{self.prefix}.0.{index + 1}"

    def pod_ip(self, taken: Container[str]) -> str:
        """Return an address for a new pod; addresses are used in turn, so that a freed one rests a while.

        Raises:
            AddressError: when all are in use.
        """
        total = len(_POD_SUBNETS) * len(_HOSTS)
        for _ in range(total):
            subnet, host = divmod(self._next_pod, len(_HOSTS))
            self._next_pod = (self._next_pod + 1) % total
            address = f"{self.prefix}.{_POD_SUBNETS[subnet]}.{_HOSTS[host]}"
            if address not in taken:
                return address
        raise AddressError(f"all {total} pod addresses of {self.prefix}.0.0/16 are in use: delete pods")

    def service_ip(self, taken: Container[str]) -> str:
        """Return an address for a new Service.

        Raises:
            AddressError: when all are in use.
        """
        for subnet in _SERVICE_SUBNETS:
            for host in _HOSTS:
                address = f"{self.prefix}.{subnet}.{host}"
                if address not in taken:
                    return address
        raise AddressError(f"all Service addresses of {self.prefix}.0.0/16 are in use: delete Services")

    def owns_service_ip(self, address: str) -> bool:
        """Tell whether an address is one that a Service of this lab may have."""
        parts = address.split(".")
        return address.startswith(f"{self.prefix}.") and parts[2].isdigit() and int(parts[2]) in _SERVICE_SUBNETS


Placer: TypeAlias = Callable[[Object, bool], list[FieldFault]]
"""Gives a Service (in place; the flag says whether it is a dry run) what it lacks; returns what it may not have."""


def service_placer(network: LoopbackNetwork, services: Callable[[], list[Object]]) -> Placer:
    """Return what gives a Service its address and node ports where it has none and wants some."""

    def place(service: Object, dry_run: bool) -> list[FieldFault]:  # noqa: FBT001 (as `Placer` has it)
        spec: Object = service["spec"]
        if spec.get("type") == "ExternalName":
            for key in ("clusterIP", "clusterIPs"):
                spec.pop(key, None)
            return []
        others = [item for item in services() if dig(item, "metadata", "uid") != dig(service, "metadata", "uid")]
        return [
            *_place_address(network, spec, others, dry_run=dry_run),
            *_place_node_ports(spec, others, dry_run=dry_run),
        ]

    return place


def _place_address(
    network: LoopbackNetwork, spec: Object, others: list[Object], *, dry_run: bool
) -> Iterator[FieldFault]:
    taken = {dig(item, "spec", "clusterIP") for item in others}
    wanted = spec.get("clusterIP")
    if not wanted:
        spec["clusterIP"] = network.service_ip(taken)
    spec["clusterIPs"] = [spec["clusterIP"]]
    if not wanted or wanted == "None":
        return
    why = ""
    if not network.owns_service_ip(wanted):
        area = f"{network.prefix}.0.0/16"
        outside = f"the provided IP ({wanted}) is not in the valid range. The range of valid IPs is {area}"
        why = outside if dry_run else "the provided network does not match the current range"
    elif wanted in taken:
        why = "provided IP is already allocated"
    if why:
        yield invalid_value("spec.clusterIPs", [wanted], f"failed to allocate IP {wanted}: {why}")


def _place_node_ports(spec: Object, others: list[Object], *, dry_run: bool) -> Iterator[FieldFault]:
    if spec.get("type") not in ("NodePort", "LoadBalancer"):
        return
    ports: list[Object] = spec.get("ports", [])
    used = {port.get("nodePort") for item in others for port in dig(item, "spec", "ports", default=[])}
    own: dict[int, set[str]] = {}
    for index, port in enumerate(ports):
        number, protocol = port.get("nodePort"), str(port.get("protocol", ""))
        if not number:
            continue
        why = ""
        if number in used or protocol in own.get(number, ()):
            why = "provided port is already allocated"
        elif number not in _NODE_PORTS and not dry_run:
            area = f"{_NODE_PORTS.start}-{_NODE_PORTS.stop - 1}"
            why = f"provided port is not in the valid range. The range of valid ports is {area}"
        if why:
            yield invalid_value(f"spec.ports[{index}].nodePort", number, why)
        own.setdefault(number, set()).add(protocol)
    used |= own.keys()
    for port in ports:
        if not port.get("nodePort"):
            port["nodePort"] = next(number for number in _NODE_PORTS if number not in used)
            used.add(port["nodePort"])
