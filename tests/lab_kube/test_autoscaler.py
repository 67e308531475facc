"""The HorizontalPodAutoscaler on a plane whose pods are ready at once and use what the test says.

The sizes and words were read from kube-controller-manager 1.36, with the same autoscalers on the same load.
"""

from collections.abc import Callable
from typing import Any

import pytest

from midwatch_contracts.clock import VirtualClock
from midwatch_lab.kinds.resources import CUSTOM_RESOURCE_DEFINITIONS
from midwatch_lab.plane import ControlPlane
from midwatch_lab.store.audit import Origin

from .autoscaled import CUSTOM, NO_CUSTOM, TESTER, Scene, average, contained, cpu, rules

ABOVE = "cpu resource utilization (percentage of request) above target"
pytestmark = pytest.mark.anyio


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


async def test_a_custom_resource_is_scaled_where_its_definition_says_what_its_replicas_are(
    scene: Callable[..., Scene],
) -> None:
    it = scene(cpu=400)
    number = {"type": "integer"}
    status = {"type": "object", "properties": {"replicas": number, "selector": {"type": "string"}}}
    schema = {
        "type": "object",
        "properties": {"spec": {"type": "object", "properties": {"size": number}}, "status": status},
    }
    paths = {
        "specReplicasPath": ".spec.size", "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }  # fmt: skip
    version = {
        "name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}, "scale": paths},
    }  # fmt: skip
    names = {"plural": "fleets", "singular": "fleet", "kind": "Fleet"}
    spec = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]}
    definition = {"metadata": {"name": "fleets.example.com"}, "spec": spec}
    registry = it.plane.registry
    async with it.plane.running():
        registry.create(CUSTOM_RESOURCE_DEFINITIONS, "", definition, TESTER)
        await it.plane.settle()
        fleets = registry.catalog.by_kind("example.com/v1", "Fleet")
        assert fleets is not None
        body = {"apiVersion": "example.com/v1", "kind": "Fleet", "metadata": {"name": "f"}, "spec": {"size": 2}}
        registry.create(fleets, "llm", body, TESTER)

        def count(obj: dict[str, Any]) -> None:
            obj["status"] = {"replicas": 2, "selector": "app=d"}

        origin = Origin("operator", "update", "/x", subresource="status")
        registry.modify(fleets, "llm", "f", count, origin)
        target = {"apiVersion": "example.com/v1", "kind": "Fleet", "name": "f"}
        # The pods are those of a Deployment, which stands in for whoever runs a fleet.
        it.begin(2, cpu(50), scaleTargetRef=target)
        await it.periods(1)
        assert registry.read(fleets, "llm", "f")["spec"]["size"] == 8 // 2
        assert it.said("ScalingLimited")[1] == "ScaleUpLimit"
