"""Incidents on the lab's controllers, in virtual time, and the alerts that their series raise: these and no others."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from midwatch_contracts.clock import VirtualClock
from midwatch_contracts.times import rfc3339
from midwatch_lab.exporters.cadvisor import Cadvisor
from midwatch_lab.exporters.state.kinds import StateMetrics
from midwatch_lab.exporters.throttling import Waits, waits
from midwatch_lab.kinds.resources import (
    AUTOSCALERS,
    DAEMON_SETS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    JOBS,
    LEASES,
    NAMESPACES,
    NODES,
    PODS,
    RESOURCE_QUOTAS,
    STATEFUL_SETS,
    Resource,
)
from midwatch_lab.metrics.engine.evaluate import Limits
from midwatch_lab.metrics.engine.query import instant, read
from midwatch_lab.metrics.pages import Fetched
from midwatch_lab.metrics.service import MetricsService
from midwatch_lab.metrics.targets import Target
from midwatch_lab.objects import Object, dig, is_terminating, name_of, uid_of
from midwatch_lab.plane import ControlPlane
from midwatch_lab.usage import Held, PodUsage, Usage
from nodes_by_hand import KUBELET, NAMESPACE, TESTER, add_node, fail, let_go, pods, report

pytestmark = pytest.mark.anyio
RULES = (Path(__file__).parent / "incidents.rules.yaml").read_text("utf-8")
STEP_S = 30.0
LABELS = {"app": "chat"}
QUARTER_S = 15 * 60.0
CONTAINER: dict[str, Any] = {"name": "server", "image": "chat:1", "resources": {"requests": {"cpu": "1"}}}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class World:
    """Two nodes whose kubelets the test plays, and a Prometheus with the rules, all on one virtual clock."""

    def __init__(self) -> None:
        self.clock = VirtualClock(1_700_000_000.0)
        self.plane = ControlPlane(self.clock)
        self.registry = self.plane.registry
        self.registry.create(NAMESPACES, "", {"metadata": {"name": NAMESPACE}}, TESTER)
        self.silent: set[str] = set()
        """Nodes whose kubelets say nothing more."""
        self.used = 0.0
        """CPU seconds of each container so far."""
        self.cores = 0.0
        self.limited = False
        self.play: Callable[[Object], None] = self.ready
        store = self.plane.store
        exporters = [StateMetrics(store).exporter]
        for name in ("n1", "n2"):
            add_node(self.plane, name)
            node = Cadvisor(name, "10.0.0.1", self.plane.usage, lambda: store.items(PODS.key), self.waited)
            exporters.append(node.exporter)
        self.service = MetricsService(self.clock, self.pages, exporters, fetch=self.fetch)
        self.service.set_rules(RULES)

    def waited(self) -> Waits:
        return waits(self.service.store, self.clock.now())

    def pages(self) -> list[Target]:
        """The page of every running pod, once pods count what they wait."""
        running = [pod for pod in pods(self.plane) if dig(pod, "status", "phase") == "Running"] if self.limited else []
        own = [{"namespace": NAMESPACE, "pod": name_of(pod), "container": "server"} for pod in running]
        return [Target({**labels, "job": "chat"}, f"http://{labels['pod']}/metrics") for labels in own]

    async def fetch(self, _url: str, _timeout_s: float, _limit: int) -> Fetched:
        periods = round((self.clock.now() - 1_700_000_000.0) * 10)
        lines = (f"midwatch_cpu_periods_total {periods}", f"midwatch_cpu_throttled_periods_total {periods // 2}")
        page = "\n".join((*lines, f"midwatch_cpu_throttled_seconds_total {periods // 2 * 0.05}", ""))
        return Fetched(page, "text/plain; version=0.0.4")

    def create(self, resource: Resource, name: str, **spec: Any) -> None:
        namespace = NAMESPACE if resource.namespaced else ""
        self.registry.create(resource, namespace, {"metadata": {"name": name}, "spec": spec}, TESTER)

    def deploy(self, replicas: int, **more: Any) -> None:
        self.create(DEPLOYMENTS, "chat", replicas=replicas, **workload(), **more)

    def ready(self, pod: Object) -> None:
        if dig(pod, "status", "phase") != "Running":
            report(self.plane, name_of(pod), "Running", ready=True)

    async def advance(self, seconds: float) -> None:
        """Let time go by: kubelets, controllers, scrapes and rules do their work every half a minute."""
        for _ in range(round(seconds / STEP_S)):
            self._renew()
            await let_go(self.plane)
            for pod in pods(self.plane):
                if dig(pod, "spec", "nodeName") and not is_terminating(pod):
                    self.play(pod)
            self._measure()
            await self.plane.settle()
            await self.service.scraper.once()
            self.service.rules.evaluate(self.clock.now())
            await self.clock.advance(STEP_S)

    def _renew(self) -> None:
        for node in self.plane.store.items(NODES.key):
            if name_of(node) in self.silent:
                continue
            spec = {"holderIdentity": name_of(node), "renewTime": rfc3339(self.clock.now()).removesuffix("Z") + "000Z"}
            if self.registry.find(LEASES, "kube-node-lease", name_of(node)) is None:
                self.registry.create(
                    LEASES, "kube-node-lease", {"metadata": {"name": name_of(node)}, "spec": spec}, TESTER
                )
            else:
                self.registry.modify(
                    LEASES,
                    "kube-node-lease",
                    name_of(node),
                    lambda lease, spec=spec: lease["spec"].update(spec),
                    TESTER,
                )

    def _measure(self) -> None:
        if not self.cores:
            return
        self.used += self.cores * STEP_S
        held = Held(0.0, self.used, 0.0, 1, 1, 0, 0, 0, 0, 1, 1)
        for pod in pods(self.plane):
            if dig(pod, "status", "phase") == "Running":
                usage = {"server": Usage(self.cores, 2**20)}
                self.plane.usage.report(uid_of(pod), PodUsage(self.clock.now(), STEP_S, usage, {"server": held}))

    @property
    def firing(self) -> set[str]:
        return {alert.labels["alertname"] for alert in self.service.alerts() if alert.state == "firing"}

    def ask(self, query: str) -> list[tuple[dict[str, str], float]]:
        result = instant(self.service.store, read(query), self.clock.now(), Limits())
        return [(dict(labels), points[0][1]) for labels, points in result.series]


def workload(**pod: Any) -> dict[str, Any]:
    spec = {"containers": [CONTAINER], **pod}
    return {"selector": {"matchLabels": LABELS}, "template": {"metadata": {"labels": LABELS}, "spec": spec}}


@asynccontextmanager
async def running() -> AsyncGenerator[World]:
    world = World()
    async with world.plane.running():
        yield world


async def test_a_healthy_cluster_raises_no_alert() -> None:
    async with running() as world:
        world.deploy(3)
        world.create(STATEFUL_SETS, "db", serviceName="db", replicas=2, **workload())
        world.create(DISRUPTION_BUDGETS, "chat", minAvailable=2, selector={"matchLabels": LABELS})
        world.create(RESOURCE_QUOTAS, "team", hard={"pods": "20"})
        await world.advance(QUARTER_S)
        assert world.firing == set()
        assert len(world.ask('kube_pod_status_phase{phase="Running"} == 1')) == 5


async def test_a_container_that_crashes_again_and_again() -> None:
    async with running() as world:
        world.deploy(1)

        def crash(pod: Object) -> None:
            def change(obj: Object) -> None:
                before = dig(obj, "status", "containerStatuses", 0, "restartCount", default=0)
                state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
                status = {"name": "server", "ready": False, "restartCount": before + 1, "state": state}
                obj["status"] |= {"phase": "Running", "containerStatuses": [{**status, "image": "", "imageID": ""}]}

            world.registry.modify(PODS, NAMESPACE, name_of(pod), change, KUBELET)

        world.play = crash
        await world.advance(QUARTER_S)
        assert world.firing == {"CrashLooping", "ReplicasMissing"}
        ((_, restarts),) = world.ask("increase(kube_pod_container_status_restarts_total[5m])")
        assert restarts == pytest.approx(10, abs=1)


async def test_a_pod_that_no_node_has_room_for() -> None:
    async with running() as world:
        world.deploy(1, progressDeadlineSeconds=3600)
        world.registry.modify(
            DEPLOYMENTS, NAMESPACE, "chat",
            lambda obj: obj["spec"]["template"]["spec"].update(nodeSelector={"no": "such"}), TESTER,
        )  # fmt: skip
        await world.advance(QUARTER_S)
        assert world.firing == {"PodNotUp", "ReplicasMissing"}
        assert len(world.ask("kube_pod_status_unschedulable == 1")) == 1


async def test_a_rollout_that_never_becomes_ready() -> None:
    async with running() as world:
        world.deploy(2, progressDeadlineSeconds=60)
        world.play = lambda pod: report(world.plane, name_of(pod), "Running", ready=False)
        await world.advance(QUARTER_S)
        assert world.firing == {"RolloutStuck", "ReplicasMissing"}


async def test_a_job_that_fails() -> None:
    async with running() as world:
        pod = {"restartPolicy": "Never", "containers": [CONTAINER]}
        world.create(JOBS, "work", backoffLimit=0, template={"spec": pod})
        world.play = lambda pod: fail(world.plane, name_of(pod)) if dig(pod, "status", "phase") != "Failed" else None
        await world.advance(QUARTER_S)
        assert world.firing == {"JobFailed"}
        reasons = {labels["reason"]: value for labels, value in world.ask("kube_job_status_failed")}
        assert reasons == {"BackoffLimitExceeded": 1, "DeadlineExceeded": 0, "Evicted": 0}


async def test_an_autoscaler_that_may_ask_for_no_more_pods() -> None:
    async with running() as world:
        world.deploy(1)
        cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "chat"}
        world.create(
            AUTOSCALERS, "chat", scaleTargetRef=target, maxReplicas=3, metrics=[{"type": "Resource", "resource": cpu}]
        )
        world.cores = 0.9
        await world.advance(QUARTER_S)
        assert world.firing == {"AutoscalerAtItsLimit"}
        ((labels, _),) = world.ask('kube_horizontalpodautoscaler_status_condition{condition="ScalingLimited"} == 1')
        assert labels["status"] == "true"
        rates = world.ask("node_namespace_pod_container:cpu:irate")
        assert [round(value, 3) for _, value in rates] == [0.9] * 3
        assert {labels["node"] for labels, _ in rates} <= {"n1", "n2"}
        workloads = world.ask("namespace_workload_pod:owner:relabel")
        assert {labels["workload"] for labels, _ in workloads} == {"chat"}
        assert {labels["pod"] for labels, _ in workloads} == {name_of(pod) for pod in pods(world.plane)}


async def test_a_quota_that_is_almost_used_up() -> None:
    async with running() as world:
        world.create(RESOURCE_QUOTAS, "team", hard={"pods": "20", "requests.cpu": "30"})
        world.deploy(10)
        world.registry.modify(RESOURCE_QUOTAS, NAMESPACE, "team", lambda q: q["spec"]["hard"].update(pods="11"), TESTER)
        await world.advance(QUARTER_S)
        assert world.firing == {"QuotaAlmostFull", "CpuOvercommitted"}


async def test_a_node_that_says_nothing_more() -> None:
    async with running() as world:
        world.deploy(2)
        await world.advance(60.0)
        world.silent = {"n2"}
        await world.advance(QUARTER_S)
        assert world.firing == {"NodeNotReady", "NodeUnreachable"}
        assert [labels["node"] for labels, _ in world.ask('kube_node_status_condition{status="unknown"} == 1')]
        assert {labels["node"] for labels, _ in world.ask('kube_pod_info{created_by_kind="ReplicaSet"}')} == {"n1"}


async def test_a_budget_that_is_not_kept_and_a_set_that_is_half_updated() -> None:
    async with running() as world:
        world.create(STATEFUL_SETS, "db", serviceName="db", replicas=3, **workload())
        world.create(DISRUPTION_BUDGETS, "db", minAvailable=3, selector={"matchLabels": LABELS})
        await world.advance(120.0)
        assert world.firing == set()
        world.play = lambda pod: report(
            world.plane, name_of(pod), "Running", ready=pod["spec"]["containers"][0]["image"] == "chat:1"
        )
        world.registry.modify(
            STATEFUL_SETS, NAMESPACE, "db",
            lambda obj: obj["spec"]["template"]["spec"]["containers"][0].update(image="chat:2"), TESTER,
        )  # fmt: skip
        await world.advance(QUARTER_S)
        assert world.firing == {"SetNotReady", "SetHalfUpdated", "BudgetNotKept"}


async def test_a_daemon_that_is_not_up_on_one_node() -> None:
    async with running() as world:
        world.create(DAEMON_SETS, "agent", **workload())
        world.play = lambda pod: report(
            world.plane, name_of(pod), "Running", ready=dig(pod, "spec", "nodeName") == "n1"
        )
        await world.advance(QUARTER_S)
        assert world.firing == {"DaemonMissing"}


async def test_a_container_that_waits_for_its_cpu_limit_in_every_other_period() -> None:
    async with running() as world:
        world.deploy(1)
        world.cores, world.limited = 0.5, True
        await world.advance(QUARTER_S)
        assert world.firing == {"Throttled"}
        ((labels, rate),) = world.ask("rate(container_cpu_cfs_throttled_seconds_total[5m])")
        assert (labels["container"], labels["job"], labels["metrics_path"]) == (
            "server",
            "kubelet",
            "/metrics/cadvisor",
        )
        assert rate == pytest.approx(0.25, abs=0.01)


async def test_requests_that_could_not_stand_the_loss_of_a_node() -> None:
    async with running() as world:
        world.deploy(9)
        await world.advance(QUARTER_S)
        assert world.firing == {"CpuOvercommitted"}
        assert world.ask("namespace_cpu:requests:sum")[0][1] == 9
