"""What a kubelet runs, in numbers."""

from dataclasses import dataclass


@dataclass(frozen=True)
class NodeLoad:
    """Pods with a running container, and containers by their state: `running`, or `exited` and not yet begun again."""

    node: str
    pods: int
    containers: tuple[tuple[str, int], ...]
