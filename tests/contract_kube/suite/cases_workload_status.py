"""The status of workloads: counts below zero or above the whole, times that are null, labels beside it."""

from functools import partial
from typing import Any, Final

from contract_harness import Api, Cases

CASES: Final = Cases()

KINDS: Final = {
    "deployments": "Deployment", "replicasets": "ReplicaSet", "statefulsets": "StatefulSet", "daemonsets": "DaemonSet"
}  # fmt: skip
COUNTS: Final = (
    "replicas", "readyReplicas", "availableReplicas", "fullyLabeledReplicas", "updatedReplicas", "currentReplicas",
    "unavailableReplicas", "terminatingReplicas", "observedGeneration", "collisionCount", "currentNumberScheduled",
    "numberMisscheduled", "desiredNumberScheduled", "numberReady", "updatedNumberScheduled", "numberAvailable",
    "numberUnavailable",
)  # fmt: skip
REPORTS: Final[dict[str, Any]] = {
    "fewer than no replicas": {"replicas": -1},
    "every count below zero": dict.fromkeys(COUNTS, -1),
    "every part above the whole": {key: 2 + number for number, key in enumerate(COUNTS)} | {"replicas": 1},
    "more available than ready": {"replicas": 3, "readyReplicas": 1, "availableReplicas": 2},
    "a condition without times": {"conditions": [{"type": "Odd", "status": "Maybe"}]},
    "a condition of nothing": {"conditions": [{"lastTransitionTime": None}]},
    "replicas as text": {"replicas": "1", "numberReady": "1"},
    "nothing": None,
}


async def _report(api: Api, plural: str, status: Any) -> None:
    path = api.path("apps/v1", plural)
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    body = {"metadata": {"name": "w"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template}}
    await api.setup("POST", path, body, fieldManager="m")
    await api.ask("PATCH", f"{path}/w/status", {"status": status}, "merge", fieldManager="n")


async def _beside(api: Api, plural: str) -> None:
    await _report(api, plural, {})
    path = f"{api.path('apps/v1', plural)}/w/status"
    metadata = {"labels": {"q": "r"}, "annotations": {"s": "t"}}
    body = {"metadata": metadata, "spec": {"minReadySeconds": 4}, "status": {"observedGeneration": 1}}
    await api.ask("PATCH", path, body, "merge", fieldManager="n")
    await api.ask("PATCH", path, {"metadata": {"labels": {"a b": "c"}}}, "merge", fieldManager="n")
    await api.ask("GET", path)
    await api.ask("PATCH", path, {"status": {"conditions": [{"type": "Odd", "status": "True"}]}}, "strategic")


for plural, kind in KINDS.items():
    for word, status in REPORTS.items():
        CASES.many(f"{kind} status: a report of {word}", partial(_report, plural=plural, status=status))
    CASES.many(f"{kind} status: what stands beside it", partial(_beside, plural=plural))
