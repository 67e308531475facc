"""A real, unmodified kubectl against a running lab: one test a verb."""

import json
import subprocess
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import yaml

from midwatch_lab.files import LabInfo
from midwatch_lab.topology import chat_topology

pytestmark = [pytest.mark.slow, pytest.mark.kubectl]

Kubectl = Callable[..., str]
ENGINE = '{"spec":{"template":{"spec":{"containers":[{"name":"engine","args":["--other"]}]}}}}'


def as_json(k: Kubectl, *arguments: str) -> dict[str, Any]:
    return json.loads(k(*arguments, "-o", "json"))


def test_get_prints_the_columns_of_the_original(k: Kubectl) -> None:
    lines = k("get", "deployments").splitlines()
    assert lines[0].split() == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert lines[1].split()[:4] == ["chat", "2/2", "2", "2"]
    pods = k("get", "pods", "-o", "wide").splitlines()
    assert pods[0].split()[:7] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE"]
    assert [line.split()[1:3] for line in pods[1:]] == [["1/1", "Running"]] * 2
    assert k("get", "service", "chat").splitlines()[1].split()[4] == "8000/TCP"
    everything = k("get", "all")
    assert all(word in everything for word in ("pod/chat-", "service/chat", "deployment.apps/chat", "replicaset.apps/"))


def test_get_prints_yaml_jsonpath_and_custom_columns(k: Kubectl) -> None:
    found = yaml.safe_load(k("get", "deployment", "chat", "-o", "yaml"))
    assert (found["kind"], found["spec"]["replicas"]) == ("Deployment", 2)
    assert k("get", "deployment", "chat", "-o", "jsonpath={.status.readyReplicas}") == "2"
    columns = k("get", "pods", "-o", "custom-columns=IP:.status.podIP").split()
    assert columns[0] == "IP"
    assert all(ip.startswith("127.") for ip in columns[1:])


def test_get_selects_by_label_and_field_and_sorts(k: Kubectl) -> None:
    assert len(k("get", "pods", "-l", "app.kubernetes.io/name=chat", "-o", "name").split()) == 2
    assert k("get", "pods", "-l", "app.kubernetes.io/name=other", "-o", "name") == ""
    running = k("get", "pods", "--field-selector=status.phase=Running", "-o", "name").split()
    assert len(running) == 2
    assert sorted(k("get", "pods", "--sort-by=.metadata.name", "-o", "name").split()) == sorted(running)


def test_describe_tells_of_a_deployment_a_pod_a_service_and_a_node(k: Kubectl) -> None:
    deployment = k("describe", "deployment", "chat")
    assert "2 desired | 2 updated | 2 total | 2 available | 0 unavailable" in deployment
    assert "Scaled up replica set" in deployment
    assert "--num-gpu-blocks-override=256" in deployment
    pod = k("describe", k("get", "pods", "-o", "name").split()[0])
    words = pod.split()
    assert "Successfully assigned llm/chat" in pod
    assert ("State:", "Running") in pairwise(words)
    assert ("cpu:", "250m") in pairwise(words)
    service = k("describe", "service", "chat")
    addresses = k("get", "pods", "-o", "jsonpath={.items[*].status.podIP}").split()
    assert all(f"{ip}:8000" in service for ip in addresses)
    assert "KubeletReady" in k("describe", "node", "lab-1")


def test_logs_are_those_of_the_engine(k: Kubectl) -> None:
    assert "256 KV blocks" in k("logs", "deployment/chat")
    assert k("logs", "deployment/chat", "--tail=0") == ""


def test_patch_with_a_server_dry_run_shows_the_result_and_changes_nothing(
    k: Kubectl, raw: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    before = as_json(k, "get", "deployment", "chat")
    shown = as_json(k, "patch", "deployment", "chat", "--dry-run=server", "-p", ENGINE)
    container = shown["spec"]["template"]["spec"]["containers"][0]
    assert container["args"] == ["--other"]
    assert container["readinessProbe"] == before["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]
    json_patch = '[{"op":"replace","path":"/spec/replicas","value":5}]'
    shown = as_json(k, "patch", "deployment", "chat", "--dry-run=server", "--type=json", "-p", json_patch)
    assert shown["spec"]["replicas"] == 5
    merge = '{"spec":{"replicas":4}}'
    shown = as_json(k, "patch", "deployment", "chat", "--dry-run=server", "--type=merge", "-p", merge)
    assert shown["spec"]["replicas"] == 4
    refused = raw("patch", "deployment", "chat", "--dry-run=server", "-p", '{"spec":{"replicas":-1}}')
    assert refused.returncode == 1
    assert "spec.replicas: Invalid value: -1" in refused.stderr
    after = as_json(k, "get", "deployment", "chat")
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    assert after["spec"] == before["spec"]


def test_rollout_status_history_and_undo(k: Kubectl) -> None:
    k("set", "env", "deployment/chat", "WORD=1")
    assert "successfully rolled out" in k("rollout", "status", "deployment/chat", "--timeout=60s")
    history = k("rollout", "history", "deployment/chat").split()
    newest = history[-2]
    assert "WORD:\t1" in k("rollout", "history", "deployment/chat", f"--revision={newest}")
    k("rollout", "undo", "deployment/chat")
    k("rollout", "status", "deployment/chat", "--timeout=60s")
    found = as_json(k, "get", "deployment", "chat")
    assert "env" not in found["spec"]["template"]["spec"]["containers"][0]
    assert int(found["metadata"]["annotations"]["deployment.kubernetes.io/revision"]) == int(newest) + 1


def test_rollout_restart_pause_and_resume(k: Kubectl) -> None:
    before = set(k("get", "pods", "-o", "name").split())
    k("rollout", "restart", "deployment/chat")
    k("rollout", "status", "deployment/chat", "--timeout=60s")
    sets = as_json(k, "get", "rs")["items"]
    newest = max(sets, key=lambda item: int(item["metadata"]["annotations"]["deployment.kubernetes.io/revision"]))
    assert newest["status"]["readyReplicas"] == 2
    assert not [name for name in before if newest["metadata"]["name"] in name]
    k("rollout", "pause", "deployment/chat")
    assert as_json(k, "get", "deployment", "chat")["spec"]["paused"] is True
    k("rollout", "resume", "deployment/chat")
    k("rollout", "status", "deployment/chat", "--timeout=60s")


def test_scale_changes_replicas_and_heeds_a_precondition(
    k: Kubectl, raw: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    k("scale", "deployment/chat", "--replicas=3")
    k("rollout", "status", "deployment/chat", "--timeout=60s")
    assert k("get", "deployment", "chat", "-o", "jsonpath={.status.availableReplicas}") == "3"
    refused = raw("scale", "deployment/chat", "--replicas=1", "--current-replicas=7")
    assert refused.returncode == 1
    k("scale", "deployment/chat", "--replicas=2")
    k("rollout", "status", "deployment/chat", "--timeout=60s")


def test_apply_is_idempotent_on_either_side(k: Kubectl) -> None:
    document = yaml.safe_dump_all(chat_topology(replicas=2))
    k("apply", "-f", "-", stdin=document)
    again = k("apply", "-f", "-", stdin=document)
    assert "deployment.apps/chat unchanged" in again
    assert k("diff", "-f", "-", stdin=document) == ""
    k("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=document)
    tried = k("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-", stdin=document)
    assert "deployment.apps/chat serverside-applied" in tried


def test_label_annotate_and_set_image(k: Kubectl) -> None:
    k("label", "deployment", "chat", "team=night")
    assert k("get", "deployment", "-l", "team=night", "-o", "name").strip() == "deployment.apps/chat"
    k("label", "deployment", "chat", "team-")
    k("annotate", "deployment", "chat", "note=words")
    assert as_json(k, "get", "deployment", "chat")["metadata"]["annotations"]["note"] == "words"
    shown = as_json(k, "set", "image", "deployment/chat", "engine=other:2", "--dry-run=server")
    assert shown["spec"]["template"]["spec"]["containers"][0]["image"] == "other:2"


def test_events_wait_explain_and_api_resources(k: Kubectl) -> None:
    assert "ScalingReplicaSet" in k("events", "--for", "deployment/chat")
    assert "condition met" in k("wait", "--for=condition=Available", "deployment/chat", "--timeout=30s")
    assert "FIELD: replicas <integer>" in k("explain", "deployment.spec.replicas")
    listed = k("api-resources", "--no-headers").splitlines()
    assert any(line.split()[:3] == ["deployments", "deploy", "apps/v1"] for line in listed)


def test_cordoned_nodes_get_no_pods(k: Kubectl) -> None:
    k("cordon", "lab-2")
    try:
        assert "SchedulingDisabled" in k("get", "node", "lab-2")
        k("rollout", "restart", "deployment/chat")
        k("rollout", "status", "deployment/chat", "--timeout=60s")
        newest = k("get", "rs", "--sort-by=.metadata.creationTimestamp", "-o", "name").split()[-1].partition("-")[2]
        nodes = k("get", "pods", "-o", "custom-columns=N:.metadata.name,O:.spec.nodeName", "--no-headers").splitlines()
        assert {line.split()[1] for line in nodes if newest in line} == {"lab-1"}
    finally:
        k("uncordon", "lab-2")


def test_a_deleted_pod_is_replaced(k: Kubectl) -> None:
    # Pods of the rollout before may still be on their way out, and be gone before they can be deleted.
    k("rollout", "status", "deployment/chat", "--timeout=60s")
    pods = as_json(k, "get", "pods")["items"]
    staying = [pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]]
    victim = f"pod/{staying[0]}"
    k("delete", victim)
    k("rollout", "status", "deployment/chat", "--timeout=60s")
    assert victim not in k("get", "pods", "-o", "name").split()


def test_midwatch_writes_under_its_own_name(
    k: Kubectl, raw: Callable[..., subprocess.CompletedProcess[str]], running: LabInfo
) -> None:
    done = raw("annotate", "deployment", "chat", "by=midwatch", user="midwatch")
    assert done.returncode == 0, done.stderr
    audit = k("get", "--raw", "/version")
    assert "midwatch" in audit
    found = as_json(k, "get", "deployment", "chat")
    assert found["metadata"]["annotations"]["by"] == "midwatch"
    assert running.tokens["midwatch"] != running.tokens["admin"]
