"""What the kubelet of a node says of itself, and the build of the lab's parts."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from midwatch_lab.api.discovery import server_version
from midwatch_lab.exporters.cadvisor import kubelet_target
from midwatch_lab.exporters.family import Family, Point
from midwatch_lab.kubelet.load import NodeLoad
from midwatch_lab.metrics.gauges import Gauge, Group
from midwatch_lab.metrics.local import Exporter
from midwatch_lab.schemas.schema import schemas

_BUILD: Final = {
    "major": "major",
    "minor": "minor",
    "git_version": "gitVersion",
    "git_commit": "gitCommit",
    "git_tree_state": "gitTreeState",
    "build_date": "buildDate",
    "go_version": "goVersion",
    "compiler": "compiler",
    "platform": "platform",
}


def build_info(_state: object) -> Iterable[Point]:
    """Read the version that the lab's parts say they are."""
    said = server_version(schemas().version)
    return (({label: str(said[key]) for label, key in _BUILD.items()}, 1.0),)


BUILD_FAMILY: Final = Family("kubernetes_build_info", "The version of the part", build_info, tuple(_BUILD))
KUBELET_FAMILIES: Final = (
    Family("kubelet_node_name", "The name of the node", lambda load: (({"node": load.node}, 1.0),), ("node",)),
    Family("kubelet_running_pods", "Pods with a running container", lambda load: (({}, float(load.pods)),)),
    Family(
        "kubelet_running_containers",
        "Containers by what they do: running, or exited and not started again yet",
        lambda load: (({"container_state": state}, float(number)) for state, number in load.containers),
        ("container_state",),
    ),
    BUILD_FAMILY,
)


def _read(load: NodeLoad) -> Iterator[Gauge]:
    return ((family.name, labels, value) for family in KUBELET_FAMILIES for labels, value in family.read(load))


@dataclass
class KubeletMetrics:
    """The kubelet of one node; `load` tells what it runs."""

    node: str
    address: str
    load: Callable[[str], NodeLoad]
    _last: NodeLoad | None = None

    def groups(self) -> list[Group]:
        """Return the node: the state of before where it is the same."""
        found = self.load(self.node)
        if self._last is None or found != self._last:
            self._last = found
        return [Group(self.node, self._last, _read)]

    @property
    def exporter(self) -> Exporter:
        """The target."""
        metadata = {family.name: family.metadata for family in KUBELET_FAMILIES}
        return Exporter(kubelet_target(self.node, self.address, "/metrics"), metadata, self.groups)
