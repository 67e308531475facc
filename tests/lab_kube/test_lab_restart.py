"""A lab with a store is killed and started again: the same cluster goes on, and tells the truth about its pods."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import httpx2
import orjson
import pytest

from midwatch_contracts.entity import Entity
from midwatch_lab.client import LabClient
from midwatch_lab.objects import Object, dig, meta
from midwatch_lab.process import LabProcess
from midwatch_lab.topology import chat_topology

pytestmark = [pytest.mark.slow, pytest.mark.anyio]

CHAT = Entity("Deployment", "llm", "chat")
SERVICE = Entity("Service", "llm", "chat")
ONCE = Entity("Pod", "llm", "once")


async def until(condition: Callable[[], Awaitable[Any]], seconds: float = 30.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (answer := await condition()):
        assert time.monotonic() < deadline, "it did not come about in time"
        await anyio.sleep(0.05)
    return answer


def engine() -> Object:
    return dig(chat_topology()[1], "spec", "template", "spec", "containers", 0)


def lab(folder: Path) -> LabProcess:
    return LabProcess(folder / "lab", arguments=("--store", str(folder / "lab.db")))


def kill(process: LabProcess) -> None:
    os.kill(process.info.pid, signal.SIGKILL)


async def is_running(client: LabClient, entity: Entity) -> Object | None:
    found = await client.get(entity)
    return found if dig(found, "status", "containerStatuses", 0, "state", "running") is not None else None


async def test_a_killed_lab_goes_on_as_the_same_cluster(tmp_path: Path) -> None:
    async with lab(tmp_path) as process, LabClient(process.info) as client:
        for manifest in chat_topology(replicas=1):
            await client.create(manifest)
        once = {"containers": [engine()], "restartPolicy": "Never"}
        await client.create(
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "once", "namespace": "llm"}, "spec": once}
        )
        before = await client.wait_for_rollout(CHAT)
        await until(lambda: is_running(client, ONCE))
        (pod,) = await client.objects("Pod", "llm", labels="app.kubernetes.io/name=chat")
        service, cluster, audited = await client.get(SERVICE), process.info.cluster, await client.audit()
        version = meta(pod)["resourceVersion"]
        kill(process)
    async with lab(tmp_path) as process, LabClient(process.info) as client:
        assert process.info.cluster == cluster
        after = await client.wait_for_rollout(CHAT)
        assert (meta(after)["uid"], after["spec"]) == (meta(before)["uid"], before["spec"])
        assert await client.get(SERVICE) == service, "its network was free again"
        again = await until(lambda: is_running(client, Entity("Pod", "llm", meta(pod)["name"])))
        container = again["status"]["containerStatuses"][0]
        last = container["lastState"]["terminated"]
        assert (meta(again)["uid"], container["restartCount"]) == (meta(pod)["uid"], 1)
        assert (last["exitCode"], last["reason"]) == (255, "Unknown")
        assert last["containerID"] == pod["status"]["containerStatuses"][0]["containerID"] != container["containerID"]
        ended = await client.get(ONCE)
        assert dig(ended, "status", "phase") == "Failed", "its policy is never to start again"
        assert dig(ended, "status", "containerStatuses", 0, "state", "terminated", "reason") == "Unknown"
        answer = await client.http.get(f"{service_url(service)}/v1/models", timeout=10)
        assert answer.status_code == 200
        entries = await client.audit()
        assert entries[: len(audited)] == audited
        query = {"watch": "true", "resourceVersion": version, "timeoutSeconds": "1"}
        missed = await client.request("GET", "/api/v1/namespaces/llm/pods", params=query)
        events = [orjson.loads(line) for line in missed.text.splitlines()]
        versions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
        assert versions == sorted(versions)
        assert versions[0] > int(version)
        assert {event["type"] for event in events} == {"MODIFIED"}


def service_url(service: Object | None) -> str:
    return f"http://{dig(service, 'spec', 'clusterIP')}:8000"


async def test_what_was_being_deleted_is_gone_and_what_was_scaled_is_made(tmp_path: Path) -> None:
    async with lab(tmp_path) as process, LabClient(process.info) as client:
        for manifest in chat_topology(replicas=1):
            await client.create(manifest)
        await client.wait_for_rollout(CHAT)
        await client.create(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "once", "namespace": "llm"},
                "spec": {"containers": [engine()]},
            }
        )
        await until(lambda: is_running(client, ONCE))
        os.kill(process.info.pid, signal.SIGSTOP)
        kill(process)
    with sqlite3.connect(tmp_path / "lab.db") as db:
        # As if the end had come right after these two writes, before anyone could act on them.
        for name, change in (("once", _mark), ("chat", _scale)):
            rows = db.execute(
                "SELECT grp, plural, body FROM objects WHERE name = ? AND plural IN ('pods', 'deployments')", (name,)
            )
            for group, plural, body in rows.fetchall():
                changed = orjson.dumps(change(orjson.loads(body)))
                db.execute(
                    "UPDATE objects SET body = ? WHERE grp = ? AND plural = ? AND name = ?",
                    (changed, group, plural, name),
                )
    db.close()
    async with lab(tmp_path) as process, LabClient(process.info) as client:
        assert await client.get(ONCE) is None
        assert (await client.wait_for_rollout(CHAT))["status"]["readyReplicas"] == 2


def _mark(pod: Object) -> Object:
    return pod | {
        "metadata": pod["metadata"] | {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30}
    }


def _scale(deployment: Object) -> Object:
    metadata = deployment["metadata"] | {"generation": 9}
    return deployment | {"metadata": metadata, "spec": deployment["spec"] | {"replicas": 2}}


async def test_services_move_where_their_network_is_taken(tmp_path: Path) -> None:
    async with lab(tmp_path) as process, LabClient(process.info) as client:
        for manifest in chat_topology(replicas=1):
            await client.create(manifest)
        before = await client.get(SERVICE)
    (tmp_path / "copy.db").write_bytes((tmp_path / "lab.db").read_bytes())
    copied = LabProcess(tmp_path / "other", arguments=("--store", str(tmp_path / "copy.db")))
    async with lab(tmp_path) as process, LabClient(process.info) as first, copied, LabClient(copied.info) as second:
        assert await first.get(SERVICE) == before
        moved = await second.get(SERVICE)
        assert dig(moved, "spec", "clusterIP") != dig(before, "spec", "clusterIP")
        assert dig(moved, "spec", "clusterIPs") == [dig(moved, "spec", "clusterIP")]
        await second.wait_for_rollout(CHAT)

        async def answers() -> bool:
            try:
                return (await second.http.get(f"{service_url(moved)}/v1/models")).status_code == 200
            except httpx2.HTTPError:
                return False

        await until(answers)


def test_a_store_that_cannot_be_used_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "lab.db").write_text("something else that is no database at all\n" * 20)
    command = [
        sys.executable,
        "-m",
        "midwatch_lab",
        "up",
        "--dir",
        str(tmp_path / "lab"),
        "--store",
        str(tmp_path / "lab.db"),
    ]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == f"midwatch: {tmp_path / 'lab.db'} is no file of a lab: give another\n"
