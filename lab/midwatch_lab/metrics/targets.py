"""What is scraped."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """One page of metrics: where it is, and the labels that every series scraped from it carries.

    Labels are those of a prometheus-operator target: `namespace, pod, container, service, endpoint, job, instance`.
    """

    labels: dict[str, str]
    url: str
