"""What is asked of both sides and what both must answer: facts, not times, addresses and generated names."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from both_sides.manifests import GROUP, NAMESPACE, SAID
from both_sides.world import Side

LAB_ONLY: Final[Mapping[str, str]] = {
    "kube_top": "the original has no metrics API without a metrics-server, whose numbers kwok would invent",
    "kube_logs.previous": "kwok restarts nothing",
    "kube_logs.since_s": "kwok's one log file has the times that were written into it",
    "kube_logs.cursor": "kwok's pods all wrote at the same moment",
    "serving_*": "kwok's pods listen on no address",
    "metrics_*": "the lab's Prometheus is held beside the original by make contract-promql",
}
"""Tools (as patterns) and arguments that have no original here, and why; test_against_the_lab.py has them."""

ELSEWHERE: Final[Mapping[str, str]] = {
    "change_apply": "writes: tests/safe_apply",
    "change_status": "tells of a change: tests/safe_apply",
    "change_undo": "tells of a change: tests/safe_apply",
    "change_list": "reads the journal: tests/safe_apply",
    "evidence_read": "reads the state folder, not a cluster",
}

HERE: Final = {"namespace": NAMESPACE}
WEB: Final = {"namespace": NAMESPACE, "name": "web"}
TARGET: Final = {"kind": "Deployment", **WEB}

Arguments = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One call, what is looked at in its answer, and what is to be seen."""

    sentence: str
    tool: str
    arguments: Arguments | Callable[[Side], Arguments]
    seen: Callable[[dict[str, Any]], Any]
    """From `{summary, data, evidence}`."""
    expected: Any

    def given(self, side: Side) -> Arguments:
        return self.arguments(side) if callable(self.arguments) else self.arguments


def data(*names: str) -> Callable[[dict[str, Any]], Any]:
    return lambda result: tuple(result["data"][name] for name in names)


def columns(*names: str) -> Callable[[dict[str, Any]], Any]:
    """Return the cells of these columns, row by row, in order of their text."""

    def read(result: dict[str, Any]) -> list[tuple[Any, ...]]:
        places = [result["data"]["columns"].index(name) for name in names]
        return sorted((tuple(row[place] for place in places) for row in result["data"]["rows"]), key=str)

    return read


def sick_first(result: dict[str, Any]) -> Any:
    status = result["data"]["columns"].index("Status")
    return Counter(row[status] for row in result["data"]["rows"][:3]), result["data"]["states"]


def object_at(*path: str) -> Callable[[dict[str, Any]], Any]:
    def read(result: dict[str, Any]) -> Any:
        found: Any = result["data"]["object"]
        for key in path:
            found = found[int(key) if key.isdecimal() else key]
        return found

    return read


def conditions(result: dict[str, Any]) -> set[tuple[str, str, str]]:
    return {(one["type"], one["status"], one["reason"]) for one in result["data"]["conditions"]}


def facts(*names: str) -> Callable[[dict[str, Any]], Any]:
    return lambda result: tuple(result["data"]["facts"].get(name) for name in names)


def children(result: dict[str, Any]) -> Any:
    return Counter((one["entity"].partition("/")[0], one["state"]) for one in result["data"]["children"])


def texts(result: dict[str, Any]) -> Any:
    return Counter(line["text"] for line in result["data"]["lines"]), len(result["data"]["pods"])


def reasons(result: dict[str, Any]) -> Any:
    return Counter((event["type"], event["reason"]) for event in result["data"]["events"])


def scalings(result: dict[str, Any]) -> Any:
    return [(one["from"], one["to"]) for one in result["data"]["scaled"]]


def allowed(result: dict[str, Any]) -> bool:
    return result["data"]["allowed"]


def granted(result: dict[str, Any]) -> Any:
    named = {"ana", "watch", "system:masters"}
    return {
        (one["subject"], one["binding"]) for one in result["data"]["who"] if one["subject"].rpartition("/")[2] in named
    }


def changes(result: dict[str, Any]) -> Any:
    preview = result["data"]["preview"]
    return preview["risk"], [tuple(change) for diff in preview["diffs"] for change in diff["changes"]]


def draft(op: str, **arguments: Any) -> Arguments:
    expectation = {"object": f"Deployment/{NAMESPACE}/web", "cel": "object.status.readyReplicas > 0", "within_s": 60}
    operation = {"op": op, "target": TARGET, "args": arguments}
    expect = [{**expectation, "hold_s": 0, "no_data": "wait"}]
    return {"plan": {"title": op, "cause": None, "evidence": [], "operations": [operation], "expect": expect}}


def broken(result: dict[str, Any]) -> Any:
    return result["data"]["ready"], Counter(said.partition(" has ")[2] or said for said in result["data"]["broken"])


LISTS: Final = [
    Case(
        "pods are counted by state and the sick come first",
        "kube_list",
        {"kind": "pods", **HERE},
        sick_first,
        (
            Counter({"ImagePullBackOff": 2, "Pending": 1}),
            {"ImagePullBackOff": 2, "Pending": 1, "Completed": 1, "Running": 3},
        ),
    ),
    Case(
        "over all namespaces each row names its own",
        "kube_list",
        {"kind": "po", "field_selector": f"metadata.namespace={NAMESPACE}"},
        lambda result: (result["data"]["columns"][0], {row[0] for row in result["data"]["rows"]}),
        ("Namespace", {NAMESPACE}),
    ),
    Case(
        "a page ends with a cursor",
        "kube_list",
        {"kind": "pods", "label_selector": "app=web", "limit": 2, **HERE},
        lambda result: (len(result["data"]["rows"]), result["data"]["total"], result["evidence"]["cursor"]),
        (2, 3, "2"),
    ),
    Case(
        "a cursor leads on",
        "kube_list",
        {"kind": "pods", "label_selector": "app=web", "limit": 2, "cursor": "2", **HERE},
        lambda result: (len(result["data"]["rows"]), result["evidence"]["cursor"]),
        (1, None),
    ),
    Case(
        "Deployments tell who is not ready",
        "kube_list",
        {"kind": "deploy", **HERE},
        columns("Name", "Ready"),
        [("broken", "0/2"), ("web", "3/3")],
    ),
    Case(
        "a custom kind has its own columns, and an empty cell is no sickness",
        "kube_list",
        {"kind": "wd", **HERE},
        lambda result: (columns("Name", "Size", "Status")(result), result["data"]["states"]),
        ([("large", 9, "Degraded"), ("small", 1, None)], {"Degraded": 1}),
    ),
    Case(
        "Jobs",
        "kube_list",
        {"kind": "jobs", **HERE},
        columns("Name", "Status", "Completions"),
        [("tidy", "Complete", "1/1")],
    ),
    Case(
        "autoscalers",
        "kube_list",
        {"kind": "hpa", **HERE},
        columns("Name", "Reference", "MinPods", "MaxPods"),
        [("web", "Deployment/web", "1", 5)],
    ),
    Case("budgets", "kube_list", {"kind": "pdb", **HERE}, columns("Name", "Allowed Disruptions"), [("web", 2)]),
    Case(
        "Services",
        "kube_list",
        {"kind": "svc", **HERE},
        columns("Name", "Type", "Port(s)"),
        [(name, "ClusterIP", "80/TCP") for name in ("lost", "web", "wrong")],
    ),
    Case(
        "Secrets by type and number",
        "kube_list",
        {"kind": "Secret", **HERE},
        columns("Name", "Type", "Data"),
        [("keys", "Opaque", 1)],
    ),
]

OBJECTS: Final = [
    Case(
        "a ConfigMap's data",
        "kube_get",
        {"kind": "cm", "name": "settings", **HERE},
        object_at("data"),
        {"color": "red", "size": "9"},
    ),
    Case(
        "a Secret's data are redacted",
        "kube_get",
        {"kind": "Secret", "name": "keys", **HERE},
        object_at("data"),
        {"one": "[redacted]"},
    ),
    Case(
        "a secret of the environment is redacted",
        "kube_get",
        {"kind": "deploy", **WEB},
        object_at("spec", "template", "spec", "containers", "0", "env"),
        [{"name": "API_TOKEN", "value": "[redacted]"}],
    ),
    Case(
        "a custom object",
        "kube_get",
        {"kind": f"widgets.{GROUP}", "name": "large", **HERE},
        object_at("spec"),
        {"size": 9, "state": "Degraded"},
    ),
    Case(
        "a Deployment and its ReplicaSets",
        "kube_describe",
        {"kind": "Deployment", **WEB},
        lambda result: (children(result), conditions(result)),
        (
            Counter({("ReplicaSet", "0/0 ready"): 1, ("ReplicaSet", "3/3 ready"): 1}),
            {("Available", "True", "MinimumReplicasAvailable"), ("Progressing", "True", "NewReplicaSetAvailable")},
        ),
    ),
    Case(
        "a Deployment that is not available",
        "kube_describe",
        {"kind": "Deployment", "name": "broken", **HERE},
        lambda result: (children(result), facts("status.unavailableReplicas")(result)),
        (Counter({("ReplicaSet", "0/2 ready"): 1}), (2,)),
    ),
    Case(
        "a pod that no node fits",
        "kube_describe",
        {"kind": "pod", "name": "wanting", **HERE},
        lambda result: (conditions(result), set(reasons(result)), facts("status.phase")(result)),
        ({("PodScheduled", "False", "Unschedulable")}, {("Warning", "FailedScheduling")}, ("Pending",)),
    ),
    Case(
        "a pod whose image is not there",
        "kube_describe",
        lambda side: {"kind": "pod", "name": side.pods["broken"][0], **HERE},
        lambda result: [one["state"] for one in result["data"]["containers"]],
        ["waiting: ImagePullBackOff"],
    ),
    Case(
        "a Job and its pod, which is done",
        "kube_describe",
        {"kind": "Job", "name": "tidy", **HERE},
        lambda result: (
            children(result),
            facts("status.succeeded")(result),
            ("Complete", "True") in {c[:2] for c in conditions(result)},
        ),
        (Counter({("Pod", "Succeeded"): 1}), (1,), True),
    ),
    Case(
        "a budget",
        "kube_describe",
        {"kind": "pdb", **WEB},
        facts("status.currentHealthy", "status.disruptionsAllowed"),
        (3, 2),
    ),
    Case(
        "an autoscaler",
        "kube_describe",
        {"kind": "hpa", **WEB},
        facts("spec.scaleTargetRef.name", "spec.maxReplicas"),
        ("web", 5),
    ),
]

HISTORY: Final = [
    Case(
        "one container's log",
        "kube_logs",
        lambda side: {"pod": side.pods["web"][0], "container": "main", **HERE},
        texts,
        (Counter(SAID), 1),
    ),
    Case(
        "the logs of a Deployment's pods as one",
        "kube_logs",
        {"of": "Deployment/web", **HERE},
        texts,
        (Counter(dict.fromkeys(SAID, 3)), 3),
    ),
    Case(
        "the logs behind a Service",
        "kube_logs",
        {"of": "Service/web", **HERE},
        texts,
        (Counter(dict.fromkeys(SAID, 3)), 3),
    ),
    Case(
        "the lines that hold a text, the last of them",
        "kube_logs",
        {"of": "app=web", "grep": "STDERR", "tail": 1, **HERE},
        lambda result: (len(result["data"]["lines"]), result["data"]["matched"], result["data"]["read"]),
        (1, 3, 6),
    ),
    Case(
        "events of a Deployment",
        "kube_events",
        {"kind": "deploy", **WEB},
        reasons,
        Counter({("Normal", "ScalingReplicaSet"): 6}),
    ),
    Case(
        "events of a pod that waits",
        "kube_events",
        {"kind": "Pod", "name": "wanting", **HERE},
        lambda result: set(reasons(result)),
        {("Warning", "FailedScheduling")},
    ),
    Case(
        "the newest of a namespace's events",
        "kube_events",
        {"limit": 1, **HERE},
        lambda result: (len(result["data"]["events"]), result["evidence"]["truncated"]),
        (1, True),
    ),
    Case(
        "what a rollout changed",
        "kube_rollout",
        TARGET,
        lambda result: (
            data("complete", "revision", "desired", "ready")(result),
            {(one["flag"], one["before"], one["after"]) for one in result["data"]["changed"]},
        ),
        ((True, 2, 3, 3), {("--say", "hello", SAID[0]), ("env:COLOR", "red", None)}),
    ),
    Case(
        "two revisions that are asked for by number",
        "kube_rollout",
        {**WEB, "compare": "1-2"},
        lambda result: {(one["flag"], one["before"], one["after"]) for one in result["data"]["changed"]},
        {("--say", "hello", SAID[0]), ("env:COLOR", "red", None)},
    ),
    Case(
        "how a Deployment was scaled, the newest first though all within a second",
        "kube_rollout",
        WEB,
        scalings,
        [(2, 3), (1, 2), (0, 1)],
    ),
    Case(
        "a rollout that does not get on",
        "kube_rollout",
        {"name": "broken", **HERE},
        data("complete", "ready", "changed"),
        (False, 0, []),
    ),
    Case(
        "a Service whose path holds",
        "kube_topology",
        {"service": "web", **HERE},
        lambda result: (broken(result), data("total", "workloads")(result)),
        ((3, Counter()), (3, [f"Deployment/{NAMESPACE}/web"])),
    ),
    Case(
        "a Service that selects nothing",
        "kube_topology",
        {"service": "lost", **HERE},
        broken,
        (0, Counter({"no pod carries the labels of the selector": 1})),
    ),
    Case(
        "a Service whose port no container names",
        "kube_topology",
        {"service": "wrong", **HERE},
        broken,
        (3, Counter({"no port grpc, which the Service's target port names": 3, "the Service's port http": 1})),
    ),
]

RIGHTS: Final = [
    Case(
        "the kinds, custom ones too",
        "kube_resources",
        {"text": "widget"},
        lambda result: [(one["kind"], one["api_version"], one["namespaced"]) for one in result["data"]["resources"]],
        [("Widget", f"{GROUP}/v1", True)],
    ),
    Case(
        "what lies below a kind",
        "kube_resources",
        {"text": "deploy"},
        lambda result: result["data"]["resources"][0]["subresources"],
        ["scale", "status"],
    ),
    Case("you may", "kube_access", {"verb": "delete", "kind": "pods", **HERE}, allowed, True),
    Case(
        "a user may read logs",
        "kube_access",
        {"verb": "get", "kind": "pods", "subresource": "log", "subject": "user:ana", **HERE},
        allowed,
        True,
    ),
    Case(
        "and may delete nothing",
        "kube_access",
        {"verb": "delete", "kind": "pods", "subject": "user:ana", **HERE},
        allowed,
        False,
    ),
    Case(
        "nor one by its name",
        "kube_access",
        {"verb": "patch", "kind": "cm", "name": "settings", "subject": "user:ana", **HERE},
        allowed,
        False,
    ),
    Case(
        "nor read elsewhere",
        "kube_access",
        {"verb": "get", "kind": "pods", "subject": "user:ana", "namespace": "default"},
        allowed,
        False,
    ),
    Case(
        "a service account may list",
        "kube_access",
        {"verb": "list", "kind": "pods", "subject": f"serviceaccount:{NAMESPACE}/watch", **HERE},
        allowed,
        True,
    ),
    Case(
        "a group may read nodes",
        "kube_access",
        {"verb": "get", "kind": "nodes", "subject": "group:system:masters"},
        allowed,
        True,
    ),
    Case(
        "who may, and by which binding",
        "kube_access",
        {"verb": "get", "kind": "pods", "who_can": True, **HERE},
        granted,
        {
            ("User/ana", f"RoleBinding/{NAMESPACE}/readers"),
            (f"ServiceAccount/{NAMESPACE}/watch", f"RoleBinding/{NAMESPACE}/readers"),
            ("Group/system:masters", "ClusterRoleBinding//cluster-admin"),
        },
    ),
]

PLANS: Final = [
    Case("a scaling", "change_propose", draft("scale", replicas=4), changes, ("change", [("/spec/replicas", 3, 4)])),
    Case(
        "a flag",
        "change_propose",
        draft("set_args", container="main", args={"--say": "goodbye"}),
        changes,
        ("change", [("/spec/template/spec/containers/0/args/1", SAID[0], "goodbye")]),
    ),
    Case(
        "a patch",
        "change_propose",
        draft("patch", type="merge", patch={"spec": {"minReadySeconds": 1}}),
        changes,
        ("change", [("/spec/minReadySeconds", None, 1)]),
    ),
]

CASES: Final = [*LISTS, *OBJECTS, *HISTORY, *RIGHTS, *PLANS]
