"""A furnished world: an object of every kind that an operation changes, and one draft of each operation on them."""

import copy
from dataclasses import dataclass
from typing import Any

from midwatch_mcp.safe_apply.fake_world import World, deployment
from midwatch_mcp.safe_apply.fakes import digest
from midwatch_mcp.safe_apply.operations.presence import MARK

Json = dict[str, Any]
CHAT = {"kind": "Deployment", "namespace": "llm", "name": "chat"}
NODE = {"kind": "Node", "name": "n1"}
BACKEND = {"serving": "Pod/llm/chat-1"}


def named(kind: str, name: str = "chat") -> Json:
    return {"kind": kind, "namespace": "llm", "name": name}


def pod(name: str, *, owner: str = "ReplicaSet", node: str = "n1", **spec: Any) -> Json:
    owners = [{"kind": owner, "name": "chat", "uid": "uid-rs", "controller": True}] if owner else []
    metadata = {"name": name, "namespace": "llm", "labels": {"app": "chat"}, "ownerReferences": owners}
    body = {"nodeName": node, "containers": [{"name": "engine", "image": "engine:1"}], **spec}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": body,
        "status": {"phase": "Running"},
    }


def furnish(world: World) -> None:
    """Put in what the operations below change."""
    put = world.cluster.put
    meta = {"namespace": "llm", "name": "chat"}
    chat = deployment()
    engine = chat["spec"]["template"]["spec"]["containers"][1]
    engine |= {
        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)"}],
        "resources": {"limits": {"cpu": "2"}},
    }
    put(chat)
    put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {**meta}, "data": {"limit": "4"}})
    scaler = {"scaleTargetRef": {"kind": "Deployment", "name": "router"}, "minReplicas": 1, "maxReplicas": 4}
    put({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {**meta}, "spec": scaler})
    budget = {"minAvailable": 1, "selector": {"matchLabels": {"app": "chat"}}}
    status = {"disruptionsAllowed": 9}
    put(
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {**meta},
            "spec": budget,
            "status": status,
        }
    )
    put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "llm"}, "spec": {}})
    put({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}, "spec": {}})
    for name in ("chat-2", "chat-3"):
        put(pod(name, volumes=[{"name": "cache", "emptyDir": {}}]))
    put(pod("agent-1", owner="DaemonSet"))
    world.cluster.put_backend("Pod/llm/chat-1", requests={"r1": "running", "r2": "waiting"})
    for revision, blocks in ((1, "256"), (2, "14")):
        template = copy.deepcopy(chat["spec"]["template"])
        template["metadata"]["labels"]["pod-template-hash"] = str(revision)
        template["spec"]["containers"][1]["args"][1] = f"--num-gpu-blocks-override={blocks}"
        kept = {
            "name": f"chat-{revision}",
            "namespace": "llm",
            "annotations": {"deployment.kubernetes.io/revision": str(revision)},
            "ownerReferences": [{"uid": "uid-Deployment/llm/chat"}],
        }
        put({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": kept, "spec": {"template": template}})


def op(name: str, target: Json, **args: Any) -> Json:
    return {"op": name, "target": target, "args": args}


REVERSIBLE: dict[str, Json] = {
    "set_args": op("set_args", CHAT, container="engine", args={"--max-num-seqs": None}),
    "set_image": op("set_image", CHAT, images={"engine": "engine:2", "sidecar": "sidecar:2"}),
    "set_env": op("set_env", CHAT, container="engine", env={"A": None, "C": "3", "B": "2"}),
    "set_env of a secret": op(
        "set_env",
        CHAT,
        container="engine",
        env={"HF_TOKEN": {"valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}}},
    ),
    "set_resources": op(
        "set_resources", CHAT, container="engine", limits={"memory": "8Gi", "cpu": None}, requests={"cpu": "1500m"}
    ),
    "scale": op("scale", named("Deployment", "router"), replicas=4),
    "patch": op("patch", CHAT, type="merge", patch={"spec": {"minReadySeconds": 5}}),
    "apply": op("apply", CHAT, manifest={"spec": {"minReadySeconds": 7}, "metadata": {"labels": {"tier": "gold"}}}),
    "label": op("label", CHAT, labels={"tier": "gold", "app": None}),
    "annotate": op("annotate", CHAT, annotations={"example.com/note": "seen"}),
    "rollout_restart": op("rollout_restart", CHAT),
    "rollout_undo": op("rollout_undo", CHAT, to_revision=0),
    "rollout_pause": op("rollout_pause", CHAT),
    "hpa_bounds": op("hpa_bounds", named("HorizontalPodAutoscaler"), min=2, max=6),
    "pdb": op("pdb", named("PodDisruptionBudget"), maxUnavailable="25%"),
    "cordon": op("cordon", NODE),
    "create": op("create", named("ConfigMap", "limits"), manifest={"data": {"limit": "8"}}),
    "delete": op("delete", named("ConfigMap")),
    "serving.config": op("serving.config", BACKEND, values={"max_num_seqs": 8}),
    "serving.adapter": op("serving.adapter", BACKEND, load="legal", path="/adapters/legal"),
    "serving.drain": op("serving.drain", BACKEND, draining=True),
}
"""Each has an undo, and starts from the furnished world."""

FINAL: dict[str, Json] = {
    "evict": op("evict", named("Pod", "chat-2")),
    "drain": op("drain", NODE),
    "delete of a Deployment": op("delete", CHAT),
    "exec": op("exec", named("Pod", "chat-2"), argv=["cat", "/proc/meminfo"]),
    "serving.reset_cache": op("serving.reset_cache", BACKEND),
    "serving.cancel": op("serving.cancel", BACKEND, ids=["r1"]),
}
"""These have none."""


@dataclass(frozen=True)
class State:
    """Everything that a cluster holds, without what the server sets anew; equal states have equal fields."""

    objects: dict[str, str]
    backends: dict[str, str]


def unmarked(value: Json) -> Json:
    """Return an object without the mark of a plan that created it, which is drawn by lot."""
    kept = copy.deepcopy(value)
    annotations = kept["metadata"].get("annotations", {})
    if annotations.pop(MARK, None) is not None and not annotations:
        del kept["metadata"]["annotations"]
    return kept


def state_of(world: World) -> State:
    cluster = world.cluster
    objects = {entity: digest(unmarked(value)) for entity, value in cluster.objects_by_entity.items()}
    held = {f"config of {pod}": digest(value) for pod, value in cluster.configs.items()}
    return State(objects, held | {pod: digest(value) for pod, value in cluster.backends.items()})
