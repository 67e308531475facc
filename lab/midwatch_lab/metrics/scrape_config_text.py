"""Scrape configuration written as YAML again: what differs from the defaults."""

from collections.abc import Sequence
from typing import Any, Final

import yaml

from midwatch_contracts.promql import duration_literal
from midwatch_lab.metrics.relabelling import Rule
from midwatch_lab.metrics.scrape_config import Job

_SAME: Final = (
    "metrics_path", "scheme", "honor_labels", "honor_timestamps", "extra_scrape_metrics", "body_size_limit",
    "sample_limit", "label_limit", "label_name_length_limit", "label_value_length_limit",
)  # fmt: skip


def jobs_text(jobs: Sequence[Job], interval_s: float, timeout_s: float) -> str:
    """Return the configuration of jobs, and the seconds that count where they name none."""
    every, within = (duration_literal(round(seconds * 1000)) for seconds in (interval_s, timeout_s))
    common = {"scrape_interval": every, "scrape_timeout": within, "evaluation_interval": every}
    document = {"global": common, **({"scrape_configs": [_job(job) for job in jobs]} if jobs else {})}
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def _job(job: Job) -> dict[str, Any]:
    times = {"scrape_interval": job.interval_s, "scrape_timeout": job.timeout_s}
    plain = Job(job.name)
    shown: dict[str, Any] = {
        "job_name": job.name,
        **{name: duration_literal(round(seconds * 1000)) for name, seconds in times.items() if seconds},
        **{name: getattr(job, name) for name in _SAME if getattr(job, name) != getattr(plain, name)},
        "params": {name: list(values) for name, values in job.params.items()},
        "relabel_configs": [_rule(rule) for rule in job.relabel],
        "metric_relabel_configs": [_rule(rule) for rule in job.metric_relabel],
        "kubernetes_sd_configs": [
            {"role": one.role, **({"namespaces": {"names": list(one.namespaces)}} if one.namespaces else {})}
            for one in job.kubernetes
        ],
        "static_configs": [
            {
                "targets": [labels["__address__"]],
                "labels": {name: value for name, value in labels.items() if name != "__address__"},
            }
            for labels in job.static
        ],
    }
    return {name: value for name, value in shown.items() if value or name in _SAME}


def _rule(rule: Rule) -> dict[str, Any]:
    plain = Rule()
    found: dict[str, Any] = {"source_labels": list(rule.source_labels)} if rule.source_labels else {}
    names = ("separator", "regex", "modulus", "target_label", "replacement", "action")
    return found | {name: getattr(rule, name) for name in names if getattr(rule, name) != getattr(plain, name)}
