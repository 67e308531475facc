"""StatefulSets on a virtual clock: order, names, claims, updates by partition, and history."""

from typing import Any

import pytest

from midwatch_contracts.clock import VirtualClock
from midwatch_lab.kinds.resources import CONTROLLER_REVISIONS, EVENTS, STATEFUL_SETS, VOLUME_CLAIMS
from midwatch_lab.objects import is_terminating, labels_of, name_of
from midwatch_lab.patches import strategic
from midwatch_lab.plane import ControlPlane
from midwatch_lab.registry.upkeep import DeleteOptions
from nodes_by_hand import NAMESPACE, TESTER, add_node, fail, let_go, names, play, pods, step

pytestmark = pytest.mark.anyio


@pytest.fixture
def cluster(plane: ControlPlane) -> ControlPlane:
    add_node(plane, "n1")
    return plane


def make(plane: ControlPlane, replicas: int = 3, **spec: Any) -> None:
    pod = {"containers": [{"name": "db", "image": "db:1"}]}
    whole = {
        "replicas": replicas,
        "serviceName": "db",
        "selector": {"matchLabels": {"app": "db"}},
        "template": {"metadata": {"labels": {"app": "db"}}, "spec": pod},
    }
    plane.registry.create(STATEFUL_SETS, NAMESPACE, {"metadata": {"name": "db"}, "spec": whole | spec}, TESTER)


def change(plane: ControlPlane, **spec: Any) -> None:
    plane.registry.modify(STATEFUL_SETS, NAMESPACE, "db", lambda obj: obj["spec"].update(spec), TESTER)


def set_image(plane: ControlPlane, image: str) -> None:
    def renew(obj: dict[str, Any]) -> None:
        obj["spec"]["template"]["spec"]["containers"][0]["image"] = image

    plane.registry.modify(STATEFUL_SETS, NAMESPACE, "db", renew, TESTER)


def status(plane: ControlPlane) -> dict[str, Any]:
    return plane.registry.read(STATEFUL_SETS, NAMESPACE, "db")["status"]


def images(plane: ControlPlane) -> dict[str, str]:
    return {name_of(pod): pod["spec"]["containers"][0]["image"] for pod in pods(plane)}


def revisions(plane: ControlPlane) -> dict[str, int]:
    return {name_of(item): item["revision"] for item in plane.store.items(CONTROLLER_REVISIONS.key, NAMESPACE)}


async def test_pods_come_one_after_another_and_keep_their_names(cluster: ControlPlane) -> None:
    async with cluster.running():
        make(cluster)
        await cluster.settle()
        assert names(cluster) == ["db-0"], "the second waits for the first"
        assert await play(cluster) == ["db-0", "db-1", "db-2"]
        labels = [labels_of(pod) for pod in pods(cluster)]
        assert [label["statefulset.kubernetes.io/pod-name"] for label in labels] == ["db-0", "db-1", "db-2"]
        assert [label["apps.kubernetes.io/pod-index"] for label in labels] == ["0", "1", "2"]
        assert pods(cluster)[1]["spec"]["hostname"] == "db-1"
        assert pods(cluster)[1]["spec"]["subdomain"] == "db"
        (revision,) = revisions(cluster)
        assert status(cluster) == {
            "observedGeneration": 1, "replicas": 3, "readyReplicas": 3, "currentReplicas": 3, "updatedReplicas": 3,
            "currentRevision": revision, "updateRevision": revision, "collisionCount": 0, "availableReplicas": 3,
        }  # fmt: skip
        messages = [event["message"] for event in cluster.store.items(EVENTS.key, NAMESPACE)]
        assert "Create Pod db-2 in StatefulSet db successful" in messages


async def test_pods_come_at_once_where_the_policy_is_parallel(cluster: ControlPlane) -> None:
    async with cluster.running():
        make(cluster, podManagementPolicy="Parallel", ordinals={"start": 5})
        await cluster.settle()
        assert names(cluster) == ["db-5", "db-6", "db-7"]


async def test_scaling_down_takes_the_last_first_and_waits_for_it(cluster: ControlPlane) -> None:
    async with cluster.running():
        make(cluster)
        await play(cluster)
        change(cluster, replicas=1)
        await cluster.settle()
        assert [name_of(pod) for pod in pods(cluster) if is_terminating(pod)] == ["db-2"]
        await let_go(cluster)
        assert [name_of(pod) for pod in pods(cluster) if is_terminating(pod)] == ["db-1"]
        await let_go(cluster)
        assert names(cluster) == ["db-0"]
        assert status(cluster)["replicas"] == 1


async def test_an_update_replaces_the_last_first_down_to_the_partition(cluster: ControlPlane) -> None:
    async with cluster.running():
        make(cluster, updateStrategy={"rollingUpdate": {"partition": 1}})
        await play(cluster)
        set_image(cluster, "db:2")
        assert await play(cluster) == ["db-2", "db-1"]
        assert images(cluster) == {"db-0": "db:1", "db-1": "db:2", "db-2": "db:2"}
        assert (status(cluster)["currentReplicas"], status(cluster)["updatedReplicas"]) == (1, 2)
        assert status(cluster)["currentRevision"] != status(cluster)["updateRevision"]
        change(cluster, updateStrategy={"rollingUpdate": {"partition": 0}})
        assert await play(cluster) == ["db-0"]
        assert status(cluster)["currentRevision"] == status(cluster)["updateRevision"]
        assert status(cluster)["updatedReplicas"] == 3


async def test_below_the_partition_a_lost_pod_comes_back_as_it_was(cluster: ControlPlane) -> None:
    async with cluster.running():
        make(cluster, 2, updateStrategy={"rollingUpdate": {"partition": 1}})
        await play(cluster)
        set_image(cluster, "db:2")
        await play(cluster)
        fail(cluster, "db-0")
        await play(cluster)
        assert images(cluster) == {"db-0": "db:1", "db-1": "db:2"}


async def test_an_update_waits_for_a_pod_that_does_not_come_up(cluster: ControlPlane) -> None:
    async with cluster.running():
        make(cluster)
        await play(cluster)
        set_image(cluster, "db:broken")
        await let_go(cluster)
        await let_go(cluster)
        assert images(cluster) == {"db-0": "db:1", "db-1": "db:1", "db-2": "db:broken"}


async def test_on_delete_replaces_only_what_is_deleted(cluster: ControlPlane) -> None:
    async with cluster.running():
        make(cluster, updateStrategy={"type": "OnDelete"})
        await play(cluster)
        set_image(cluster, "db:2")
        await play(cluster)
        assert set(images(cluster).values()) == {"db:1"}
        fail(cluster, "db-1")
        await play(cluster)
        assert images(cluster) == {"db-0": "db:1", "db-1": "db:2", "db-2": "db:1"}


async def test_a_revision_gives_the_template_back_and_becomes_the_newest(cluster: ControlPlane) -> None:
    async with cluster.running():
        make(cluster, 1)
        await play(cluster)
        first = status(cluster)["currentRevision"]
        set_image(cluster, "db:2")
        await play(cluster)
        revision = cluster.registry.read(CONTROLLER_REVISIONS, NAMESPACE, first)
        old = cluster.registry.read(STATEFUL_SETS, NAMESPACE, "db")
        undone = strategic.apply(cluster.registry.schemas, STATEFUL_SETS.schema, old, revision["data"])
        cluster.registry.update(STATEFUL_SETS, old, undone, TESTER)
        await play(cluster)
        assert images(cluster) == {"db-0": "db:1"}
        assert status(cluster)["currentRevision"] == first
        assert sorted(revisions(cluster).values()) == [2, 3]
        assert revisions(cluster)[first] == 3


async def test_old_revisions_go_beyond_the_limit(cluster: ControlPlane) -> None:
    async with cluster.running():
        make(cluster, 1, revisionHistoryLimit=1)
        for number in range(4):
            set_image(cluster, f"db:{number}")
            await play(cluster)
        assert sorted(revisions(cluster).values()) == [3, 4]


CLAIM = {
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


def claims(plane: ControlPlane) -> list[str]:
    return [name_of(item) for item in plane.store.items(VOLUME_CLAIMS.key, NAMESPACE)]


async def test_each_pod_has_its_claims_which_stay_when_it_goes(cluster: ControlPlane) -> None:
    async with cluster.running():
        make(cluster, 2, volumeClaimTemplates=[CLAIM])
        await play(cluster)
        assert claims(cluster) == ["data-db-0", "data-db-1"]
        volumes = pods(cluster)[1]["spec"]["volumes"]
        assert volumes[0] == {"name": "data", "persistentVolumeClaim": {"claimName": "data-db-1"}}
        change(cluster, replicas=0)
        for _ in range(3):
            await let_go(cluster)
        assert names(cluster) == []
        assert claims(cluster) == ["data-db-0", "data-db-1"]


async def test_claims_go_as_the_retention_policy_says(cluster: ControlPlane) -> None:
    policy = {"whenScaled": "Delete", "whenDeleted": "Delete"}
    async with cluster.running():
        make(cluster, 2, volumeClaimTemplates=[CLAIM], persistentVolumeClaimRetentionPolicy=policy)
        await play(cluster)
        change(cluster, replicas=1)
        await let_go(cluster)
        await cluster.settle()
        assert claims(cluster) == ["data-db-0"], "the claim of the pod that was scaled away went with it"
        found = cluster.registry.read(STATEFUL_SETS, NAMESPACE, "db")
        cluster.registry.delete(STATEFUL_SETS, found, DeleteOptions(), TESTER)
        await let_go(cluster)
        await let_go(cluster)
        assert names(cluster) == []
        assert claims(cluster) == []


async def test_the_next_pod_waits_for_min_ready_seconds(cluster: ControlPlane, clock: VirtualClock) -> None:
    async with cluster.running():
        make(cluster, 2, minReadySeconds=30)
        await cluster.settle()
        assert await step(cluster) == "db-0"
        assert names(cluster) == ["db-0"]
        await clock.advance(31.0)
        await cluster.settle()
        assert names(cluster) == ["db-0", "db-1"]
