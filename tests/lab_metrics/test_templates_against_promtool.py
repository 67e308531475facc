"""Templates beside the original: each line of `templates/templates.txt` is an annotation, filled in by both."""

import json
import math
import subprocess
from pathlib import Path

import pytest

from midwatch_lab.metrics.engine.evaluate import Limits
from midwatch_lab.metrics.labels import from_dict
from midwatch_lab.metrics.rules import Rules
from midwatch_lab.metrics.store import Store

TEMPLATES = (Path(__file__).parent / "templates" / "templates.txt").read_text().splitlines()
SERIES = {"a": [3.5, 1e6, math.nan], "b": [1.0, 0.00042, 5.0], "c": [1e15, -7.25, 123456789.0]}


@pytest.mark.original
def test_promtool_fills_in_templates_as_we_do(prometheus_binaries: Path, tmp_path: Path) -> None:
    rules = [{"alert": f"T{number}", "expr": "x", "annotations": {"t": text}} for number, text in enumerate(TEMPLATES)]
    text = json.dumps({"groups": [{"name": "g", "rules": rules}]})
    store = Store(retention_s=math.inf)
    ours = Rules(store, Limits(), 60, {"cluster": "c1"})
    ours.replace(text)
    cases: list[object] = []
    for minute in range(3):
        for pod, values in SERIES.items():
            store.append(store.series(from_dict({"__name__": "x", "pod": pod})), minute * 60_000, values[minute])
        ours.evaluate(minute * 60.0)
        for number in range(len(TEMPLATES)):
            firing = [one for one in ours.alerts() if one.labels["alertname"] == f"T{number}"]
            expected = [{"exp_labels": one.labels, "exp_annotations": one.annotations} for one in firing]
            cases.append({"eval_time": f"{minute}m", "alertname": f"T{number}", "exp_alerts": expected})
    inputs = [
        {"series": f'x{{pod="{pod}"}}', "values": " ".join("NaN" if math.isnan(v) else repr(v) for v in values)}
        for pod, values in SERIES.items()
    ]
    test = {"interval": "1m", "external_labels": {"cluster": "c1"}, "input_series": inputs, "alert_rule_test": cases}
    (tmp_path / "rules.yml").write_text(text)
    (tmp_path / "test.yml").write_text(json.dumps({"rule_files": ["rules.yml"], "tests": [test]}))
    command = [str(prometheus_binaries / "promtool"), "test", "rules", str(tmp_path / "test.yml")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, (ended.stdout + ended.stderr)[-6000:]
    written = {one.annotations["t"] for one in ours.alerts()}
    assert not [text for text in written if "<error" in text], "a template that fails says so in our words"
