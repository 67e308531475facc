"""Every series that kube-prometheus' rules read is there in a running lab, or it is said why not."""

import asyncio
import sys
import time
from pathlib import Path

import pytest
import yaml

from midwatch_contracts.entity import Entity
from midwatch_lab.client import LabClient
from midwatch_lab.exporters.missing import MISSING
from midwatch_lab.lab import Lab, LabOptions
from midwatch_lab.topology import chat_topology

HERE = Path(__file__).parent
WANTED: dict[str, list[str]] = yaml.safe_load((HERE / "kube_prometheus_names.yaml").read_text("utf-8"))
NAMES = {name for names in WANTED.values() for name in names}
NOT_EVERYWHERE = {"node_nf_conntrack_entries", "node_nf_conntrack_entries_limit"}
"""What depends on the kernel's modules."""
OBJECTS = """
{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: db, namespace: llm}, spec: {replicas: 0, serviceName: db,
  selector: {matchLabels: {app: db}}, template: {metadata: {labels: {app: db}}, spec: {
  containers: [{name: db, image: x}]}}}}
---
{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: agent, namespace: llm}, spec: {
  selector: {matchLabels: {app: agent}}, template: {metadata: {labels: {app: agent}}, spec: {nodeSelector: {no: such},
  containers: [{name: agent, image: x}]}}}}
---
{apiVersion: batch/v1, kind: Job, metadata: {name: work, namespace: llm}, spec: {
  activeDeadlineSeconds: 1, completions: 1, template: {spec: {
  restartPolicy: Never, nodeSelector: {no: such}, containers: [{name: work, image: x}]}}}}
---
{apiVersion: batch/v1, kind: CronJob, metadata: {name: nightly, namespace: llm}, spec: {schedule: "@yearly",
  jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: work, image: x}]}}}}}}
---
{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: chat, namespace: llm}, spec: {
  maxReplicas: 2, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: chat}}}
---
{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: chat, namespace: llm}, spec: {minAvailable: 1,
  selector: {matchLabels: {app: chat}}}}
---
{apiVersion: v1, kind: ResourceQuota, metadata: {name: team, namespace: llm}, spec: {hard: {pods: "20"}}}
---
{apiVersion: v1, kind: PersistentVolume, metadata: {name: disk}, spec: {capacity: {storage: 1Gi}, storageClassName: "",
  accessModes: [ReadWriteOnce], hostPath: {path: /data}}}
---
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data, namespace: llm, labels: {tier: fast}}, spec: {
  storageClassName: "", accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}
---
{apiVersion: v1, kind: Node, metadata: {name: other}, spec: {unschedulable: true}}
---
{apiVersion: v1, kind: Pod, metadata: {name: stuck, namespace: llm}, spec: {containers: [{name: a, image: x,
  envFrom: [{configMapRef: {name: missing}}]}]}}
"""


def test_what_is_missing_is_wanted_and_says_why() -> None:
    assert MISSING.keys() <= NAMES
    assert all(MISSING.values())
    assert len(NAMES - MISSING.keys()) >= 60


@pytest.mark.anyio
@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the machine is read from Linux's /proc")
async def test_every_series_that_the_rules_read_is_there_or_said_to_be_missing(tmp_path: Path) -> None:
    options = LabOptions(tmp_path, metric_labels={"persistentvolumeclaims": ("*",)})
    lab = Lab(options)
    info = await lab.start()
    try:
        async with LabClient(info) as client:
            topology = chat_topology("llm", "chat", 1)
            for manifest in [*topology, *yaml.safe_load_all(OBJECTS)]:
                await client.create(manifest)
            await client.wait_for_rollout(Entity("Deployment", "llm", "chat"), timeout_s=60)
            deadline = time.monotonic() + 30
            while True:
                answer = await client.http.get("/prometheus/api/v1/label/__name__/values")
                found = set(answer.json()["data"])
                if (NAMES - MISSING.keys() - NOT_EVERYWHERE) <= found or time.monotonic() > deadline:
                    break
                await asyncio.sleep(0.2)
            targets = (await client.http.get("/prometheus/api/v1/targets")).json()["data"]["activeTargets"]
            said = (await client.http.get("/prometheus/api/v1/metadata")).json()["data"]
    finally:
        await lab.stop()
    assert sorted(NAMES - found - MISSING.keys() - NOT_EVERYWHERE) == []
    assert sorted(found & MISSING.keys()) == [], "these are not missing"
    ours = {name for name in found if name.startswith(("kube", "container_", "machine_", "node_", "apiserver_"))}
    assert {name.removesuffix("_bucket").removesuffix("_sum").removesuffix("_count") for name in ours} <= said.keys()
    figures = f"{len(ours)} names exposed, {len(NAMES & found)} of {len(NAMES)} that kube-prometheus' rules read"
    sys.stdout.write(f"lab series: {figures}\n")
    places = {(one["labels"]["job"], one["labels"].get("metrics_path")) for one in targets}
    assert places >= {
        ("kube-state-metrics", None),
        ("apiserver", None),
        ("node-exporter", None),
        ("kubelet", "/metrics"),
        ("kubelet", "/metrics/cadvisor"),
    }
