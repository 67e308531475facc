"""The network of an earlier life of a lab: taken again where it is free, else its Services move to the new one."""

from midwatch_lab.kinds.resources import NODES, SERVICES
from midwatch_lab.network.addresses import LoopbackNetwork
from midwatch_lab.objects import dig, name_of, namespace_of
from midwatch_lab.store.audit import Origin
from midwatch_lab.store.store import Store

_LOOPBACK = "127"


def earlier_network(store: Store) -> int | None:
    """Return N of the 127.N.0.0/16 that the lab's nodes had, None where there are none."""
    for node in store.items(NODES.key):
        for address in dig(node, "status", "addresses", default=[]):
            first, _, rest = str(address.get("address", "")).partition(".")
            if address.get("type") == "InternalIP" and first == _LOOPBACK:
                return int(rest.partition(".")[0])
    return None


def move_services(store: Store, network: LoopbackNetwork) -> None:
    """Give the Services of another network the same places in this one; no client could change an address."""
    for service in store.items(SERVICES.key):
        address = str(dig(service, "spec", "clusterIP", default=""))
        moved = ".".join([network.prefix, *address.split(".")[2:]])
        if address.startswith(f"{_LOOPBACK}.") and moved != address:
            path = SERVICES.path(namespace_of(service), name_of(service))
            origin = Origin("system:apiserver", "update", path, manager="kube-apiserver")
            spec = {**service["spec"], "clusterIP": moved, "clusterIPs": [moved]}
            store.update(SERVICES, {**service, "spec": spec}, service, origin)
