"""The platform under the crash matrix: four objects in a namespace of their own for each kill, and two replicas.

Everything here looks and writes as the administrator, beside the code under test. `Platform.taken` is the witness: what
the platform itself recorded of the writes that it took from the user `midwatch`.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from midwatch_mcp.safe_apply.operations.presence import MARK

Json = dict[str, Any]
FLEET = "fleet"
USER = "midwatch"
_OWN = ("uid", "resourceVersion", "generation", "managedFields", "creationTimestamp")
_NOTES = ("deployment.kubernetes.io/revision", MARK)
"""Annotations that a controller, or the plan for its own recognition, writes."""
CONFIG_MAP, CREATED = "ConfigMap/router", "ConfigMap/extra"
DEPLOYMENT, SCALER = "Deployment/chat", "HorizontalPodAutoscaler/chat"
REPLICAS = ("Pod/first", "Pod/second")
NAMES = (REPLICAS[0], DEPLOYMENT, CONFIG_MAP, SCALER, REPLICAS[1], CREATED)
"""The six targets, in the order of the plan's operations."""
_PATHS = {
    DEPLOYMENT: "/apis/apps/v1/namespaces/{}/deployments/chat",
    CONFIG_MAP: "/api/v1/namespaces/{}/configmaps/router",
    CREATED: "/api/v1/namespaces/{}/configmaps/extra",
    SCALER: "/apis/autoscaling/v2/namespaces/{}/horizontalpodautoscalers/chat",
}


@dataclass
class Platform(ABC):
    """A cluster with two replicas of a serving backend."""

    url: str
    admin: httpx2.AsyncClient
    kubeconfig: Path
    """Of the user `midwatch`."""
    token: str
    pods: tuple[str, str] = ("", "")
    """Names of the two replicas in the namespace `fleet`."""
    ports: tuple[int, int] = (8000, 8000)

    @abstractmethod
    async def mark(self) -> None:
        """Forget what was written up to here."""

    @abstractmethod
    async def taken(self, namespace: str) -> dict[str, list[str]]:
        """Return the verbs of the writes of objects that the platform took from Midwatch since the mark, by name."""

    async def fill(self, namespace: str) -> None:
        """Make the namespace of one kill, and give the replicas their first configuration."""
        await self.post("/api/v1/namespaces", {"metadata": {"name": namespace}})
        for name, value in objects().items():
            await self.post(_PATHS[name].format(namespace).rpartition("/")[0], value)
        for pod in self.pods:
            await self.configure(pod, {"max_num_seqs": 4})

    async def post(self, path: str, body: Json) -> Json:
        answer = await self.admin.post(path, json=body)
        assert answer.is_success, answer.text
        return answer.json()

    def _config_path(self, pod: str) -> str:
        port = self.ports[self.pods.index(pod)]
        return f"/api/v1/namespaces/{FLEET}/pods/{pod}:{port}/proxy/admin/config"

    async def config(self, pod: str) -> Json:
        answer = await self.admin.get(self._config_path(pod))
        assert answer.is_success, answer.text
        return answer.json()

    async def configure(self, pod: str, values: Json) -> None:
        path = self._config_path(pod)
        found = await self.admin.get(path)
        assert found.is_success, found.text
        if values.items() <= found.json()["values"].items():
            return
        answer = await self.admin.patch(path, json={"values": values}, headers={"If-Match": found.headers["etag"]})
        assert answer.is_success, answer.text

    async def seen(self, namespace: str) -> dict[str, Json | None]:
        """Return every target as it stands, without what the server sets; None where there is none."""
        found: dict[str, Json | None] = {}
        for name, path in _PATHS.items():
            answer = await self.admin.get(path.format(namespace))
            assert answer.status_code in (200, 404), answer.text
            found[name] = kept(answer.json()) if answer.is_success else None
        for name, pod in zip(REPLICAS, self.pods, strict=True):
            found[name] = {"values": (await self.config(pod))["values"]}
        return found

    async def versions(self) -> dict[str, int]:
        """Return how often each replica's configuration was stored, as the replica counts it."""
        return {name: (await self.config(pod))["version"] for name, pod in zip(REPLICAS, self.pods, strict=True)}

    def kubeconfig_at(self, port: int, folder: Path) -> Path:
        """Write a kubeconfig of the same user that goes by another port."""
        file = folder / "proxied.kubeconfig"
        write_kubeconfig(file, f"http://127.0.0.1:{port}", self.token)
        return file

    def draft(self, namespace: str, *, holds: bool) -> Json:
        """Return the six operations; the expectation holds, or does not."""
        first, second = ({"serving": f"Pod/{FLEET}/{pod}"} for pod in self.pods)
        manifest = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"made": "here"}}
        manifest["metadata"] = {"name": "extra", "namespace": namespace}

        def at(name: str) -> Json:
            kind, _, bare = name.partition("/")
            return {"kind": kind, "namespace": namespace, "name": bare}

        operations = [
            {"op": "serving.config", "target": first, "args": {"values": {"max_num_seqs": 2}}},
            {"op": "set_args", "target": at(DEPLOYMENT), "args": {"container": "engine", "args": {"--blocks": "256"}}},
            {
                "op": "patch",
                "target": at(CONFIG_MAP),
                "args": {"type": "merge", "patch": {"data": {"policy": "least"}}},
            },
            {"op": "hpa_bounds", "target": at(SCALER), "args": {"min": 2, "max": 8}},
            {"op": "serving.config", "target": second, "args": {"values": {"max_num_seqs": 3}}},
            {"op": "create", "target": at(CREATED), "args": {"manifest": manifest}},
        ]
        cel = f"object.data.policy == '{'least' if holds else 'none'}'"
        expect = {
            "object": f"ConfigMap/{namespace}/router",
            "cel": cel,
            "hold_s": 0,
            "within_s": 60.0 if holds else 0.05,
        }
        title = f"Six operations on two kinds of targets in {namespace}"
        return {"title": title, "cause": None, "evidence": [], "operations": operations, "expect": [expect]}


def objects() -> dict[str, Json]:
    """Return what is in the namespace beforehand. No replicas: nothing starts, and a controller still writes status."""
    labels = {"app": "chat"}
    container = {"name": "engine", "image": "engine:1", "args": ["--model=tiny", "--blocks=14"]}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "chat"}
    bounds = {"scaleTargetRef": reference, "minReplicas": 1, "maxReplicas": 4}
    named = {"metadata": {"name": "chat"}}
    return {
        DEPLOYMENT: {"apiVersion": "apps/v1", "kind": "Deployment", **named, "spec": spec},
        CONFIG_MAP: {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "router"}, "data": {"policy": "rr"}},
        SCALER: {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", **named, "spec": bounds},
    }


def approved(before: Mapping[str, Json | None], namespace: str) -> dict[str, Json | None]:
    """Return what the plan leads to, written down by hand."""
    after: dict[str, Any] = deepcopy(dict(before))
    after[DEPLOYMENT]["spec"]["template"]["spec"]["containers"][0]["args"] = ["--model=tiny", "--blocks=256"]
    after[CONFIG_MAP]["data"] = {"policy": "least"}
    after[SCALER]["spec"] |= {"minReplicas": 2, "maxReplicas": 8}
    after[CREATED] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "extra", "namespace": namespace},
        "data": {"made": "here"},
    }
    after[REPLICAS[0]]["values"]["max_num_seqs"] = 2
    after[REPLICAS[1]]["values"]["max_num_seqs"] = 3
    return after


def kept(value: Json) -> Json:
    """Return an object without what the server and the controllers set."""
    bare = {name: part for name, part in value.items() if name != "status"}
    bare["metadata"] = {name: part for name, part in value["metadata"].items() if name not in _OWN}
    notes = {k: v for k, v in bare["metadata"].pop("annotations", {}).items() if k not in _NOTES}
    if notes:
        bare["metadata"]["annotations"] = notes
    return bare


def write_kubeconfig(file: Path, server: str, token: str) -> None:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "it",
        "clusters": [{"name": "it", "cluster": {"server": server, "insecure-skip-tls-verify": True}}],
        "users": [{"name": "it", "user": {"token": token}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
    }
    file.write_text(json.dumps(config), "utf-8")
    file.chmod(0o600)
