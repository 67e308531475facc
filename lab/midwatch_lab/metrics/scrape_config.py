"""Scrape configuration in Prometheus's YAML: `scrape_configs` with static targets and with those of Kubernetes.

What is read means what it means to Prometheus; what is not offered (TLS, logins, other discovery) is refused by name,
not left out.

Source: https://prometheus.io/docs/prometheus/latest/configuration/configuration/#scrape_config.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import yaml

from midwatch_contracts.promql import duration_ms
from midwatch_lab.metrics.errors import ScrapeError
from midwatch_lab.metrics.relabelling import Rule, read_rules, scalar

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SIZE: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(B|[KMGT]i?B)?")
_UNITS: Final = {"": 1, "B": 1} | {
    f"{letter}{suffix}": 1024**power for power, letter in enumerate("KMGT", 1) for suffix in ("B", "iB")
}
_LIMITS: Final = (
    "sample_limit",
    "label_limit",
    "label_name_length_limit",
    "label_value_length_limit",
)
_SWITCHES: Final = ("honor_labels", "honor_timestamps", "extra_scrape_metrics")
_PROTOCOLS: Final = {
    "PrometheusText0.0.4": "text/plain",
    "PrometheusText1.0.0": "text/plain",
    "OpenMetricsText0.0.1": "application/openmetrics-text",
    "OpenMetricsText1.0.0": "application/openmetrics-text",
}
_ROLES: Final = ("endpoints", "endpointslice", "pod")
_JOB: Final = (
    "job_name", "scrape_interval", "scrape_timeout", "metrics_path", "scheme", "params", "body_size_limit",
    "fallback_scrape_protocol", "static_configs", "kubernetes_sd_configs", "relabel_configs", "metric_relabel_configs",
    *_LIMITS, *_SWITCHES,
)  # fmt: skip
_GLOBAL: Final = (
    "scrape_interval", "scrape_timeout", "evaluation_interval", "extra_scrape_metrics", "body_size_limit", *_LIMITS,
)  # fmt: skip


@dataclass(frozen=True)
class Discovery:
    """One `kubernetes_sd_configs`: pods behind Services (`endpoints`), or pods; no namespaces are all."""

    role: str
    namespaces: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """One `scrape_configs`. Limits of 0 are none; times are seconds, None for the server's own."""

    name: str
    interval_s: float | None = None
    timeout_s: float | None = None
    metrics_path: str = "/metrics"
    scheme: str = "http"
    params: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    honor_labels: bool = False
    honor_timestamps: bool = True
    extra_scrape_metrics: bool = False
    fallback: str = ""
    """The content type of a page that names none."""
    body_size_limit: int = 0
    sample_limit: int = 0
    label_limit: int = 0
    label_name_length_limit: int = 0
    label_value_length_limit: int = 0
    relabel: tuple[Rule, ...] = ()
    metric_relabel: tuple[Rule, ...] = ()
    static: tuple[Mapping[str, str], ...] = ()
    """Label sets with an `__address__` each."""
    kubernetes: tuple[Discovery, ...] = ()
    yielding: bool = False
    """Leaves alone what another job scrapes under the same labels."""


def read_jobs(text: str) -> tuple[Job, ...]:
    """Read the `scrape_configs` of a Prometheus configuration.

    Raises:
        ScrapeError: names the job and the field that cannot be.
    """
    try:
        document = yaml.load(text, _LOADER)  # noqa: S506 (a safe loader: the fast one where it is built)
    except yaml.YAMLError as error:
        raise ScrapeError(f"the scrape configuration is not YAML: {error}") from error
    whole = _mapping(document or {}, "the scrape configuration", ("global", "scrape_configs"))
    defaults = _mapping(whole.get("global") or {}, "global", _GLOBAL)
    jobs: list[Job] = []
    for given in _list(whole.get("scrape_configs"), "scrape_configs"):
        job = _job(given, defaults)
        if any(other.name == job.name for other in jobs):
            raise ScrapeError(f'found multiple scrape configs with job name "{job.name}"')
        jobs.append(job)
    return tuple(jobs)


def read_job(given: Mapping[str, Any]) -> Job:
    """Read one of `scrape_configs`, as YAML gives it.

    Raises:
        ScrapeError: names the field that cannot be.
    """
    return _job(given, {})


def _job(given: Any, defaults: Mapping[str, Any]) -> Job:
    own = _mapping(given, "a scrape config", _JOB)
    name = scalar(own.get("job_name") or "")
    if not name:
        raise ScrapeError("job_name is empty")
    where = f'job "{name}"'
    fields = {**defaults, **{key: value for key, value in own.items() if value is not None}}
    interval_s, timeout_s = (_seconds(fields, key, where) for key in ("scrape_interval", "scrape_timeout"))
    if own.get("scrape_timeout") is not None and interval_s and (timeout_s or 0) > interval_s:
        raise ScrapeError(f'scrape timeout greater than scrape interval for scrape config with job name "{name}"')
    protocol = scalar(fields.get("fallback_scrape_protocol", ""))
    if protocol and protocol not in _PROTOCOLS:
        raise ScrapeError(f"{where}: fallback_scrape_protocol is one of {', '.join(_PROTOCOLS)}, not {protocol!r}")
    scheme = scalar(fields.get("scheme", "http"))
    if scheme != "http":
        raise ScrapeError(f"{where}: scheme {scheme!r} is not offered: the lab scrapes over http")
    return Job(
        name,
        interval_s,
        timeout_s,
        scalar(fields.get("metrics_path", "/metrics")),
        scheme,
        _params(fields.get("params"), where),
        fallback=_PROTOCOLS.get(protocol, ""),
        body_size_limit=_size(fields.get("body_size_limit"), where),
        relabel=read_rules(fields.get("relabel_configs"), f"{where}: relabel_configs"),
        metric_relabel=read_rules(fields.get("metric_relabel_configs"), f"{where}: metric_relabel_configs"),
        static=_static(fields.get("static_configs"), where),
        kubernetes=_kubernetes(fields.get("kubernetes_sd_configs"), where),
        **{key: _whole(fields[key], f"{where}: {key}") for key in _LIMITS if key in fields},
        **{key: _switch(fields[key], f"{where}: {key}") for key in _SWITCHES if key in fields},
    )


def _static(given: Any, where: str) -> tuple[Mapping[str, str], ...]:
    found: list[Mapping[str, str]] = []
    for index, one in enumerate(_list(given, f"{where}: static_configs")):
        group = _mapping(one, f"{where}: static_configs[{index}]", ("targets", "labels"))
        labels = _mapping(group.get("labels") or {}, f"{where}: labels", None)
        for target in _list(group.get("targets"), f"{where}: targets"):
            if "/" in scalar(target):
                raise ScrapeError(f'"{scalar(target)}" is not a valid hostname')
            found.append({**{key: scalar(value) for key, value in labels.items()}, "__address__": scalar(target)})
    return tuple(found)


def _kubernetes(given: Any, where: str) -> tuple[Discovery, ...]:
    found: list[Discovery] = []
    for index, one in enumerate(_list(given, f"{where}: kubernetes_sd_configs")):
        place = f"{where}: kubernetes_sd_configs[{index}]"
        fields = _mapping(one, place, ("role", "namespaces"))
        role = scalar(fields.get("role", ""))
        if role not in _ROLES:
            raise ScrapeError(f"{place}: role is one of {', '.join(_ROLES)}, not {role!r}")
        spaces = _mapping(fields.get("namespaces") or {}, f"{place}: namespaces", ("names",))
        names = tuple(map(scalar, _list(spaces.get("names"), f"{place}: names")))
        found.append(Discovery("pod" if role == "pod" else "endpoints", names))
    return tuple(found)


def _params(given: Any, where: str) -> dict[str, tuple[str, ...]]:
    fields = _mapping(given or {}, f"{where}: params", None)
    return {name: tuple(map(scalar, _list(values, f"{where}: params.{name}"))) for name, values in fields.items()}


def _seconds(fields: Mapping[str, Any], key: str, where: str) -> float | None:
    text = scalar(fields.get(key, ""))
    if not text:
        return None
    found = duration_ms(text)
    if found is None:
        raise ScrapeError(f'{where}: {key}: not a valid duration string: "{text}"')
    return found / 1000 or None


def _size(given: Any, where: str) -> int:
    text = scalar(given or 0)
    found = _SIZE.fullmatch(text)
    if found is None:
        raise ScrapeError(f"{where}: body_size_limit is a size such as 10MB, not {text!r}")
    return int(float(found[1]) * _UNITS[found[2] or ""])


def _whole(given: Any, what: str) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or given < 0:
        raise ScrapeError(f"{what} is a whole number from 0 on, not {given!r}")
    return given


def _switch(given: Any, what: str) -> bool:
    if not isinstance(given, bool):
        raise ScrapeError(f"{what} is true or false, not {given!r}")
    return given


def _list(given: Any, what: str) -> Sequence[Any]:
    if given is None:
        return ()
    if not isinstance(given, list):
        raise ScrapeError(f"{what} is a list, not {given!r}")
    return cast("list[Any]", given)


def _mapping(given: Any, what: str, known: Sequence[str] | None) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise ScrapeError(f"{what} is a mapping, not {given!r}")
    found = {scalar(key): value for key, value in cast("dict[Any, Any]", given).items()}
    unknown = [key for key in found if known is not None and key not in known]
    if unknown:
        raise ScrapeError(f"{what}: field {unknown[0]} is not offered; there are {', '.join(known or ())}")
    return found
