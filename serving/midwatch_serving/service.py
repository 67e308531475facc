"""What the HTTP endpoints share: the engine, its configuration and metrics, and whether the server is draining."""

from dataclasses import dataclass

from midwatch_contracts.clock import Clock
from midwatch_serving.config import ConfigResource
from midwatch_serving.energy import EnergyMeter
from midwatch_serving.engine import Engine
from midwatch_serving.metrics import Metrics
from midwatch_serving.operations import Operations


@dataclass
class Service:
    """One model served by one engine."""

    engine: Engine
    operations: Operations
    config: ConfigResource
    metrics: Metrics
    energy: EnergyMeter
    clock: Clock
    model_name: str
    model_root: str
    """`tiny`."""
    model_about: str
    version: str
    created: int
    """Unix seconds."""
    draining: bool = False
    cost_model: str | None = None
    """What predicts the steps, where none is named; None: that of the model on the CPU."""
    cpu_limit: float | None = None
    """Cores that the engine's steps may use; None: no limit."""

    @property
    def healthy(self) -> bool:
        """Whether new requests are taken."""
        return not (self.draining or self.operations.drain is not None or self.engine.dead)
