"""ServiceMonitors and PodMonitors, scraped as the prometheus-operator would have them."""

import logging
from typing import Any

import pytest

from midwatch_lab.discovery import Discoverer
from midwatch_lab.metrics.targets import Dropped, Target
from midwatch_lab.scraping import SERVICES_JOB


def _pod(name: str, **labels: str) -> dict[str, Any]:
    ports = [{"name": "web", "containerPort": 8000}, {"name": "extra", "containerPort": 9000}]
    return {
        "metadata": {"name": name, "namespace": "chat", "labels": {"app": "chat", **labels}},
        "spec": {"containers": [{"name": "server", "ports": ports}]},
        "status": {"phase": "Running", "podIP": "127.0.0.9"},
    }


def _monitor(endpoint: dict[str, Any], **spec: Any) -> dict[str, Any]:
    selector = {"matchLabels": {"team": "one"}}
    return {
        "metadata": {"name": "mine", "namespace": "chat"},
        "spec": {"selector": selector, "endpoints": [endpoint], **spec},
    }


class _Cluster:
    def __init__(self) -> None:
        service = {
            "metadata": {"name": "chat", "namespace": "chat", "labels": {"team": "one", "tier": "gold"}},
            "spec": {"selector": {"app": "chat"}, "ports": [{"name": "http", "port": 80, "targetPort": 8000}]},
        }
        self.found: dict[str, list[dict[str, Any]]] = {"services": [service], "pods": [_pod("a", zone="z")]}
        self.discoverer = Discoverer(self, (SERVICES_JOB,))

    def items(self, key: tuple[str, str], namespace: str = "") -> list[dict[str, Any]]:
        assert namespace in ("", "chat")
        return self.found.get(key[1], [])

    def active(self) -> list[Target]:
        return [target for target in self.discoverer.targets() if isinstance(target, Target)]


def test_a_monitor_of_what_is_scraped_anyway_takes_it_over_with_its_own_settings() -> None:
    cluster = _Cluster()
    before = cluster.active()
    cluster.found["servicemonitors"] = [_monitor({"port": "http", "interval": "30s", "scrapeTimeout": "5s"})]
    after = cluster.active()
    assert [target.job.name for target in before] == ["services"]
    assert [target.job.name for target in after] == ["serviceMonitor/chat/mine/0"]
    assert (after[0].labels, after[0].url) == (before[0].labels, before[0].url)
    assert (after[0].interval_s, after[0].timeout_s) == (30, 5)
    cluster.found["servicemonitors"] = []
    assert [target.job.name for target in cluster.active()] == ["services"]


def test_a_monitor_relabels_copies_labels_and_names_its_job_by_one() -> None:
    cluster = _Cluster()
    relabelings = [{"sourceLabels": ["pod"], "targetLabel": "who", "replacement": "pod-$1"}]
    dropped = [{"sourceLabels": ["__name__"], "regex": "go_.*", "action": "drop"}]
    endpoint = {"targetPort": 8000, "path": "/m", "relabelings": relabelings, "metricRelabelings": dropped}
    cluster.found["servicemonitors"] = [
        _monitor(endpoint, jobLabel="tier", targetLabels=["team"], podTargetLabels=["zone"], sampleLimit=9)
    ]
    found = [target for target in cluster.active() if target.job is not SERVICES_JOB]
    assert [target.url for target in found] == ["http://127.0.0.9:8000/m"]
    assert {name: found[0].labels[name] for name in ("job", "team", "zone", "who", "endpoint")} == {
        "job": "gold",
        "team": "one",
        "zone": "z",
        "who": "pod-a",
        "endpoint": "8000",
    }
    assert found[0].job.sample_limit == 9
    assert found[0].job.metric_relabel[0].action == "drop"


def test_a_pod_monitor_finds_pods_by_their_labels_and_port() -> None:
    cluster = _Cluster()
    cluster.found["pods"].append(_pod("other", team="two"))
    monitor = _monitor({})
    monitor["spec"] = {
        "selector": {"matchExpressions": [{"key": "team", "operator": "In", "values": ["two", "three"]}]},
        "podMetricsEndpoints": [{"port": "extra"}],
    }
    cluster.found["podmonitors"] = [monitor]
    found = [target for target in cluster.active() if target.job is not SERVICES_JOB]
    assert [(target.url, target.labels["pod"], target.labels["job"]) for target in found] == [
        ("http://127.0.0.9:9000/metrics", "other", "chat/mine")
    ]
    assert found[0].job.name == "podMonitor/chat/mine/0"


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({"namespaceSelector": {"any": True}}, 1),
        ({"namespaceSelector": {"matchNames": ["elsewhere"]}}, 0),
        ({"selector": {"matchLabels": {"team": "two"}}}, 0),
        ({"selector": {"matchExpressions": [{"key": "team", "operator": "Exists"}]}}, 1),
        ({"selector": {"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]}}, 0),
        ({"selector": {"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["gold"]}]}}, 0),
    ],
)
def test_a_monitor_selects_services_by_namespace_and_labels(change: dict[str, Any], kept: int) -> None:
    cluster = _Cluster()
    cluster.found["servicemonitors"] = [_monitor({"port": "http"}, **change)]
    assert sum(target.job is not SERVICES_JOB for target in cluster.active()) == kept


@pytest.mark.parametrize(
    ("endpoint", "problem"),
    [
        ({"port": "http", "tlsConfig": {}}, "tlsConfig of an endpoint is not offered"),
        ({"port": "http", "scheme": "https"}, "over http"),
        ({"port": "http", "relabelings": [{"action": "fly"}]}, "unknown relabel action"),
        ("no endpoint", "not scraped"),
    ],
)
def test_a_monitor_that_cannot_be_is_told_of_once_and_harms_nothing(
    endpoint: Any, problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = _Cluster()
    cluster.found["servicemonitors"] = [_monitor(endpoint)]
    with caplog.at_level(logging.WARNING):
        assert [target.job.name for target in cluster.active()] == ["services"]
        assert not any(isinstance(target, Dropped) for target in cluster.discoverer.targets())
    assert len(caplog.messages) == 1
    assert problem in caplog.messages[0]
