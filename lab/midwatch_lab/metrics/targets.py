"""What is scraped."""

from dataclasses import dataclass
from typing import Final

REPORTS: Final = (
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
)
"""The series that each target has of its scrapes."""


@dataclass(frozen=True)
class Target:
    """One page of metrics: where it is, and the labels that every series scraped from it carries.

    Labels are those of a prometheus-operator target: `namespace, pod, container, service, endpoint, job, instance`.
    """

    labels: dict[str, str]
    url: str
