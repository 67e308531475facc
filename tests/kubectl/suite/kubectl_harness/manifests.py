"""Objects that the tests put into both servers."""

from typing import Any, Final

import orjson

LABELS: Final = {"app": "web", "tier": "front"}


def deployment(name: str = "web", *, replicas: int = 2, **spec: Any) -> dict[str, Any]:
    """Return a Deployment of one container with most of what `describe` tells of."""
    container: dict[str, Any] = {
        "name": "web",
        "image": "nginx:1",
        "command": ["/bin/web"],
        "args": ["--port=8080"],
        "ports": [{"name": "http", "containerPort": 8080}],
        "env": [
            {"name": "COLOR", "value": "red"},
            {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "one", "optional": True}}},
        ],
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"cpu": "200m"}},
        "livenessProbe": {"tcpSocket": {"port": "http"}},
        "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 5},
        "volumeMounts": [{"name": "settings", "mountPath": "/etc/web", "readOnly": True}],
    }
    pod = {"containers": [container], "volumes": [{"name": "settings", "configMap": {"name": "settings"}}]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": LABELS, "annotations": {"note": "words"}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name, "tier": "front"}}, "spec": pod},
            **spec,
        },
    }


def pod(name: str, **spec: Any) -> dict[str, Any]:
    """Return a pod."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": LABELS},
        "spec": {"containers": [{"name": "main", "image": "nginx:1"}], **spec},
    }


def service(name: str = "web", **spec: Any) -> dict[str, Any]:
    """Return a Service."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": LABELS},
        "spec": {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}], **spec},
    }


def config(name: str, **data: str) -> dict[str, Any]:
    """Return a ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": LABELS}, "data": data}


def as_list(*objects: dict[str, Any]) -> str:
    """Return the objects as one document for `-f -`."""
    return orjson.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}).decode()
