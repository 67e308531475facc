"""What cAdvisor within a kubelet says of pods' containers, from what the lab's kubelet reads of their processes.

A container is a group of processes and no cgroup, so what only a cgroup counts is not there: page cache, memory events,
network by pod. A CPU limit is kept by the process that plays the container, which counts what it waits. Beside its
containers each pod has series of its own without `container`, as in a cluster, where a sum over both counts twice.
"""

import os
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from pathlib import Path
from typing import Final, NamedTuple

from midwatch_lab.exporters.family import Family, Point
from midwatch_lab.exporters.state.reading import amount
from midwatch_lab.exporters.throttling import Throttling, Waits
from midwatch_lab.metrics.gauges import Gauge, Group
from midwatch_lab.metrics.local import Exporter
from midwatch_lab.metrics.targets import Target
from midwatch_lab.network.addresses import KUBELET_PORT
from midwatch_lab.objects import Object, dig, name_of, namespace_of, uid_of
from midwatch_lab.usage import Held, PodUsage, UsageBoard

CADVISOR_PATH: Final = "/metrics/cadvisor"
CONTAINER_LABELS: Final = ("namespace", "pod", "container", "image", "name", "id")
_PERIOD_US: Final = 100_000
_SHARES: Final = 1024
_SHARES_MIN: Final = 2


class Contained(NamedTuple):
    """A container, or a pod as a whole: its spec (None for a pod), what is known of its use, and of what it holds."""

    spec: Object | None
    memory: int
    held: Held | None
    at: float
    waited: Throttling | None = None


def _holding(value: Callable[[Held], float]) -> Callable[[Contained], Iterable[Point]]:
    return lambda part: () if part.held is None else (({}, value(part.held)),)


def _of_container(value: Callable[[Object], float | None]) -> Callable[[Contained], Iterable[Point]]:
    def read(part: Contained) -> Iterable[Point]:
        found = None if part.spec is None else value(part.spec)
        return () if found is None else (({}, found),)

    return read


def _waiting(value: Callable[[Throttling], float]) -> Callable[[Contained], Iterable[Point]]:
    return lambda part: () if part.waited is None else (({}, value(part.waited)),)


def _cpu(part: Contained) -> Iterable[Point]:
    return () if part.held is None else (({"cpu": "total"}, part.held.user_s + part.held.system_s),)


def _quota(spec: Object) -> float | None:
    limit = dig(spec, "resources", "limits", "cpu")
    return None if limit is None else float(round(amount(str(limit)) * _PERIOD_US))


def _shares(spec: Object) -> float:
    asked = dig(spec, "resources", "requests", "cpu") or dig(spec, "resources", "limits", "cpu") or "0"
    return float(max(_SHARES_MIN, int(amount(str(asked)) * _SHARES)))


def _memory_limit(spec: Object) -> float:
    return amount(str(dig(spec, "resources", "limits", "memory", default="0")))


def _memory(part: Contained) -> Iterable[Point]:
    return (({}, float(part.memory)),)


_BOTH: Final = (
    Family("container_cpu_usage_seconds_total", "CPU time used, in seconds", _cpu, ("cpu",), "counter"),
    Family(
        "container_cpu_user_seconds_total", "CPU time outside the kernel", _holding(lambda h: h.user_s), (), "counter"
    ),
    Family(
        "container_cpu_system_seconds_total", "CPU time in the kernel", _holding(lambda h: h.system_s), (), "counter"
    ),
    Family("container_memory_usage_bytes", "Memory that is resident, in bytes", _memory),
    Family("container_memory_working_set_bytes", "Memory that is resident, as `kubectl top` shows it", _memory),
    Family("container_memory_rss", "Anonymous memory that is resident", _holding(lambda h: h.anonymous)),
    Family("container_memory_mapped_file", "Mapped files and shared memory", _holding(lambda h: h.mapped)),
    Family("container_memory_swap", "Memory that is swapped out", _holding(lambda h: h.swapped)),
    Family("container_fs_reads_bytes_total", "Bytes read from storage", _holding(lambda h: h.read), (), "counter"),
    Family("container_fs_writes_bytes_total", "Bytes sent to storage", _holding(lambda h: h.written), (), "counter"),
    Family("container_processes", "Processes", _holding(lambda h: h.processes)),
    Family("container_threads", "Threads", _holding(lambda h: h.threads)),
    Family(
        "container_start_time_seconds", "When the first process began, in Unix seconds", _holding(lambda h: h.started)
    ),
    Family("container_last_seen", "When this was measured, in Unix seconds", lambda part: (({}, part.at),)),
)
_SPECS: Final = (
    Family("container_spec_cpu_period", "Length of a CPU period, in µs", _of_container(lambda _: float(_PERIOD_US))),
    Family("container_spec_cpu_quota", "CPU time a period that the limit allows, in µs", _of_container(_quota)),
    Family("container_spec_cpu_shares", "Weight of the CPU request, 1024 a core", _of_container(_shares)),
    Family("container_spec_memory_limit_bytes", "The memory limit; 0 for none", _of_container(_memory_limit)),
)
_LIMITED: Final = (
    Family(
        "container_cpu_cfs_periods_total",
        "Periods in which the container had work, with a CPU limit",
        _waiting(lambda waited: waited.periods),
        (),
        "counter",
    ),
    Family(
        "container_cpu_cfs_throttled_periods_total",
        "Those of them in which the CPU limit made it wait",
        _waiting(lambda waited: waited.throttled_periods),
        (),
        "counter",
    ),
    Family(
        "container_cpu_cfs_throttled_seconds_total",
        "Seconds for which the CPU limit made it wait",
        _waiting(lambda waited: waited.seconds),
        (),
        "counter",
    ),
)
CONTAINER_FAMILIES: Final = (*_BOTH, *_SPECS, *_LIMITED)
MACHINE_FAMILIES: Final = (
    Family(
        "machine_cpu_cores",
        "CPUs of the machine that all lab nodes share",
        lambda _: (({}, float(os.cpu_count() or 1)),),
    ),
    Family("machine_memory_bytes", "Memory of the machine that all lab nodes share", lambda _: _machine_memory()),
)


def _machine_memory(proc: Path = Path("/proc")) -> Iterable[Point]:
    try:
        text = (proc / "meminfo").read_text("ascii")
    except OSError:
        return ()
    total = next((line.split()[1] for line in text.splitlines() if line.startswith("MemTotal:")), None)
    return () if total is None else (({}, float(int(total) * 1024)),)


def _machine(_state: object) -> Iterator[Gauge]:
    return ((family.name, labels, value) for family in MACHINE_FAMILIES for labels, value in family.read(None))


def _read_pod(state: tuple[Object, PodUsage, Waits]) -> Iterator[Gauge]:
    pod, usage, waits = state
    quality = str(dig(pod, "status", "qosClass", default="BestEffort"))
    place = f"/kubepods{'' if quality == 'Guaranteed' else '/' + quality.lower()}/pod{uid_of(pod)}"
    base = {"namespace": namespace_of(pod), "pod": name_of(pod)}
    statuses: dict[str, Object] = {item["name"]: item for item in dig(pod, "status", "containerStatuses", default=[])}
    specs: dict[str, Object] = {item["name"]: item for item in dig(pod, "spec", "containers", default=[])}
    for name, used in usage.containers.items():
        identity = str(statuses.get(name, {}).get("containerID", "")).partition("://")[2]
        image = str(specs.get(name, {}).get("image", ""))
        labels = {**base, "container": name, "image": image, "name": identity, "id": f"{place}/{identity}"}
        waited = waits.get((base["namespace"], base["pod"], name))
        part = Contained(specs.get(name, {}), used.memory, usage.held.get(name), usage.at, waited)
        yield from _gauges(CONTAINER_FAMILIES, labels, part)
    whole = Contained(None, usage.total.memory, reduce(add, usage.held.values()) if usage.held else None, usage.at)
    yield from _gauges(_BOTH, {**base, "id": place}, whole)


def _gauges(families: Iterable[Family], base: dict[str, str], part: Contained) -> Iterator[Gauge]:
    for family in families:
        for labels, value in family.read(part):
            yield family.name, {**base, **labels}, float(value)


def kubelet_target(node: str, address: str, path: str) -> Target:
    """Return the target that kube-prometheus has for a path of a node's kubelet."""
    labels = {
        "job": "kubelet",
        "metrics_path": path,
        "instance": f"{address}:{KUBELET_PORT}",
        "node": node,
        "namespace": "kube-system",
        "service": "kubelet",
        "endpoint": "https-metrics",
    }
    return Target(labels, f"lab://{node}{path}")


@dataclass
class Cadvisor:
    """The containers of one node, as whoever runs them reports on them."""

    node: str
    address: str
    board: UsageBoard
    pods: Callable[[], list[Object]]
    waits: Callable[[], Waits] = dict[tuple[str, str, str], Throttling]
    """How long containers had to wait for their CPU limits."""
    _version: int = -1
    _groups: list[Group] = field(default_factory=list[Group])

    def groups(self) -> list[Group]:
        """Return the pods of the node that there are reports on, as they were at the newest report."""
        if self._version != self.board.version:
            self._version = self.board.version
            here = [pod for pod in self.pods() if dig(pod, "spec", "nodeName") == self.node]
            reports = [(pod, self.board.of(pod)) for pod in here]
            machine = Group("machine", self.node, _machine)
            known = {group.place: group for group in self._groups}
            waits = self.waits()
            self._groups = [machine, *(_group(pod, usage, waits, known) for pod, usage in reports if usage is not None)]
        return self._groups

    @property
    def exporter(self) -> Exporter:
        """The target."""
        metadata = {family.name: family.metadata for family in (*CONTAINER_FAMILIES, *MACHINE_FAMILIES)}
        return Exporter(kubelet_target(self.node, self.address, CADVISOR_PATH), metadata, self.groups)


def _group(pod: Object, usage: PodUsage, waits: Waits, known: dict[Hashable, Group]) -> Group:
    """Return the group of a pod: the one before where nobody reported since."""
    place = uid_of(pod)
    before = known.get(place)
    if before is not None and before.state[1] is usage:
        return before
    return Group(place, (pod, usage, waits), _read_pod, measured=True)
