"""One call of every tool that reads, and a fact that its answer must hold. The change is made first."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from outside_programs.platform import NAME, NAMESPACE

Data = dict[str, Any]

WHO = {"namespace": NAMESPACE, "service": NAME}
THAT = {"namespace": NAMESPACE, "name": NAME}
RUNNING = f'vllm:num_requests_running{{service="{NAME}"}}'


def plan(replicas: int) -> Data:
    """Return the draft of a plan that scales the Deployment."""
    return {
        "title": f"{replicas} replicas",
        "cause": None,
        "evidence": [],
        "operations": [{"op": "scale", "target": {"kind": "Deployment", **THAT}, "args": {"replicas": replicas}}],
        "expect": [
            {
                "object": f"Deployment/{NAMESPACE}/{NAME}",
                "cel": f"object.spec.replicas == {replicas}",
                "within_s": 20,
                "hold_s": 0,
                "no_data": "fail",
            }
        ],
    }


@dataclass(frozen=True)
class Known:
    """What the calls name."""

    pod: str
    plan: str
    """One that waits for an approval."""
    change: str
    """One that was applied."""
    evidence: str
    """What the draft was answered with."""


@dataclass(frozen=True)
class Call:
    """Arguments, by what is known, and what must be true of `data`."""

    arguments: Callable[[Known], Data]
    holds: Callable[[Data, Known], bool]


def fixed(holds: Callable[[Data, Known], bool], **arguments: Any) -> Call:
    """Return a call whose arguments are the same in every lab."""
    return Call(lambda _known: arguments, holds)


CALLS: dict[str, Call] = {
    "kube_list": fixed(lambda data, _: data["total"] >= 1, kind="pods", namespace=NAMESPACE),
    "kube_get": fixed(lambda data, _: data["object"]["metadata"]["name"] == NAME, kind="Deployment", **THAT),
    "kube_describe": fixed(lambda data, _: len(data["children"]) == 1, kind="Deployment", **THAT),
    "kube_logs": Call(
        lambda known: {"pod": known.pod, "namespace": NAMESPACE, "tail": 5}, lambda data, _: data["read"] > 0
    ),
    "kube_events": fixed(lambda data, _: len(data["events"]) > 0, namespace=NAMESPACE),
    "kube_rollout": fixed(lambda data, _: len(data["revisions"]) == 1, **THAT),
    "kube_topology": fixed(lambda data, _: data["workloads"] == [f"Deployment/{NAMESPACE}/{NAME}"], **WHO),
    "kube_resources": fixed(
        lambda data, _: "Deployment" in {entry["kind"] for entry in data["resources"]}, text="deployment"
    ),
    "kube_top": fixed(lambda data, known: known.pod in {row["name"] for row in data["rows"]}, namespace=NAMESPACE),
    "kube_access": fixed(lambda data, _: data["allowed"] is True, verb="list", kind="Pod", namespace=NAMESPACE),
    "metrics_query": fixed(lambda data, _: data["series"][0]["value"] >= 1, query=f'sum(up{{service="{NAME}"}})'),
    "metrics_range": fixed(lambda data, _: len(data["series"]) >= 1, query=RUNNING, duration="10s"),
    "metrics_search": fixed(
        lambda data, _: "vllm:num_requests_waiting" in {entry["name"] for entry in data["metrics"]}, text="waiting"
    ),
    "metrics_targets": fixed(lambda data, _: data["up"] >= 1, **WHO),
    "metrics_alerts": fixed(lambda data, _: isinstance(data["alerts"], list)),
    "metrics_compare": fixed(lambda data, _: data["query"] == RUNNING, query=RUNNING, window="2s", offset="1s"),
    "metrics_burn": fixed(
        lambda data, _: len(data["pairs"]) > 0, query="1 - avg(avg_over_time(up[$window]))", objective=0.99
    ),
    "metrics_outliers": fixed(lambda data, _: data["query"] == "up", query="up", window="5s"),
    "serving_status": fixed(lambda data, _: data["reachable"] >= 1, **WHO),
    "serving_config": fixed(lambda data, _: data["replicas"][0]["etag"] == '"1"', **WHO),
    "serving_models": fixed(lambda data, _: data["everywhere"] == [NAME], **WHO),
    "serving_requests": fixed(lambda data, _: data["silent"] == [], **WHO),
    "serving_probe": fixed(lambda data, _: data["ok"] is True, **WHO),
    "serving_what_if": fixed(
        lambda data, _: data["current"]["config"]["max_num_seqs"] == 4,
        load={"rate": 2, "prompt_tokens": 16, "output_tokens": 4},
        **WHO,
    ),
    "change_propose": fixed(lambda data, _: data["plan"]["title"] == "3 replicas", plan=plan(3)),
    "change_preview": Call(lambda known: {"plan_id": known.plan}, lambda data, _: data["preview_sha256"] != ""),
    "change_status": Call(
        lambda known: {"change_id": known.change}, lambda data, _: data["change"]["state"] == "verified"
    ),
    "change_undo": Call(lambda known: {"change_id": known.change}, lambda data, _: "1" in data["text"]),
    "change_list": fixed(lambda data, known: known.change in {change["change_id"] for change in data["changes"]}),
    "evidence_read": Call(lambda known: {"id": known.evidence}, lambda data, _: data["tool"] == "change_propose"),
}
