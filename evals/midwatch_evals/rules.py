"""The alert rule that an incident's alert comes from, in Prometheus's rule-file format."""

import yaml

from midwatch_contracts.times import duration_text
from midwatch_evals.prometheus import TTFT
from midwatch_evals.scenario import ScenarioAlert


def ttft_rule(alert: ScenarioAlert, *, objective_s: float, window_s: float, for_s: float) -> str:
    """Return a rule file with one alert: p95 time to first token by namespace and service over its objective."""
    rate = f"sum by (namespace, service, le) (rate({TTFT}[{duration_text(window_s)}]))"
    static = {k: v for k, v in alert.labels.items() if k not in {"alertname", "namespace", "service"}}
    rule = {
        "alert": alert.labels["alertname"],
        "expr": f"histogram_quantile(0.95, {rate}) > {objective_s:g}",
        "for": duration_text(for_s),
        "labels": static,
        "annotations": {**alert.annotations, "objective": duration_text(objective_s)},
    }
    return yaml.safe_dump({"groups": [{"name": "midwatch", "interval": "1s", "rules": [rule]}]}, sort_keys=False)
