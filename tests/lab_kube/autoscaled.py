"""A Deployment under an autoscaler, on a plane whose pods are ready at once and use what the test says."""

from dataclasses import dataclass, field
from typing import Any

from midwatch_contracts.clock import VirtualClock
from midwatch_lab.kinds.resources import AUTOSCALERS, DEPLOYMENTS, EVENTS, PODS
from midwatch_lab.objects import condition, dig, is_terminating, name_of, uid_of
from midwatch_lab.plane import ControlPlane
from midwatch_lab.registry.upkeep import DeleteOptions
from midwatch_lab.store.audit import Origin
from midwatch_lab.usage import PodUsage, Usage

TESTER = Origin("tester", "create", "/test", manager="tester")
NODE = Origin("system:node:n1", "patch", "/x", manager="kubelet", subresource="status")
MIB = 2**20


def cpu(percent: int) -> dict[str, Any]:
    target = {"type": "Utilization", "averageUtilization": percent}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


def average(name: str, value: str) -> dict[str, Any]:
    return {"type": "Resource", "resource": {"name": name, "target": {"type": "AverageValue", "averageValue": value}}}


def contained(name: str, percent: int) -> dict[str, Any]:
    target = {"type": "Utilization", "averageUtilization": percent}
    return {"type": "ContainerResource", "containerResource": {"name": "cpu", "container": name, "target": target}}


CUSTOM: dict[str, Any] = {
    "type": "Pods",
    "pods": {"metric": {"name": "rps"}, "target": {"type": "AverageValue", "averageValue": "10"}},
}
NO_CUSTOM = (
    "unable to get metric rps: unable to fetch metrics from custom metrics API: no custom metrics API "
    "(custom.metrics.k8s.io) registered"
)


def rules(*policies: tuple[str, int, int], **more: Any) -> dict[str, Any]:
    found = [{"type": kind, "value": value, "periodSeconds": period} for kind, value, period in policies]
    return {"policies": found, **more}


@dataclass
class Scene:
    """A Deployment `d` of pods that ask for 100m and 100Mi, its autoscaler `h`, and a load that they share."""

    plane: ControlPlane
    clock: VirtualClock
    cpu: int = 0
    memory: int = 0
    share: float = 1.0
    containers: tuple[str, ...] = ("a",)
    request: str | None = "100m"
    sizes: list[int] = field(default_factory=list[int])

    def begin(self, replicas: int, *metrics: dict[str, Any], name: str = "h", **spec: Any) -> None:
        asked = {"memory": "100Mi"} | ({"cpu": self.request} if self.request else {})
        containers = [{"name": name, "image": "i", "resources": {"requests": asked}} for name in self.containers]
        labels = {"app": "d"}
        body = {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
        }
        self.plane.registry.create(DEPLOYMENTS, "llm", {"metadata": {"name": "d"}, "spec": body}, TESTER)
        self.add(*metrics, name=name, **spec)

    def add(self, *metrics: dict[str, Any], name: str = "h", **spec: Any) -> None:
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}
        whole = {"scaleTargetRef": target, "maxReplicas": 10, "metrics": list(metrics), **spec}
        self.plane.registry.create(AUTOSCALERS, "llm", {"metadata": {"name": name}, "spec": whole}, TESTER)

    async def settle(self) -> None:
        for _ in range(3):
            await self.plane.settle()
            for pod in self.plane.store.items(PODS.key, "llm"):
                if is_terminating(pod):
                    self.plane.registry.delete(PODS, pod, DeleteOptions(grace=0), TESTER)
                elif dig(pod, "status", "phase") != "Running":
                    self.plane.registry.modify(PODS, "llm", name_of(pod), self.ready, NODE)

    def ready(self, obj: dict[str, Any]) -> None:
        now = self.plane.registry.now_text()
        obj["status"] |= {"phase": "Running", "startTime": now}
        obj["status"].setdefault("conditions", []).append({
            "type": "Ready", "status": "True", "lastTransitionTime": now
        })  # fmt: skip

    def report(self) -> None:
        pods = self.plane.store.items(PODS.key, "llm")
        for pod in pods[: round(len(pods) * self.share)]:
            each = Usage(self.cpu // len(pods) / 1000 / len(self.containers), self.memory // len(pods) * MIB)
            used = dict.fromkeys(self.containers, each)
            self.plane.usage.report(uid_of(pod), PodUsage(self.clock.now(), 1.0, used))

    async def periods(self, count: int) -> list[int]:
        """Let the autoscaler look so many times; returns the size after each."""
        for _ in range(count):
            await self.settle()
            await self.clock.advance(8.0)
            self.report()
            await self.clock.advance(7.0)
            await self.settle()
            self.sizes.append(self.plane.registry.read(DEPLOYMENTS, "llm", "d")["spec"]["replicas"])
        return self.sizes

    @property
    def scaler(self) -> dict[str, Any]:
        return self.plane.registry.read(AUTOSCALERS, "llm", "h")

    def said(self, kind: str) -> tuple[str, str, str]:
        found = condition(self.scaler, kind)
        assert found is not None
        return found["status"], found["reason"], found["message"]

    def events(self) -> dict[str, str]:
        """The newest message by reason."""
        return {
            event["reason"]: event["message"]
            for event in sorted(self.plane.store.items(EVENTS.key, "llm"), key=lambda event: event["firstTimestamp"])
            if event["involvedObject"]["kind"] == "HorizontalPodAutoscaler"
        }
