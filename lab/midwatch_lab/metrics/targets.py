"""From what discovery finds to what is scraped: labels, URL, or why a target is dropped.

Source: https://prometheus.io/docs/prometheus/latest/configuration/configuration/#relabel_config.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote, urlencode

from midwatch_contracts.promql import duration_literal, duration_ms
from midwatch_lab.metrics.errors import ScrapeError
from midwatch_lab.metrics.relabelling import relabelled
from midwatch_lab.metrics.scrape_config import Job

REPORTS: Final = (
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
)
"""The series that each target has of its scrapes."""
EXTRA_REPORTS: Final = ("scrape_timeout_seconds", "scrape_sample_limit", "scrape_body_size_bytes")
"""More of them, where a job asks for them by `extra_scrape_metrics`."""
_META, _PARAM, _INTERNAL = "__meta_", "__param_", "__"
_FIXED: Final = {
    "__always_scrape_classic_histograms__": "false",
    "__convert_classic_histograms_to_nhcb__": "false",
    "__scrape_native_histograms__": "false",
}
_PATH: Final = "/:@!$&'()*+,;=~%"
PLAIN: Final = Job("lab")
"""The job of targets that were named without one."""


@dataclass(frozen=True)
class Target:
    """One page of metrics: where it is, and the labels that every series scraped from it carries.

    Labels are those of a prometheus-operator target: `namespace, pod, container, service, endpoint, job, instance`.
    """

    labels: dict[str, str]
    url: str
    job: Job = PLAIN
    discovered: Mapping[str, str] = field(default_factory=dict[str, str])
    """What was known of it before relabelling."""
    interval_s: float = 0.0
    """Seconds between scrapes; 0 for the scraper's own."""
    timeout_s: float = 0.0
    """Seconds that a scrape may take; 0 for the scraper's own."""

    @property
    def pool(self) -> str:
        """The name under which the API lists it."""
        return self.labels.get("job", "") if self.job is PLAIN else self.job.name


@dataclass(frozen=True)
class Dropped:
    """A target that relabelling drops, or that cannot be: `problem` says why."""

    discovered: Mapping[str, str]
    job: Job
    problem: str = ""


def populated(found: Mapping[str, str], job: Job, interval_s: float, timeout_s: float) -> Target | Dropped:
    """Make a target of what discovery found; `interval_s` and `timeout_s` count where the job names none."""
    every, within = job.interval_s or interval_s, job.timeout_s or timeout_s
    discovered = {
        "job": job.name,
        "__scrape_interval__": duration_literal(round(every * 1000)),
        "__scrape_timeout__": duration_literal(round(min(within, every) * 1000)),
        "__metrics_path__": job.metrics_path,
        "__scheme__": job.scheme,
        **_FIXED,
        **{name: value for name, value in found.items() if value},
        **{f"{_PARAM}{name}": values[0] for name, values in job.params.items() if values},
    }
    labels = relabelled(discovered, job.relabel)
    if labels is None:
        return Dropped(discovered, job)
    try:
        return _target(labels, discovered, job)
    except ScrapeError as error:
        return Dropped(discovered, job, str(error))


def _target(labels: dict[str, str], discovered: Mapping[str, str], job: Job) -> Target:
    address, path = labels.get("__address__", ""), labels.get("__metrics_path__", "")
    if not address:
        raise ScrapeError("no address")
    if "/" in address:
        raise ScrapeError(f'"{address}" is not a valid hostname')
    interval_s = _seconds(labels, "__scrape_interval__", "scrape interval")
    timeout_s = _seconds(labels, "__scrape_timeout__", "scrape timeout")
    if timeout_s > interval_s:
        texts = f'"{labels["__scrape_timeout__"]}" > "{labels["__scrape_interval__"]}"'
        raise ScrapeError(f"scrape timeout cannot be greater than scrape interval ({texts})")
    params = {name: list(values) for name, values in job.params.items()}
    for name, value in labels.items():
        if name.startswith(_PARAM):
            params[name.removeprefix(_PARAM)] = [value, *params.get(name.removeprefix(_PARAM), [])[1:]]
    query = urlencode(sorted(params.items()), doseq=True)
    slash = "" if path.startswith("/") or not path else "/"
    url = f"{labels.get('__scheme__', '')}://{address}{slash}{quote(path, safe=_PATH)}{'?' if query else ''}{query}"
    public = {name: value for name, value in labels.items() if not name.startswith(_INTERNAL)}
    return Target({"instance": address} | public, url, job, discovered, interval_s, timeout_s)


def _seconds(labels: Mapping[str, str], name: str, what: str) -> float:
    milliseconds = duration_ms(labels.get(name, ""))
    if milliseconds is None:
        raise ScrapeError(f'error parsing {what}: not a valid duration string: "{labels.get(name, "")}"')
    if milliseconds == 0:
        raise ScrapeError(f"{what} cannot be 0")
    return milliseconds / 1000
