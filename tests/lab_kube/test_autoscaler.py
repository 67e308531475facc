"""The HorizontalPodAutoscaler on a plane whose pods are ready at once and use what the test says.

The sizes and words were read from kube-controller-manager 1.36, with the same autoscalers on the same load.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

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
ABOVE = "cpu resource utilization (percentage of request) above target"
pytestmark = pytest.mark.anyio


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


@pytest.fixture
def scene(with_node: ControlPlane, clock: VirtualClock) -> Callable[..., Scene]:
    def make(**options: Any) -> Scene:
        return Scene(with_node, clock, **options)

    return make


SIZES: dict[str, tuple[int, int, dict[str, Any], list[int]]] = {
    "plainly, it at most doubles, or goes to four": (1, 1000, {}, [4, 8, 10, 10]),
    "one pod a period": (1, 1000, {"scaleUp": rules(("Pods", 1, 15))}, [2, 3, 4, 5]),
    "half as many again in two periods": (4, 2000, {"scaleUp": rules(("Percent", 50, 30))}, [6, 6, 9, 9]),
    "the slower of two policies": (
        4, 2000, {"scaleUp": rules(("Percent", 50, 30), ("Pods", 1, 60), selectPolicy="Min")}, [5, 5, 5, 5]
    ),
    "never where it is disabled": (1, 1000, {"scaleUp": {"selectPolicy": "Disabled"}}, [1, 1, 1, 1]),
    "not before its window is over": (1, 1000, {"scaleUp": {"stabilizationWindowSeconds": 600}}, [1, 1, 1, 1]),
    "not within the tolerance": (2, 108, {}, [2, 2, 2, 2]),
    "not within its own tolerance": (2, 140, {"scaleUp": {"tolerance": "0.5"}}, [2, 2, 2, 2]),
    "not down within five minutes": (6, 60, {}, [6, 6, 6, 6]),
    "down by half a period": (
        6, 60, {"scaleDown": rules(("Percent", 50, 15), stabilizationWindowSeconds=0)}, [3, 2, 2, 2]
    ),
    "down by one in two periods": (
        6, 60, {"scaleDown": rules(("Pods", 1, 30), stabilizationWindowSeconds=0)}, [5, 5, 4, 4]
    ),
}  # fmt: skip


@pytest.mark.parametrize(("start", "load", "behavior", "sizes"), SIZES.values(), ids=list(SIZES))
async def test_it_goes_to_the_target_no_faster_than_it_may(
    scene: Callable[..., Scene], start: int, load: int, behavior: dict[str, Any], sizes: list[int]
) -> None:
    it = scene(cpu=load)
    async with it.plane.running():
        more: dict[str, Any] = {"behavior": behavior} if behavior else {}
        it.begin(start, cpu(50), **more)
        assert await it.periods(4) == sizes


async def test_what_it_does_is_in_its_conditions_and_events(scene: Callable[..., Scene]) -> None:
    it = scene(cpu=1000)
    async with it.plane.running():
        it.begin(1, cpu(50))
        await it.periods(1)
        assert it.said("AbleToScale")[1:] == (
            "SucceededRescale", "the HPA controller was able to update the target scale to 4"
        )  # fmt: skip
        assert it.said("ScalingLimited") == (
            "True", "ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate"
        )  # fmt: skip
        assert it.events()["SuccessfulRescale"] == f"New size: 4; reason: {ABOVE}"
        assert it.scaler["status"]["lastScaleTime"] == it.plane.registry.now_text()
        await it.periods(3)
        assert it.said("ScalingLimited")[1] == "TooManyReplicas"
        text = "the HPA was able to successfully calculate a replica count from "
        assert it.said("ScalingActive") == ("True", "ValidMetricFound", text + ABOVE.removesuffix(" above target"))
        status = it.scaler["status"]
        assert (status["currentReplicas"], status["desiredReplicas"]) == (10, 10)
        current = {"averageUtilization": 100, "averageValue": "100m"}
        assert status["currentMetrics"] == [{"type": "Resource", "resource": {"name": "cpu", "current": current}}]


async def test_it_reads_averages_memory_and_containers_and_takes_the_most(scene: Callable[..., Scene]) -> None:
    it = scene(cpu=100, memory=330, containers=("a", "b"))
    async with it.plane.running():
        it.begin(2, average("cpu", "50m"), average("memory", "100Mi"), contained("b", 50))
        assert (await it.periods(3))[-1] == 7, "330 MiB for each of two containers, in hundreds"
        seen = it.scaler["status"]["currentMetrics"]
        assert seen[1]["resource"]["current"]["averageValue"] == "94Mi"
        assert seen[2]["containerResource"]["container"] == "b"
        assert it.said("ScalingActive")[2].endswith("from memory resource")


async def test_five_minutes_of_less_load_take_pods_away(scene: Callable[..., Scene]) -> None:
    it = scene(cpu=300)
    async with it.plane.running():
        it.begin(6, cpu(50))
        await it.periods(4)
        it.cpu = 60
        sizes = await it.periods(26)
    assert sizes[:22] == [6] * 22
    assert it.said("AbleToScale")[1] in ("ScaleDownStabilized", "ReadyForNewScale")
    assert sizes[-1] == 2


async def test_pods_without_measurements_dampen_what_is_done(scene: Callable[..., Scene]) -> None:
    it = scene(cpu=400, share=0.5)
    async with it.plane.running():
        it.begin(4, cpu(50), maxReplicas=20)
        assert (await it.periods(1))[-1] == 4, "as if the others did nothing"


async def test_what_cannot_be_read_is_no_reason_to_take_pods_away_but_none_against_more(
    scene: Callable[..., Scene],
) -> None:
    it = scene(cpu=60)
    async with it.plane.running():
        it.begin(6, CUSTOM, cpu(50))
        assert (await it.periods(2))[-1] == 6
        why = f"the HPA was unable to compute the replica count: {NO_CUSTOM}"
        assert it.said("ScalingActive") == ("False", "FailedGetPodsMetric", why)
        assert it.events()["FailedComputeMetricsReplicas"] == (
            f"invalid metrics (1 invalid out of 2), first error is: failed to get pods metric value: {NO_CUSTOM}"
        )
        it.cpu = 400
        assert (await it.periods(1))[-1] == 8


async def test_what_has_no_request_or_no_measurement_is_refused_by_name(scene: Callable[..., Scene]) -> None:
    it = scene(cpu=100, request=None)
    async with it.plane.running():
        it.begin(1, cpu(50))
        await it.settle()
        why = "failed to get cpu utilization: unable to get metrics for resource cpu: no metrics returned from"
        assert why in it.said("ScalingActive")[2]
        await it.periods(1)
        assert "missing request for cpu in container a of Pod d-" in it.said("ScalingActive")[2]
        assert it.scaler["status"]["currentMetrics"] == [{"type": ""}]


@pytest.mark.parametrize(
    ("start", "spec", "size", "reason"),
    [
        (2, {"minReplicas": 4}, 4, "Current number of replicas below Spec.MinReplicas"),
        (2, {"maxReplicas": 1}, 1, "Current number of replicas above Spec.MaxReplicas"),
    ],
)
async def test_bounds_hold_even_without_any_measurement(
    scene: Callable[..., Scene], start: int, spec: dict[str, Any], size: int, reason: str
) -> None:
    it = scene(share=0.0)
    async with it.plane.running():
        it.begin(start, cpu(50), **spec)
        assert (await it.periods(1))[-1] == size
        assert it.events()["SuccessfulRescale"] == f"New size: {size}; reason: {reason}"


async def test_nothing_wanted_by_the_target_switches_scaling_off(scene: Callable[..., Scene]) -> None:
    it = scene(cpu=100)
    async with it.plane.running():
        it.begin(0, cpu(50))
        assert (await it.periods(1))[-1] == 0
        assert it.said("ScalingActive")[1] == "ScalingDisabled"


async def test_two_autoscalers_over_the_same_pods_do_nothing_and_say_so(scene: Callable[..., Scene]) -> None:
    it = scene(cpu=1000)
    async with it.plane.running():
        it.begin(2, cpu(50))
        it.add(cpu(50), name="g")
        assert (await it.periods(2))[-1] == 2
        text = "pods by selector app=d are controlled by multiple HPAs: [llm/g llm/h]"
        assert it.said("ScalingActive") == ("False", "AmbiguousSelector", text)


@pytest.mark.parametrize(
    ("reference", "text"),
    [
        ({"name": "x"}, 'deployments.apps "x" not found'),
        ({"kind": "Foo"}, 'no matches for kind "Foo" in group "apps"'),
    ],
)
async def test_a_target_that_is_not_there_is_named(
    scene: Callable[..., Scene], reference: dict[str, str], text: str
) -> None:
    it = scene()
    async with it.plane.running():
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d", **reference}
        it.begin(1, cpu(50), scaleTargetRef=target)
        await it.periods(1)
        why = f"the HPA controller was unable to get the target's current scale: {text}"
        assert it.said("AbleToScale") == ("False", "FailedGetScale", why)
        assert it.events()["FailedGetScale"] == text
