"""`kubectl get` in all its forms, and what else only reads: the lab's words are those of the original."""

import json
from typing import Any, Final

import pytest

from kubectl_harness import Twins, tried
from kubectl_harness.kubectl import lines_until
from kubectl_harness.manifests import as_list, config, deployment, pod, service

pytestmark = [pytest.mark.slow, pytest.mark.kubectl, pytest.mark.original]

SEEN = '{.type} {.object.metadata.name}{"\\n"}'
TAINTED = {"spec": {"taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]}}
NODE = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "labels": {"zone": "a"}}, **TAINTED}
NODE_STATUS = {
    "status": {
        "capacity": {"cpu": "4", "memory": "8Gi", "pods": "110"},
        "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
        "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "fine"}],
        "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}, {"type": "Hostname", "address": "n1"}],
        "nodeInfo": {
            "machineID": "", "systemUUID": "", "bootID": "", "kernelVersion": "6.1", "osImage": "Debian",
            "containerRuntimeVersion": "containerd://2", "kubeletVersion": "v1.36.0", "kubeProxyVersion": "",
            "operatingSystem": "linux", "architecture": "amd64",
        },
    }
}  # fmt: skip
POD_STATUS = {
    "status": {
        "phase": "Running",
        "podIP": "10.0.1.7",
        "podIPs": [{"ip": "10.0.1.7"}],
        "hostIP": "10.0.0.1",
        "startTime": "2026-01-02T03:04:05Z",
        "conditions": [{"type": "Ready", "status": "True"}, {"type": "PodScheduled", "status": "True"}],
        "containerStatuses": [
            {
                "name": "main", "ready": True, "started": True, "restartCount": 2, "image": "nginx:1",
                "imageID": "sha256:1", "containerID": "containerd://1",
                "state": {"running": {"startedAt": "2026-01-02T03:04:05Z"}},
                "lastState": {"terminated": {
                    "exitCode": 137, "reason": "OOMKilled", "startedAt": "2026-01-02T03:00:00Z",
                    "finishedAt": "2026-01-02T03:04:00Z",
                }},
            }
        ],
    }
}  # fmt: skip
EVENT: Final[dict[str, Any]] = {
    "apiVersion": "v1",
    "kind": "Event",
    "metadata": {"name": "web.1"},
    "involvedObject": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
    "reason": "ScalingReplicaSet",
    "message": "Scaled up replica set web-1 to 2",
    "type": "Normal",
    "count": 3,
    "firstTimestamp": "2026-01-02T03:04:05Z",
    "lastTimestamp": "2026-01-02T03:14:05Z",
    "source": {"component": "deployment-controller"},
}


@pytest.fixture(scope="module")
def k(both: Twins) -> Twins:
    """Both, with a Deployment, pods, a Service, a node and settings on them."""
    where = {"nodeName": "n1"}
    objects = [NODE, deployment(), pod("a", **where), pod("b", **where), service(), config("settings", a="1")]
    event = {**EVENT, "involvedObject": {**EVENT["involvedObject"], "namespace": both.lab.namespace}}
    both("create", "-f", "-", stdin=as_list(*objects, event))
    both("patch", "node", "n1", "--subresource=status", "-p", json.dumps(NODE_STATUS))
    both("patch", "pod", "a", "--subresource=status", "-p", json.dumps(POD_STATUS))
    return both


@pytest.mark.parametrize(
    "words",
    [
        ["get", "pods"],
        ["get", "pods", "-o", "wide", "--show-labels"],
        ["get", "pods", "a", "-o", "yaml", "--show-managed-fields"],
        ["get", "deployment/web", "-o", "json"],
        ["get", "po,svc,deploy,cm", "-o", "name"],
        ["get", "pod/a", "service/web", "deployment/web"],
        ["get", "all"],
        ["get", "all", "-o", "wide"],
        ["get", "pods", "-L", "app,tier", "--no-headers"],
        ["get", "pods", "-o", "jsonpath={range .items[*]}{.metadata.name}{'\\t'}{.status.phase}{'\\n'}{end}"],
        ["get", "pods", "-o", "go-template={{range .items}}{{.metadata.name}} {{end}}"],
        ["get", "pods", "-o", "custom-columns=NAME:.metadata.name,NODE:.spec.nodeName,IP:.status.podIP"],
        ["get", "pods", "--sort-by=.metadata.name"],
        ["get", "pods", "--sort-by={.status.containerStatuses[0].restartCount}"],
        ["get", "pods", "-l", "app in (web, other),tier!=back"],
        ["get", "pods", "-l", "tier=back"],
        ["get", "pods", "--field-selector=status.phase=Running,spec.nodeName=n1"],
        ["get", "pods", "--chunk-size=1"],
        ["get", "pods", "--server-print=false"],
        ["get", "nodes", "-o", "wide"],
        ["get", "service", "web", "-o", "yaml"],
        ["get", "events"],
        ["get", "events", "-o", "wide"],
        ["get", "events", "--field-selector=involvedObject.kind=Deployment", "--sort-by=.lastTimestamp"],
        ["get", "deployment", "web", "--subresource=status", "-o", "yaml"],
        ["get", "deployment", "web", "--subresource=scale"],
        ["get", "deployment", "web", "--subresource=scale", "-o", "yaml"],
        ["get", "--raw", "/apis/apps/v1"],
        ["describe", "deployment", "web"],
        ["describe", "pod", "a"],
        ["describe", "pods", "-l", "app=web"],
        ["describe", "node", "n1"],
        ["describe", "service", "web"],
        ["describe", "configmap", "settings"],
        ["describe", "namespace"],
        ["events"],
        ["events", "--for", "deployment/web"],
        ["events", "--types=Warning"],
        ["events", "--types=Normal", "-o", "json"],
        ["rollout", "status", "deployment/web", "--watch=false"],
        ["rollout", "history", "deployment/web"],
        ["rollout", "history", "deployment/web", "--revision=9"],
        ["wait", "--for=jsonpath={.status.phase}=Running", "pod/a"],
        ["wait", "--for=condition=Ready", "pod/a"],
        ["wait", "--for=create", "pod/a"],
        ["cluster-info"],
        ["__complete", "get", "pods", ""],
        ["__complete", "logs", "--container", ""],
        ["__complete", "-n", ""],
    ],
    ids=" ".join,
)  # fmt: skip
def test_it_reads_as_from_the_original(k: Twins, words: list[str]) -> None:
    assert k(*words)


@pytest.mark.parametrize(
    "words",
    [
        ["get", "pods", "nobody"],
        ["get", "widgets"],
        ["get", "pods", "-l", "a=b=c"],
        ["get", "pods", "--field-selector=spec.color=red"],
        ["get", "pods", "a", "--subresource=color"],
        ["get", "-f", "/nowhere.yaml"],
        ["get", "--raw", "/apis/nowhere/v1"],
        ["describe", "pod", "nobody"],
        ["explain", "pod.spec.color"],
        ["wait", "--for=condition=Ready", "pod/b", "--timeout=50ms"],
        ["rollout", "status", "pod/a"],
        ["events", "--for", "widget/a"],
    ],
    ids=" ".join,
)
def test_it_is_refused_as_by_the_original(k: Twins, words: list[str]) -> None:
    assert k(*words, code=1)


@pytest.mark.parametrize(
    "words", [["get", "pods", "--ignore-not-found", "nobody"], ["wait", "--for=delete", "pod/nobody"]], ids=" ".join
)
def test_nothing_is_said_of_what_is_not_there(k: Twins, words: list[str]) -> None:
    assert k(*words) == ""


@pytest.mark.parametrize(
    "words",
    [
        ["explain", "pod.spec.containers.resources"],
        ["explain", "deployment", "--recursive"],
        ["explain", "hpa.spec", "--api-version=autoscaling/v2"],
    ],
    ids=" ".join,
)
def test_explain_tells_the_fields_and_types(k: Twins, words: list[str]) -> None:
    """The schemas are shipped without descriptions, so only the lines of fields are compared."""

    def fields(text: str) -> list[str]:
        return [line for line in text.splitlines() if "\t" in line or ":  " in line]

    told = fields(k.lab(*words))
    assert told == fields(k.original(*words))
    assert len(told) > 3


def test_the_server_says_its_version(k: Twins) -> None:
    ours, theirs = (json.loads(side("version", "-o", "json"))["serverVersion"] for side in (k.lab, k.original))
    assert list(ours) == list(theirs)
    assert ours["gitVersion"] == f"{theirs['gitVersion']}+midwatch"


def test_get_across_namespaces_shows_each(k: Twins) -> None:
    assert k("get", "pods", "-A", "--field-selector", f"metadata.namespace={k.lab.namespace}").count("\n") == 3


def test_a_watch_sees_a_change(k: Twins) -> None:
    """Held against each other by hand: what comes when is not the same from run to run."""
    for side in (k.lab, k.original):
        words = ["get", "cm", "-l", "app=web", "--watch", "--output-watch-events", f"-o=jsonpath={SEEN}"]
        with side.running(*words) as watching:
            assert watching.stdout is not None
            lines_until(watching.stdout, "settings")
            side("create", "configmap", "seen")
            side("label", "configmap", "seen", "app=web")
            side("label", "configmap", "seen", "more=yes")
            side("delete", "configmap", "seen")
            seen = [line.split() for line in lines_until(watching.stdout, "DELETED")]
            assert seen == [[event, "seen"] for event in ("ADDED", "MODIFIED", "DELETED")]
    assert tried(k.lab, "events", until="ScalingReplicaSet")
