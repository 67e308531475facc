"""Claims and volumes, their protection, and what quotas count, on a plane without processes."""

from typing import Any, Final

import pytest

from midwatch_lab.admission.storage import CLAIM_PROTECTION
from midwatch_lab.controllers.volumes import STANDARD
from midwatch_lab.errors import ApiError
from midwatch_lab.kinds.resources import (
    CONFIGMAPS,
    EVENTS,
    PODS,
    RESOURCE_QUOTAS,
    STORAGE_CLASSES,
    VOLUME_CLAIMS,
    VOLUMES,
)
from midwatch_lab.objects import Object, copied, dig, is_terminating, meta, name_of
from midwatch_lab.plane import ControlPlane
from midwatch_lab.registry.upkeep import DeleteOptions
from midwatch_lab.store.audit import Origin

pytestmark = pytest.mark.anyio
TESTER: Final = Origin("tester", "create", "/test", manager="tester")


def claim(name: str = "data", size: str = "1Gi", **spec: Any) -> Object:
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, **spec}
    return {"metadata": {"name": name}, "spec": wanted}


def volume(name: str, size: str, **spec: Any) -> Object:
    given = {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/d"}, **spec}
    return {"metadata": {"name": name}, "spec": given}


def pod(name: str, claim_name: str = "", **container: Any) -> Object:
    mounted = [{"name": "v", "persistentVolumeClaim": {"claimName": claim_name}}] if claim_name else []
    return {
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": "x:1", **container}], "volumes": mounted},
    }


def found_claim(plane: ControlPlane, name: str = "data") -> Object:
    return plane.registry.read(VOLUME_CLAIMS, "llm", name)


def reasons(plane: ControlPlane) -> set[str]:
    return {str(event["reason"]) for event in plane.store.items(EVENTS.key)}


def counted(plane: ControlPlane) -> Any:
    return plane.registry.read(RESOURCE_QUOTAS, "llm", "q").get("status")


async def test_a_claim_is_bound_to_the_smallest_volume_that_fits(plane: ControlPlane) -> None:
    async with plane.running():
        for name, size in (("large", "9Gi"), ("small", "2Gi"), ("tiny", "500Mi")):
            plane.registry.create(VOLUMES, "", volume(name, size), TESTER)
        await plane.settle()
        assert dig(plane.registry.read(VOLUMES, "", "tiny"), "status", "phase") == "Available"
        plane.registry.create(VOLUME_CLAIMS, "llm", claim(storageClassName=""), TESTER)
        await plane.settle()
    bound = found_claim(plane)
    assert bound["spec"]["volumeName"] == "small"
    assert bound["status"] == {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "2Gi"}}
    taken = plane.registry.read(VOLUMES, "", "small")
    assert dig(taken, "status", "phase") == "Bound"
    assert dig(taken, "spec", "claimRef", "uid") == meta(bound)["uid"]


async def test_a_claim_that_nothing_fits_waits_and_says_why(plane: ControlPlane) -> None:
    async with plane.running():
        plane.registry.create(VOLUME_CLAIMS, "llm", claim(storageClassName=""), TESTER)
        plane.registry.create(VOLUME_CLAIMS, "llm", claim("odd", storageClassName="none"), TESTER)
        await plane.settle()
        assert {dig(found_claim(plane, name), "status", "phase") for name in ("data", "odd")} == {"Pending"}
        assert {"FailedBinding", "ProvisioningFailed"} <= reasons(plane)
        plane.registry.create(VOLUMES, "", volume("late", "1Gi"), TESTER)
        await plane.settle()
    assert found_claim(plane)["spec"]["volumeName"] == "late"


async def test_a_volume_is_made_once_a_pod_that_wants_it_is_on_a_node(with_node: ControlPlane) -> None:
    plane = with_node
    plane.registry.create(STORAGE_CLASSES, "", STANDARD, TESTER)
    async with plane.running():
        plane.registry.create(VOLUME_CLAIMS, "llm", claim(), TESTER)
        await plane.settle()
        waiting = found_claim(plane)
        assert (waiting["spec"]["storageClassName"], waiting["status"]["phase"]) == ("standard", "Pending")
        assert "WaitForFirstConsumer" in reasons(plane)
        plane.registry.create(PODS, "llm", pod("p", "data"), TESTER)
        await plane.settle()
        bound = found_claim(plane)
        made = plane.registry.read(VOLUMES, "", bound["spec"]["volumeName"])
        assert (dig(bound, "status", "phase"), dig(made, "status", "phase")) == ("Bound", "Bound")
        assert dig(made, "spec", "persistentVolumeReclaimPolicy") == "Delete"
        larger = copied(bound)
        larger["spec"]["resources"]["requests"]["storage"] = "3Gi"
        plane.registry.update(VOLUME_CLAIMS, bound, larger, TESTER)
        await plane.settle()
    assert dig(found_claim(plane), "status", "capacity", "storage") == "3Gi"


async def test_a_claim_in_use_stays_until_its_pod_is_gone_and_takes_its_volume_along(with_node: ControlPlane) -> None:
    plane = with_node
    plane.registry.create(STORAGE_CLASSES, "", STANDARD, TESTER)
    async with plane.running():
        plane.registry.create(VOLUME_CLAIMS, "llm", claim(), TESTER)
        plane.registry.create(PODS, "llm", pod("p", "data"), TESTER)
        await plane.settle()
        name = found_claim(plane)["spec"]["volumeName"]
        _, gone = plane.registry.delete(VOLUME_CLAIMS, found_claim(plane), DeleteOptions(), TESTER)
        assert not gone
        await plane.settle()
        assert meta(found_claim(plane))["finalizers"] == [CLAIM_PROTECTION]
        plane.registry.delete(PODS, plane.registry.read(PODS, "llm", "p"), DeleteOptions(grace=0), TESTER)
        await plane.settle()
    assert plane.registry.find(VOLUME_CLAIMS, "llm", "data") is None
    assert plane.registry.find(VOLUMES, "", name) is None


async def test_a_retained_volume_is_released_and_given_to_nobody_else(plane: ControlPlane) -> None:
    async with plane.running():
        plane.registry.create(VOLUMES, "", volume("v", "1Gi"), TESTER)
        plane.registry.create(VOLUME_CLAIMS, "llm", claim(storageClassName=""), TESTER)
        await plane.settle()
        held = plane.registry.read(VOLUMES, "", "v")
        plane.registry.delete(VOLUMES, held, DeleteOptions(), TESTER)
        await plane.settle()
        assert is_terminating(plane.registry.read(VOLUMES, "", "v")), "it waits for its claim"
        plane.registry.delete(VOLUME_CLAIMS, found_claim(plane), DeleteOptions(), TESTER)
        plane.registry.create(VOLUMES, "", volume("w", "1Gi", claimRef={"namespace": "llm", "name": "kept"}), TESTER)
        await plane.settle()
        assert plane.registry.find(VOLUMES, "", "v") is None
        plane.registry.create(VOLUME_CLAIMS, "llm", claim("other", storageClassName=""), TESTER)
        plane.registry.create(VOLUME_CLAIMS, "llm", claim("kept", storageClassName=""), TESTER)
        await plane.settle()
        assert dig(found_claim(plane, "other"), "status", "phase") == "Pending"
        assert found_claim(plane, "kept")["spec"]["volumeName"] == "w"
        plane.registry.delete(VOLUME_CLAIMS, found_claim(plane, "kept"), DeleteOptions(), TESTER)
        await plane.settle()
    assert dig(plane.registry.read(VOLUMES, "", "w"), "status", "phase") == "Released"
    assert dig(found_claim(plane, "other"), "status", "phase") == "Pending"


async def test_a_claim_whose_volume_is_gone_is_lost(plane: ControlPlane) -> None:
    async with plane.running():
        plane.registry.create(VOLUMES, "", volume("v", "1Gi"), TESTER)
        plane.registry.create(VOLUME_CLAIMS, "llm", claim(storageClassName=""), TESTER)
        await plane.settle()
        plane.registry.remove(VOLUMES, plane.registry.read(VOLUMES, "", "v"), TESTER)
        plane.registry.modify(
            VOLUME_CLAIMS, "llm", "data", lambda obj: obj["metadata"].update(labels={"a": "b"}), TESTER
        )
        await plane.settle()
    assert dig(found_claim(plane), "status", "phase") == "Lost"
    assert "ClaimLost" in reasons(plane)


async def test_a_quota_is_counted_and_what_goes_is_given_back(with_node: ControlPlane) -> None:
    plane = with_node
    hard = {"pods": "2", "requests.cpu": "1", "configmaps": "5", "count/nothing": "1"}
    async with plane.running():
        plane.registry.create(CONFIGMAPS, "llm", {"metadata": {"name": "before"}}, TESTER)
        plane.registry.create(RESOURCE_QUOTAS, "llm", {"metadata": {"name": "q"}, "spec": {"hard": hard}}, TESTER)
        await plane.settle()
        assert counted(plane) == {"hard": hard, "used": {"pods": "0", "requests.cpu": "0", "configmaps": "1"}}
        for name in "ab":
            plane.registry.create(PODS, "llm", pod(name, resources={"requests": {"cpu": "400m"}}), TESTER)
        assert counted(plane)["used"] == {"pods": "2", "requests.cpu": "800m", "configmaps": "1"}
        with pytest.raises(ApiError, match="exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2"):
            plane.registry.create(PODS, "llm", pod("c", resources={"requests": {"cpu": "1m"}}), TESTER)
        await plane.settle()
        done = Origin("system:node:n1", "update", "/test", subresource="status")
        plane.registry.modify(PODS, "llm", "a", lambda obj: obj["status"].update(phase="Succeeded"), done)
        await plane.settle()
        assert counted(plane)["used"] == {"pods": "1", "requests.cpu": "400m", "configmaps": "1"}
        for found in plane.store.items(PODS.key, "llm"):
            plane.registry.delete(PODS, found, DeleteOptions(grace=0), TESTER)
        await plane.settle()
    assert counted(plane)["used"] == {"pods": "0", "requests.cpu": "0", "configmaps": "1"}


async def test_a_quota_that_grows_lets_more_in_and_a_refused_write_is_not_counted(plane: ControlPlane) -> None:
    async with plane.running():
        quota = {"metadata": {"name": "q"}, "spec": {"hard": {"configmaps": "1"}}}
        plane.registry.create(RESOURCE_QUOTAS, "llm", quota, TESTER)
        await plane.settle()
        plane.registry.create(CONFIGMAPS, "llm", {"metadata": {"name": "a"}}, TESTER)
        with pytest.raises(ApiError, match="exceeded quota"):
            plane.registry.create(CONFIGMAPS, "llm", {"metadata": {"name": "b"}}, TESTER)
        plane.registry.modify(
            RESOURCE_QUOTAS, "llm", "q", lambda obj: obj["spec"]["hard"].update(configmaps="2"), TESTER
        )
        await plane.settle()
        with pytest.raises(ApiError, match="already exists"):
            plane.registry.create(CONFIGMAPS, "llm", {"metadata": {"name": "a"}}, TESTER)
        assert counted(plane)["used"] == {"configmaps": "1"}
        plane.registry.create(CONFIGMAPS, "llm", {"metadata": {"name": "b"}}, TESTER)
    assert [name_of(obj) for obj in plane.store.items(CONFIGMAPS.key, "llm")] == ["a", "b"]
