"""ServiceMonitors and PodMonitors as scrape jobs, made as the prometheus-operator makes them.

They are custom resources like any other here: whoever wants them brings their definitions. What a monitor asks for that
the lab does not offer (TLS, logins) makes it no job, and is said once in the log.

Source: https://prometheus-operator.dev/docs/api-reference/api/ (fields); the rules are those that the operator writes.
"""

import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, cast

from midwatch_lab.discovery_objects import Objects
from midwatch_lab.metrics.errors import ScrapeError
from midwatch_lab.metrics.scrape_config import Job, read_job
from midwatch_lab.objects import Object, dig, name_of, namespace_of

_LOG = logging.getLogger(__name__)
_META: Final = "__meta_kubernetes_"
_ODD: Final = re.compile(r"[^a-zA-Z0-9_]")
_KNOWN: Final = frozenset(
    {"port", "portNumber", "targetPort", "path", "scheme", "params", "interval", "scrapeTimeout", "honorLabels",
     "honorTimestamps", "relabelings", "metricRelabelings", "filterRunning"}
)  # fmt: skip
_ENDPOINT: Final = {
    "interval": "scrape_interval",
    "scrapeTimeout": "scrape_timeout",
    "path": "metrics_path",
    "scheme": "scheme",
    "params": "params",
    "honorLabels": "honor_labels",
    "honorTimestamps": "honor_timestamps",
}
_SPEC: Final = {
    "sampleLimit": "sample_limit",
    "labelLimit": "label_limit",
    "labelNameLengthLimit": "label_name_length_limit",
    "labelValueLengthLimit": "label_value_length_limit",
    "bodySizeLimit": "body_size_limit",
    "fallbackScrapeProtocol": "fallback_scrape_protocol",
}
_RULE: Final = {"sourceLabels": "source_labels", "targetLabel": "target_label"}
_Rules = list[dict[str, Any]]


@dataclass
class Monitors:
    """The jobs of the monitors in a cluster, read again when one changes."""

    objects: Objects
    _read: dict[tuple[str, str, str], tuple[Object, tuple[Job, ...]]] = field(
        default_factory=dict[tuple[str, str, str], "tuple[Object, tuple[Job, ...]]"]
    )

    def jobs(self) -> list[Job]:
        """Return the jobs, one an endpoint of a monitor."""
        before, self._read = self._read, {}
        for plural, make in _KINDS.items():
            for monitor in self.objects.items(("monitoring.coreos.com", plural)):
                place = (plural, namespace_of(monitor), name_of(monitor))
                kept = before.get(place)
                self._read[place] = kept if kept and kept[0] is monitor else (monitor, _jobs(monitor, make))
        return [job for _, jobs in self._read.values() for job in jobs]


def _jobs(monitor: Object, make: "Callable[[Object], Iterator[dict[str, Any]]]") -> tuple[Job, ...]:
    try:
        return tuple(read_job(given) for given in make(monitor))
    except ScrapeError as error:
        _LOG.warning("the monitor %s/%s is not scraped: %s", namespace_of(monitor), name_of(monitor), error)
        return ()


def _service_monitor(monitor: Object) -> Iterator[dict[str, Any]]:
    for number, endpoint in enumerate(_objects(monitor, "spec", "endpoints")):
        port, target = endpoint.get("port"), endpoint.get("targetPort")
        rules = [*_selected(monitor, "service")]
        if port:
            rules.append(_keep(f"{_META}endpoint_port_name", str(port)))
        elif target is not None:
            what = "number" if isinstance(target, int) else "name"
            rules.append(_keep(f"{_META}pod_container_port_{what}", str(target)))
        kind = [f"{_META}endpoint_address_target_kind", f"{_META}endpoint_address_target_name"]
        rules += [
            {"source_labels": kind, "regex": f"{of};(.*)", "replacement": "${1}", "target_label": of.lower()}
            for of in ("Node", "Pod")
        ]
        rules += _named({"namespace": "namespace", "service": "service_name", "pod": "pod_name"})
        rules += _named({"container": "pod_container_name"})
        rules.append(_no_ended())
        rules += _copied(monitor, "targetLabels", "service") + _copied(monitor, "podTargetLabels", "pod")
        rules += [*_named({"job": "service_name"}), *_job_label(monitor, "service")]
        yield _config(monitor, "serviceMonitor", number, endpoint, rules + _endpoint(port or target))


def _pod_monitor(monitor: Object) -> Iterator[dict[str, Any]]:
    for number, endpoint in enumerate(_objects(monitor, "spec", "podMetricsEndpoints")):
        port = endpoint.get("port") or endpoint.get("portNumber")
        rules = [] if endpoint.get("filterRunning") is False else [_no_ended()]
        rules += _selected(monitor, "pod")
        if port:
            what = "name" if endpoint.get("port") else "number"
            rules.append(_keep(f"{_META}pod_container_port_{what}", str(port)))
        rules += _named({"namespace": "namespace", "container": "pod_container_name", "pod": "pod_name"})
        rules += _copied(monitor, "podTargetLabels", "pod")
        rules.append({"target_label": "job", "replacement": f"{namespace_of(monitor)}/{name_of(monitor)}"})
        rules += _job_label(monitor, "pod")
        yield _config(monitor, "podMonitor", number, endpoint, rules + _endpoint(port))


_KINDS: Final = {"servicemonitors": _service_monitor, "podmonitors": _pod_monitor}


def _config(monitor: Object, kind: str, number: int, endpoint: Object, rules: _Rules) -> dict[str, Any]:
    """Return a job as a configuration has it."""
    unknown = sorted(set(endpoint) - _KNOWN)
    if unknown:
        raise ScrapeError(f"{unknown[0]} of an endpoint is not offered; there are {', '.join(sorted(_KNOWN))}")
    spec = _object(monitor, "spec")
    chosen = _object(spec, "namespaceSelector")
    names = [] if chosen.get("any") else _texts(chosen, "matchNames") or [namespace_of(monitor)]
    return {
        "job_name": f"{kind}/{namespace_of(monitor)}/{name_of(monitor)}/{number}",
        **{to: endpoint[name] for name, to in _ENDPOINT.items() if endpoint.get(name) not in (None, "")},
        **{to: spec[name] for name, to in _SPEC.items() if spec.get(name) is not None},
        "kubernetes_sd_configs": [
            {"role": "endpoints" if kind == "serviceMonitor" else "pod", "namespaces": {"names": names}}
        ],
        "relabel_configs": rules + [_snake(rule) for rule in _objects(endpoint, "relabelings")],
        "metric_relabel_configs": [_snake(rule) for rule in _objects(endpoint, "metricRelabelings")],
    }


def _selected(monitor: Object, kind: str) -> _Rules:
    """Return the rules for the monitor's selector, over the labels of Services or of pods."""
    selector = _object(monitor, "spec", "selector")
    rules: _Rules = []
    for name, value in sorted(_object(selector, "matchLabels").items()):
        rules.append(_match("keep", kind, name, f"({re.escape(str(value))});true"))
    for one in _objects(selector, "matchExpressions"):
        key, operator = str(one.get("key")), str(one.get("operator"))
        values = "|".join(map(re.escape, _texts(one, "values")))
        present = _keep(f"{_META}{kind}_labelpresent_{_plain(key)}", "true")
        match operator:
            case "In" | "NotIn":
                rules.append(_match("keep" if operator == "In" else "drop", kind, key, f"({values});true"))
            case "Exists" | "DoesNotExist":
                rules.append(present if operator == "Exists" else present | {"action": "drop"})
            case _:
                raise ScrapeError(f"the selector has the unknown operator {operator!r}")
    return rules


def _match(action: str, kind: str, name: str, regex: str) -> dict[str, Any]:
    sources = [f"{_META}{kind}_{what}_{_plain(name)}" for what in ("label", "labelpresent")]
    return {"action": action, "source_labels": sources, "regex": regex}


def _keep(label: str, regex: str) -> dict[str, Any]:
    return {"action": "keep", "source_labels": [label], "regex": regex}


def _no_ended() -> dict[str, Any]:
    return _keep(f"{_META}pod_phase", "(Failed|Succeeded)") | {"action": "drop"}


def _named(names: dict[str, str]) -> _Rules:
    return [{"source_labels": [f"{_META}{source}"], "target_label": name} for name, source in names.items()]


def _copied(monitor: Object, setting: str, kind: str) -> _Rules:
    """Return the rules that give targets the labels of their Service or pod."""
    return [_copy(kind, name, _plain(name)) for name in _texts(monitor, "spec", setting)]


def _job_label(monitor: Object, kind: str) -> _Rules:
    name = dig(monitor, "spec", "jobLabel")
    return [_copy(kind, str(name), "job")] if name else []


def _copy(kind: str, name: str, target: str) -> dict[str, Any]:
    source = f"{_META}{kind}_label_{_plain(name)}"
    return {"source_labels": [source], "regex": "(.+)", "replacement": "${1}", "target_label": target}


def _endpoint(port: Any) -> _Rules:
    return [{"target_label": "endpoint", "replacement": str(port)}] if port else []


def _snake(rule: Object) -> dict[str, Any]:
    return {_RULE.get(name, name): value for name, value in rule.items()}


def _plain(name: str) -> str:
    return _ODD.sub("_", name)


def _object(obj: Object, *path: str) -> Object:
    """Return the object at a path, an empty one where there is none; a monitor's definition need not check shapes."""
    found = dig(obj, *path)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ScrapeError(f"{path[-1]} is an object, not {found!r}")
    return cast("Object", found)


def _list(obj: Object, *path: str) -> list[Any]:
    found = dig(obj, *path)
    if found is not None and not isinstance(found, list):
        raise ScrapeError(f"{path[-1]} is a list, not {found!r}")
    return cast("list[Any]", found or [])


def _objects(obj: Object, *path: str) -> list[Object]:
    return [_object({path[-1]: one}, path[-1]) for one in _list(obj, *path)]


def _texts(obj: Object, *path: str) -> list[str]:
    return [str(one) for one in _list(obj, *path)]
