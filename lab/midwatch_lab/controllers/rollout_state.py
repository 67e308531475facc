"""A Deployment and its ReplicaSets at one moment, as the arithmetic and the status of a rollout read them."""

from dataclasses import dataclass

from midwatch_lab.controllers.rollout import Half, Limits, limits
from midwatch_lab.objects import Object, dig, name_of


@dataclass(frozen=True)
class Rollout:
    """A Deployment and its ReplicaSets at one moment; `olds` are oldest first."""

    deployment: Object
    new: Object | None
    olds: list[Object]

    @property
    def desired(self) -> int:
        """The number of pods that are wanted."""
        return int(dig(self.deployment, "spec", "replicas", default=0))

    @property
    def sets(self) -> list[Object]:
        """All ReplicaSets."""
        return [*self.olds, *([self.new] if self.new is not None else [])]

    @property
    def limits(self) -> Limits:
        """How far the rollout may stray."""
        rolling = dig(self.deployment, "spec", "strategy", "rollingUpdate", default={})
        if dig(self.deployment, "spec", "strategy", "type") == "Recreate":
            return Limits(0, 0)
        return limits(self.desired, rolling.get("maxSurge", "25%"), rolling.get("maxUnavailable", "25%"))


def half(item: Object) -> Half:
    """Return a ReplicaSet in numbers."""
    available = dig(item, "status", "availableReplicas", default=0)
    return Half(name_of(item), int(dig(item, "spec", "replicas", default=0)), int(available))
