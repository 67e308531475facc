"""Kinds with two versions: what is written in one is read in the other, and owners stay in theirs."""

from typing import Any, Final

from midwatch_lab.kinds.autoscaling_versions import BEHAVIOR, METRICS, as_v1, as_v2
from midwatch_lab.kinds.resources import AUTOSCALERS, AUTOSCALERS_V1, EVENTS, EVENTS_V1
from midwatch_lab.objects import Object, annotations_of, dig, meta
from midwatch_lab.plane import ControlPlane
from midwatch_lab.registry.versions import presented
from midwatch_lab.store.audit import Origin

TARGET: Final = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "chat"}


def by(manager: str) -> Origin:
    return Origin("tester", "patch", "/test", manager=manager)


def pods_metric() -> Object:
    target = {"type": "AverageValue", "averageValue": "1k"}
    return {"type": "Pods", "pods": {"metric": {"name": "qps"}, "target": target}}


def cpu_metric(percent: int) -> Object:
    target = {"type": "Utilization", "averageUtilization": percent}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def autoscaler(**spec: Any) -> Object:
    return {"metadata": {"name": "a"}, "spec": {"scaleTargetRef": TARGET, "maxReplicas": 4, **spec}}


def test_an_autoscaler_comes_back_from_v1_as_it_went(plane: ControlPlane) -> None:
    rules = {"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 30}], "tolerance": "50m"}}
    wanted = autoscaler(metrics=[pods_metric(), cpu_metric(60)], behavior=rules)
    stored = plane.registry.create(AUTOSCALERS, "llm", wanted, by("one"))
    shown = as_v1(stored)
    assert shown["spec"]["targetCPUUtilizationPercentage"] == 60
    assert {METRICS, BEHAVIOR} == set(annotations_of(shown))
    back = as_v2(shown)
    assert back["spec"] == stored["spec"]
    assert back["metadata"] == stored["metadata"]


def test_an_owner_keeps_its_version_and_loses_what_changes_in_the_other(plane: ControlPlane) -> None:
    first: Object = {"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", **autoscaler()}
    first["spec"]["targetCPUUtilizationPercentage"] = 50
    plane.registry.apply(AUTOSCALERS_V1, "llm", "a", first, by("one"), force=False)
    old = plane.registry.read(AUTOSCALERS, "llm", "a")
    plane.registry.update(AUTOSCALERS, old, {**old, "spec": {**old["spec"], "metrics": [cpu_metric(70)]}}, by("two"))
    owners = {entry["manager"]: entry for entry in meta(plane.registry.read(AUTOSCALERS, "llm", "a"))["managedFields"]}
    assert owners["one"]["apiVersion"] == "autoscaling/v1"
    assert "f:targetCPUUtilizationPercentage" not in owners["one"]["fieldsV1"]["f:spec"]
    assert owners["two"]["fieldsV1"] == {"f:spec": {"f:metrics": {}}}


def test_an_event_of_the_group_is_a_core_event_in_the_store(plane: ControlPlane) -> None:
    event: Object = {
        "metadata": {"name": "e"},
        "regarding": {"kind": "Pod", "namespace": "llm", "name": "p"},
        "reason": "Started",
        "note": "it did",
        "type": "Normal",
        "action": "Starting",
        "eventTime": "2026-01-02T03:04:05.000006Z",
        "reportingController": "example.com/c",
        "reportingInstance": "c-1",
    }
    plane.registry.create(EVENTS_V1, "llm", event, by("one"))
    stored = plane.registry.read(EVENTS, "llm", "e")
    assert (stored["apiVersion"], stored["message"]) == ("v1", "it did")
    assert dig(stored, "involvedObject", "name") == "p"
    shown = presented(EVENTS_V1, stored)
    assert {key: shown[key] for key in event if key != "metadata"} == {
        k: v for k, v in event.items() if k != "metadata"
    }
