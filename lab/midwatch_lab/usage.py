"""What pods use of the machine: reported by whoever runs them, read by the metrics API and by autoscalers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from midwatch_contracts.times import rfc3339
from midwatch_lab.objects import Object, labels_of, meta, name_of, namespace_of, uid_of
from midwatch_lab.quantity import canonical

METRICS_VERSION: Final = "metrics.k8s.io/v1beta1"
_NANO: Final = 1e9
_KIBI: Final = 1024


@dataclass(frozen=True)
class Usage:
    """What a container uses: cores, and bytes of memory."""

    cpu: float
    memory: int

    def __add__(self, other: "Usage") -> "Usage":
        """Return what both use together."""
        return Usage(self.cpu + other.cpu, self.memory + other.memory)

    @property
    def quantities(self) -> dict[str, str]:
        """The usage as quantities, in the units of metrics-server: nanocores and KiB."""
        memory = f"{self.memory // _KIBI}Ki" if self.memory % _KIBI == 0 else str(self.memory)
        return {"cpu": canonical(f"{round(self.cpu * _NANO)}n"), "memory": canonical(memory)}


@dataclass(frozen=True)
class Held:
    """What the processes of a container have used since they began (seconds, bytes read and written), and hold now."""

    started: float
    """When the first of them began, in Unix seconds."""
    user_s: float
    system_s: float
    resident: int
    anonymous: int
    mapped: int
    """Bytes of files and of shared memory among those that are resident."""
    swapped: int
    read: int
    written: int
    processes: int
    threads: int

    def __add__(self, other: "Held") -> "Held":
        """Return what both hold together."""
        return Held(
            started=min(self.started, other.started),
            user_s=self.user_s + other.user_s,
            system_s=self.system_s + other.system_s,
            resident=self.resident + other.resident,
            anonymous=self.anonymous + other.anonymous,
            mapped=self.mapped + other.mapped,
            swapped=self.swapped + other.swapped,
            read=self.read + other.read,
            written=self.written + other.written,
            processes=self.processes + other.processes,
            threads=self.threads + other.threads,
        )


@dataclass(frozen=True)
class PodUsage:
    """What the containers of a pod used: over `window_s` seconds until `at` (Unix seconds)."""

    at: float
    window_s: float
    containers: Mapping[str, Usage]
    held: Mapping[str, Held] = field(default_factory=dict[str, Held])
    """By container, where whoever reports can tell."""

    @property
    def total(self) -> Usage:
        """What all containers use together."""
        return sum(self.containers.values(), start=Usage(0.0, 0))


@dataclass
class UsageBoard:
    """The newest report on each pod, by uid."""

    version: int = 0
    """Counts reports, and pods forgotten."""
    _reports: dict[str, PodUsage] = field(default_factory=dict[str, PodUsage])

    def report(self, uid: str, usage: PodUsage) -> None:
        """Take a report, in the place of the one before."""
        self._reports[uid] = usage
        self.version += 1

    def forget(self, uid: str) -> None:
        """Drop what is known of a pod."""
        self._reports.pop(uid, None)
        self.version += 1

    def of(self, pod: Object) -> PodUsage | None:
        """Return the newest report on a pod, or None while there is none."""
        return self._reports.get(uid_of(pod))


def _described(obj: Object, kind: str, now: float) -> Object:
    whole = rfc3339(now).partition(".")[0] + "Z"
    metadata: Object = {"name": name_of(obj), "creationTimestamp": whole}
    if namespace_of(obj):
        metadata["namespace"] = namespace_of(obj)
    if "labels" in meta(obj):
        metadata["labels"] = labels_of(obj)
    return {"kind": kind, "apiVersion": METRICS_VERSION, "metadata": metadata}


def _measured(at: float, window_s: float) -> Object:
    return {"timestamp": rfc3339(at).partition(".")[0] + "Z", "window": f"{window_s:.3f}".rstrip("0").rstrip(".") + "s"}


def pod_metrics(pod: Object, usage: PodUsage, now: float) -> Object:
    """Return a PodMetrics."""
    containers = [{"name": name, "usage": used.quantities} for name, used in usage.containers.items()]
    return {
        **_described(pod, "PodMetrics", now),
        **_measured(usage.at, usage.window_s),
        "containers": containers,
    }


def node_metrics(node: Object, pods: list[PodUsage], now: float) -> Object:
    """Return a NodeMetrics: what the pods on the node use together, since the lab's nodes share one machine."""
    used = sum((usage.total for usage in pods), start=Usage(0.0, 0))
    at = max((usage.at for usage in pods), default=now)
    window_s = max((usage.window_s for usage in pods), default=0.0)
    return {**_described(node, "NodeMetrics", now), **_measured(at, window_s), "usage": used.quantities}
