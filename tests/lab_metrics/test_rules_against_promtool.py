"""What our rules say at every minute, given to the original's `promtool test rules` as what to expect."""

import json
import subprocess
from pathlib import Path

import pytest

from midwatch_lab.metrics.engine.evaluate import Limits
from midwatch_lab.metrics.engine.query import instant, read
from midwatch_lab.metrics.labels import from_dict
from midwatch_lab.metrics.rules import Rules
from midwatch_lab.metrics.store import STALE, Store

pytestmark = pytest.mark.original

MINUTES = 25
QUEUE: dict[str, list[float | None]] = {
    "chat": [3, 12, 12, 13, 1, 40, 1e6, 1234567, 0.5, 30, 31, 32, 33, None, 34, 35, 36, 37, 38, 1, 1, 50, 50, 50, 50],
    "embed": [12.5] * 12 + [None] * 5 + [99] * 8,
}
RULES = """
groups:
- name: serving
  interval: 1m
  rules:
  - record: service:queue:sum
    expr: sum by (service) (queue)
    labels: {team: night}
  - alert: QueueLong
    expr: service:queue:sum > 10
    for: 3m
    labels: {severity: page, who: "{{ $labels.service }}-{{ $value }}x"}
    annotations: {summary: "{{ $labels.service }} has {{ $value }} waiting{{ $labels.nothing }}"}
  - alert: QueueEver
    expr: max_over_time(queue[3m]) > 30
    keep_firing_for: 2m
    annotations: {value: "{{ $value }}"}
  - alert: Silent
    expr: absent(queue{service="embed"})
    for: 1m
"""


def _series_text(values: list[float | None]) -> str:
    return " ".join("stale" if value is None else repr(float(value)) for value in values)


def test_promtool_agrees_at_every_minute(prometheus_binaries: Path, tmp_path: Path) -> None:
    store = Store(retention_s=1e9)
    rules = Rules(store, Limits(), interval_s=60)
    rules.replace(RULES)
    fired = 0
    alert_tests: list[object] = []
    sample_tests: list[object] = []
    for minute in range(MINUTES):
        for service, values in QUEUE.items():
            value = values[minute]
            series = store.series(from_dict({"__name__": "queue", "service": service}))
            store.append(series, minute * 60_000, STALE if value is None else value)
        rules.evaluate(minute * 60.0)
        for name in ("QueueLong", "QueueEver", "Silent"):
            firing = [a for a in rules.alerts() if a.labels["alertname"] == name and a.state == "firing"]
            expected = [
                {
                    "exp_labels": {k: v for k, v in alert.labels.items() if k != "alertname"},
                    "exp_annotations": alert.annotations,
                }
                for alert in firing
            ]
            fired += len(firing)
            alert_tests.append({"eval_time": f"{minute}m", "alertname": name, "exp_alerts": expected})
        for query in ("service:queue:sum", "count by (alertname, alertstate) (ALERTS)", "ALERTS_FOR_STATE"):
            found = instant(store, read(query), minute * 60.0, Limits()).series
            samples = [
                {"labels": "{" + ",".join(f"{k}={json.dumps(v)}" for k, v in labels) + "}", "value": points[0][1]}
                for labels, points in found
            ]
            sample_tests.append({"expr": query, "eval_time": f"{minute}m", "exp_samples": samples})
    (tmp_path / "rules.yml").write_text(RULES)
    test = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {"series": f'queue{{service="{service}"}}', "values": _series_text(values)}
                    for service, values in QUEUE.items()
                ],
                "alert_rule_test": alert_tests,
                "promql_expr_test": sample_tests,
            }
        ],
    }
    (tmp_path / "test.yml").write_text(json.dumps(test))
    command = [str(prometheus_binaries / "promtool"), "test", "rules", str(tmp_path / "test.yml")]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert found.returncode == 0, found.stdout[-6000:] + found.stderr[-3000:]
    assert fired > 15
