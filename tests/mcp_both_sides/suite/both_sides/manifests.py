"""What is put into both: healthy, broken and waiting things, each in a form that needs no image and no network."""

from typing import Any, Final

NAMESPACE: Final = "shop"
CANARY: Final = "canary-3f9a7c"
"""A secret that no answer may hold."""
SAID: Final = ("hello again", "a word on stderr")
"""What every container of `web` writes."""
GROUP: Final = "shop.example.org"

Manifest = tuple[str, dict[str, Any]]


def container(**more: Any) -> dict[str, Any]:
    return {
        "name": "main",
        "image": "shop/web:1",
        "args": ["--say", "hello"],
        "env": [{"name": "API_TOKEN", "value": CANARY}, {"name": "COLOR", "value": "red"}],
        "ports": [{"name": "http", "containerPort": 8000}],
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
        **more,
    }


def deployment(name: str, replicas: int, **pod: Any) -> Manifest:
    labels = {"app": name}
    spec = {"containers": [container()], "terminationGracePeriodSeconds": 1, **pod}
    return "/apis/apps/v1/namespaces/{}/deployments", {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def service(name: str, app: str, port: str) -> Manifest:
    ports = [{"name": "http", "port": 80, "targetPort": port}]
    return "/api/v1/namespaces/{}/services", {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": app}, "ports": ports},
    }


def custom() -> list[Manifest]:
    names = {"kind": "Widget", "plural": "widgets", "singular": "widget", "shortNames": ["wd"]}
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
    }
    columns = [
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
        {"name": "Status", "type": "string", "jsonPath": ".spec.state"},
    ]
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
        "additionalPrinterColumns": columns,
    }
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{GROUP}"},
        "spec": {"group": GROUP, "names": names, "scope": "Namespaced", "versions": [version]},
    }
    return [("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)]


def widgets() -> list[Manifest]:
    path = f"/apis/{GROUP}/v1/namespaces/{{}}/widgets"
    specs: dict[str, dict[str, Any]] = {"large": {"size": 9, "state": "Degraded"}, "small": {"size": 1}}
    return [
        (path, {"apiVersion": f"{GROUP}/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec})
        for name, spec in specs.items()
    ]


def rights() -> list[Manifest]:
    root = "/apis/rbac.authorization.k8s.io/v1/namespaces/{}"
    rule = {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "pods/log"]}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"}
    subjects = [
        {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "ana"},
        {"kind": "ServiceAccount", "name": "watch", "namespace": NAMESPACE},
    ]
    return [
        (f"{root}/roles", {"metadata": {"name": "reader"}, "rules": [rule]}),
        (f"{root}/rolebindings", {"metadata": {"name": "readers"}, "roleRef": reference, "subjects": subjects}),
    ]


def bounds() -> list[Manifest]:
    scaled = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    autoscaler = {
        "metadata": {"name": "web"},
        "spec": {"scaleTargetRef": scaled, "minReplicas": 1, "maxReplicas": 5},
    }
    budget = {
        "metadata": {"name": "web"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
    }
    job = {"containers": [{"name": "main", "image": "shop/job:1", "command": ["sh", "-c", "exit 0"]}]}
    template = {"metadata": {"labels": {"app": "tidy"}}, "spec": {**job, "restartPolicy": "Never"}}
    return [
        ("/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers", autoscaler),
        ("/apis/policy/v1/namespaces/{}/poddisruptionbudgets", budget),
        ("/apis/batch/v1/namespaces/{}/jobs", {"metadata": {"name": "tidy"}, "spec": {"template": template}}),
        ("/api/v1/namespaces/{}/configmaps", {"metadata": {"name": "settings"}, "data": {"color": "red", "size": "9"}}),
        ("/api/v1/namespaces/{}/secrets", {"metadata": {"name": "keys"}, "stringData": {"one": CANARY}}),
    ]


def everything() -> list[Manifest]:
    """Return what is created at once, in this order."""
    wanting = {"containers": [container()], "nodeSelector": {"shop": "nowhere"}}
    return [
        ("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}}),
        *custom(),
        *rights(),
        *bounds(),
        deployment("web", 2),
        deployment("broken", 2, schedulerName="nobody"),
        (
            "/api/v1/namespaces/{}/pods",
            {"metadata": {"name": "wanting", "labels": {"app": "wanting"}}, "spec": wanting},
        ),
        service("web", "web", "http"),
        service("lost", "nothing", "http"),
        service("wrong", "web", "grpc"),
    ]
