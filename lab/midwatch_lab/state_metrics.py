"""What kube-state-metrics would say of the lab: the state of objects as series, under its names and labels."""

from collections.abc import Iterable
from typing import Final

from midwatch_lab.kinds.resources import DEPLOYMENTS, NODES, PODS, REPLICA_SETS
from midwatch_lab.metrics.gauges import Gauge, Group
from midwatch_lab.objects import Object, dig, is_condition_true, meta, name_of, namespace_of, uid_of
from midwatch_lab.store.store import Store

_JOB: Final = {"job": "kube-state-metrics"}
_PHASES: Final = ("Pending", "Running", "Succeeded", "Failed", "Unknown")
_DEPLOYMENT: Final = {
    "kube_deployment_spec_replicas": ("spec", "replicas"),
    "kube_deployment_status_replicas": ("status", "replicas"),
    "kube_deployment_status_replicas_ready": ("status", "readyReplicas"),
    "kube_deployment_status_replicas_available": ("status", "availableReplicas"),
    "kube_deployment_status_replicas_unavailable": ("status", "unavailableReplicas"),
    "kube_deployment_status_replicas_updated": ("status", "updatedReplicas"),
    "kube_deployment_status_observed_generation": ("status", "observedGeneration"),
    "kube_deployment_metadata_generation": ("metadata", "generation"),
}
_REPLICA_SET: Final = {
    "kube_replicaset_spec_replicas": ("spec", "replicas"),
    "kube_replicaset_status_replicas": ("status", "replicas"),
    "kube_replicaset_status_ready_replicas": ("status", "readyReplicas"),
}


def state_gauges(store: Store) -> Iterable[Group]:
    """Yield the gauges of every object that is watched."""
    readers = ((DEPLOYMENTS, _deployment), (REPLICA_SETS, _replica_set), (PODS, _pod), (NODES, _node))
    for resource, read in readers:
        for obj in store.items(resource.key):
            # Every scrape comes by here with every object, so nothing is made of one that is as before.
            yield Group((read, obj["metadata"].get("uid")), obj, read)


def _deployment(deployment: Object) -> Iterable[Gauge]:
    labels = {**_JOB, "namespace": namespace_of(deployment), "deployment": name_of(deployment)}
    for name, path in _DEPLOYMENT.items():
        yield name, labels, float(dig(deployment, *path, default=0))


def _replica_set(item: Object) -> Iterable[Gauge]:
    labels = {**_JOB, "namespace": namespace_of(item), "replicaset": name_of(item)}
    for name, path in _REPLICA_SET.items():
        yield name, labels, float(dig(item, *path, default=0))


def _node(node: Object) -> Iterable[Gauge]:
    labels = {**_JOB, "node": name_of(node), "condition": "Ready", "status": "true"}
    yield "kube_node_status_condition", labels, float(is_condition_true(node, "Ready"))


def _pod(pod: Object) -> Iterable[Gauge]:
    base = {**_JOB, "namespace": namespace_of(pod), "pod": name_of(pod), "uid": uid_of(pod)}
    now = dig(pod, "status", "phase", default="Unknown")
    for phase in _PHASES:
        yield "kube_pod_status_phase", {**base, "phase": phase}, float(phase == now)
    ready = is_condition_true(pod, "Ready")
    for word, value in (("true", ready), ("false", not ready), ("unknown", False)):
        yield "kube_pod_status_ready", {**base, "condition": word}, float(value)
    owners: list[Object] = meta(pod).get("ownerReferences", [])
    owner: Object = owners[0] if owners else {}
    info = {
        "node": dig(pod, "spec", "nodeName", default=""),
        "pod_ip": dig(pod, "status", "podIP", default=""),
        "host_ip": dig(pod, "status", "hostIP", default=""),
        "created_by_kind": str(owner.get("kind", "<none>")),
        "created_by_name": str(owner.get("name", "<none>")),
    }
    yield "kube_pod_info", {**base, **info}, 1.0
    for status in dig(pod, "status", "containerStatuses", default=[]):
        labels = {**base, "container": str(status["name"])}
        yield "kube_pod_container_status_restarts_total", labels, float(status.get("restartCount", 0))
        waiting = dig(status, "state", "waiting", "reason")
        if waiting:
            yield "kube_pod_container_status_waiting_reason", {**labels, "reason": str(waiting)}, 1.0
