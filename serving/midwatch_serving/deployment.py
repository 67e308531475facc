"""What a simulation serves with: the scheduler's settings of one replica, and how many replicas share the load."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from midwatch_serving.errors import WorkloadError
from midwatch_serving.limits import Limits

Balancer = Literal["round_robin", "least_requests"]
BALANCERS: tuple[Balancer, ...] = get_args(Balancer)
MAX_REPLICAS = 256


@dataclass(frozen=True)
class Deployment:
    """Replicas of one configuration behind a balancer. Names as vLLM's where it has them."""

    limits: Limits
    num_blocks: int
    block_size: int
    max_model_len: int
    enable_prefix_caching: bool = False
    cpu_limit: float | None = None
    """Cores that one replica's steps may use; None: no limit."""
    replicas: int = 1
    balancer: Balancer = "least_requests"

    def __post_init__(self) -> None:
        if not 1 <= self.replicas <= MAX_REPLICAS:
            raise WorkloadError(f"{self.replicas} replicas: give 1 to {MAX_REPLICAS}")
        if self.balancer not in BALANCERS:
            raise WorkloadError(f"there is no balancer {self.balancer!r}: give one of {', '.join(BALANCERS)}")


Chooser = Callable[[list[int]], int]


def chooser(balancer: Balancer) -> Chooser:
    """Return what picks a replica, given how many requests each of them has."""
    turn = 0

    def in_turn(loads: list[int]) -> int:
        nonlocal turn
        turn += 1
        return (turn - 1) % len(loads)

    def least(loads: list[int]) -> int:
        return loads.index(min(loads))

    return in_turn if balancer == "round_robin" else least
