"""Where the metrics that nobody books come from: state that is there anyway, read when it is scraped."""

from dataclasses import dataclass

from midwatch_contracts.clock import Clock
from midwatch_serving.config import ConfigResource
from midwatch_serving.energy import EnergyMeter
from midwatch_serving.engine import Engine
from midwatch_serving.metrics import Metrics, Readings
from midwatch_serving.mfu import Estimates
from midwatch_serving.model import ModelConfig
from midwatch_serving.operations import SLEEP_STATES, Operations


@dataclass(frozen=True)
class Served:
    """What `midwatch_model_info` tells."""

    root: str
    config: ModelConfig
    max_model_len: int
    version: str

    def labels(self) -> tuple[str, ...]:
        """Return the values of the labels, in their order."""
        c = self.config
        numbers = (c.layers, c.hidden, Estimates(c).parameters, self.max_model_len)
        return (self.root, c.architecture, *map(str, numbers), self.version)


def connect(
    metrics: Metrics,
    *,
    engine: Engine,
    operations: Operations,
    config: ConfigResource,
    energy: EnergyMeter,
    served: Served,
    clock: Clock,
) -> None:
    """Let `metrics` show the state of these."""
    scheduler, prefix = engine.scheduler, engine.scheduler.blocks.prefix

    def waiting_by_reason() -> Readings:
        waiting, held = len(scheduler.waiting), engine.gate.held
        return [(("capacity",), 0 if held else waiting), (("deferred",), waiting if held else 0)]

    def oldest() -> Readings:
        now = clock.now()
        return [((), max((now - sequence.arrived for sequence in scheduler.waiting), default=0.0))]

    metrics.source("vllm:num_requests_waiting_by_reason", waiting_by_reason)
    metrics.source(
        "vllm:engine_sleep_state",
        lambda: [((state,), operations.level == level) for level, state in enumerate(SLEEP_STATES)],
    )
    metrics.source("vllm:prefix_cache_queries", lambda: [((), prefix.queries)])
    metrics.source("vllm:prefix_cache_hits", lambda: [((), prefix.hits)])
    metrics.source(
        "vllm:admission_rejections",
        lambda: [((reason,), count) for reason, count in scheduler.rejections.items()],
    )
    throttle = engine.throttle
    if throttle.limit is not None:
        metrics.source("midwatch_cpu_periods", lambda: [((), throttle.periods)])
        metrics.source("midwatch_cpu_throttled_periods", lambda: [((), throttle.throttled_periods)])
        metrics.source("midwatch_cpu_throttled_seconds", lambda: [((), throttle.throttled_s)])
    metrics.source("midwatch_queue_oldest_seconds", oldest)
    metrics.source("midwatch_energy_joules", lambda: [((energy.method,), energy.joules())])
    metrics.source("midwatch_config_version", lambda: [((), config.current.version)])
    labels = served.labels()
    metrics.source("midwatch_model_info", lambda: [(labels, 1)])
