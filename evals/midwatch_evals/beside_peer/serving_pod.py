"""A pod of a serving engine as one finds it in a cluster: what a chart writes and what a kubelet says.

Names and values follow the chart of vLLM's production stack and a kubelet of Kubernetes 1.36; with the owners of its
fields it has about 13 kB as JSON.
"""

from typing import Any, Final

from midwatch_lab.objects import Object

_LABELS: Final = {
    "app": "chat",
    "app.kubernetes.io/name": "vllm",
    "app.kubernetes.io/instance": "chat",
    "app.kubernetes.io/component": "serving-engine",
    "environment": "prod",
    "model": "llama3-8b",
    "release": "prod",
    "pod-template-hash": "7c9d8f6b5",
}
_ANNOTATIONS: Final = {
    "prometheus.io/scrape": "true",
    "prometheus.io/port": "8000",
    "checksum/config": "9f" * 32,
    "kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z",
}
_VARIABLES: Final = {
    "HF_HOME": "/data/hf",
    "VLLM_PORT": "8000",
    "VLLM_USE_V1": "1",
    "LMCACHE_LOCAL_CPU": "True",
    "LMCACHE_MAX_LOCAL_CPU_SIZE": "60",
    "OTEL_SERVICE_NAME": "chat",
    "NCCL_DEBUG": "WARN",
}
_ARGUMENTS: Final = (
    *("meta-llama/Llama-3.1-8B-Instruct", "--port", "8000", "--max-model-len", "16384"),
    *("--max-num-seqs", "256", "--gpu-memory-utilization", "0.92", "--enable-prefix-caching"),
    *("--tensor-parallel-size", "1", "--dtype", "bfloat16"),
)
_SINCE: Final = "2026-01-01T00:00:00Z"
_CONDITIONS: Final = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")


def serving_pod(name: str, number: int) -> Object:
    """Return one by its name; `number` chooses its tier among ten."""
    return {
        "metadata": {
            "name": name,
            "labels": {**_LABELS, "tier": f"t{number % 10}"},
            "annotations": _ANNOTATIONS,
        },
        "spec": {
            "schedulerName": "none",
            "terminationGracePeriodSeconds": 120,
            "nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"},
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
            "topologySpreadConstraints": [
                {
                    "maxSkew": 1,
                    "topologyKey": "kubernetes.io/hostname",
                    "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": {"matchLabels": {"app": "chat"}},
                }
            ],
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 1000,
                "fsGroup": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "initContainers": [_fetching()],
            "containers": [_engine(), _exporter()],
            "volumes": [
                {"name": "data", "persistentVolumeClaim": {"claimName": "models"}},
                {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "16Gi"}},
                {"name": "config", "configMap": {"name": "chat-config"}},
            ],
        },
    }


def _fetching() -> Object:
    return {
        "name": "fetch-model",
        "image": "ghcr.io/example/fetch:1.4.2",
        "command": ["fetch"],
        "args": ["--model", _ARGUMENTS[0], "--to", "/data"],
        "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }


def _engine() -> Object:
    plain: list[Object] = [{"name": name, "value": value} for name, value in _VARIABLES.items()]
    return {
        "name": "engine",
        "image": "vllm/vllm-openai:v0.11.0",
        "command": ["vllm", "serve"],
        "args": list(_ARGUMENTS),
        "env": [
            *plain,
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hf", "key": "token"}}},
        ],
        "ports": [{"name": "http", "containerPort": 8000}, {"name": "zmq", "containerPort": 55555}],
        "resources": {
            "limits": {"cpu": "12", "memory": "64Gi", "nvidia.com/gpu": "1"},
            "requests": {"cpu": "8", "memory": "48Gi", "nvidia.com/gpu": "1"},
        },
        "startupProbe": _probe(every=10, most=60),
        "livenessProbe": _probe(every=10, most=3),
        "readinessProbe": _probe(every=5, most=3),
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "lifecycle": {"preStop": {"exec": {"command": ["/bin/sleep", "20"]}}},
        "volumeMounts": [
            {"name": "data", "mountPath": "/data"},
            {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108 (of a container)
            {"name": "config", "mountPath": "/etc/vllm", "readOnly": True},
        ],
    }


def _exporter() -> Object:
    return {
        "name": "metrics",
        "image": "ghcr.io/example/exporter:0.3.1",
        "args": ["--listen", ":9400"],
        "ports": [{"name": "metrics", "containerPort": 9400}],
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
    }


def _probe(*, every: int, most: int) -> Object:
    asked = {"path": "/health", "port": 8000}
    return {"httpGet": asked, "initialDelaySeconds": 15, "periodSeconds": every, "failureThreshold": most}


def _said(name: str, image: str, state: dict[str, Any]) -> Object:
    return {
        "name": name,
        "image": image,
        "imageID": f"{image.partition(':')[0]}@sha256:{'ab' * 32}",
        "containerID": f"containerd://{'cd' * 32}",
        "ready": True,
        "started": "running" in state,
        "restartCount": 0,
        "state": state,
        "lastState": {},
        "resources": {"requests": {"cpu": "8", "memory": "48Gi"}},
        "allocatedResources": {"cpu": "8", "memory": "48Gi"},
        "user": {"linux": {"uid": 1000, "gid": 0, "supplementalGroups": [0, 1000]}},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }


_ENDED: Final = {"exitCode": 0, "reason": "Completed", "startedAt": _SINCE, "finishedAt": _SINCE}
SERVING_STATUS: Final[Object] = {
    "phase": "Running",
    "hostIP": "10.1.2.3",
    "hostIPs": [{"ip": "10.1.2.3"}],
    "podIP": "10.244.1.7",
    "podIPs": [{"ip": "10.244.1.7"}],
    "startTime": _SINCE,
    "qosClass": "Burstable",
    "conditions": [
        {"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": _SINCE} for kind in _CONDITIONS
    ],
    "initContainerStatuses": [_said("fetch-model", "ghcr.io/example/fetch:1.4.2", {"terminated": _ENDED})],
    "containerStatuses": [
        _said("engine", "vllm/vllm-openai:v0.11.0", {"running": {"startedAt": _SINCE}}),
        _said("metrics", "ghcr.io/example/exporter:0.3.1", {"running": {"startedAt": _SINCE}}),
    ],
}
"""What a kubelet says of one that runs."""
