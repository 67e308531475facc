"""Pods are real processes behind real addresses. The process is a small server of the tests' own."""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from midwatch_contracts.entity import Entity
from midwatch_lab.client import LabClient
from midwatch_lab.errors import ClientError
from midwatch_lab.kubelet.commands import ContainerContext
from midwatch_lab.lab import Lab, LabOptions
from midwatch_lab.objects import dig, is_terminating, name_of
from midwatch_lab.topology import chat_topology

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

CHAT = Entity("Deployment", "llm", "chat")
FAKE = str(Path(__file__).with_name("fake_pod.py"))


def play(context: ContainerContext) -> Sequence[str]:
    place = ["--host", context.ip, "--port", str(context.port), "--exit-with-stdin"]
    return [sys.executable, FAKE, *context.arguments, *place]


@asynccontextmanager
async def lab_in(folder: Path, *, backoff_s: float = 0.5) -> AsyncGenerator[LabClient]:
    lab = Lab(LabOptions(folder, process_command=play, backoff_start_s=backoff_s))
    info = await lab.start()
    try:
        async with LabClient(info) as client:
            yield client
    finally:
        await lab.stop()


async def until(condition: Callable[[], Awaitable[Any]], seconds: float = 15.0) -> Any:
    """Return the first true answer."""
    deadline = time.monotonic() + seconds
    while True:
        answer = await condition()
        if answer:
            return answer
        assert time.monotonic() < deadline, "it did not come about in time"
        await asyncio.sleep(0.05)


def topology(*args: str, replicas: int = 2, **container: Any) -> list[dict[str, Any]]:
    manifests = chat_topology("llm", "chat", replicas)
    found = manifests[1]["spec"]["template"]["spec"]["containers"][0]
    found |= {"args": list(args), **container}
    return manifests


async def create(client: LabClient, manifests: list[dict[str, Any]], *, wait: bool = True) -> None:
    for manifest in manifests:
        await client.create(manifest)
    if wait:
        await client.wait_for_rollout(CHAT, timeout_s=20)


async def pods(client: LabClient) -> list[dict[str, Any]]:
    return await client.objects("Pod", "llm")


async def service_url(client: LabClient) -> str:
    found = await client.get(Entity("Service", "llm", "chat"))
    return f"http://{dig(found, 'spec', 'clusterIP')}:8000"


def alive(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


async def pid_of(client: LabClient, pod: str) -> int:
    """The process of a pod, as its Started event tells it."""
    for event in await client.objects("Event", "llm"):
        if event["reason"] == "Started" and event["involvedObject"]["name"] == pod:
            return int(event["message"].rpartition(" ")[2].rstrip(")"))
    raise AssertionError(f"{pod} never started")


async def test_each_pod_is_a_process_at_its_own_address_and_the_service_takes_turns(tmp_path: Path) -> None:
    async with lab_in(tmp_path) as client:
        await create(client, topology(replicas=3))
        found = await pods(client)
        ips = {dig(pod, "status", "podIP") for pod in found}
        assert len(ips) == 3
        assert all(ip.startswith("127.") and ip != "127.0.0.1" for ip in ips)
        url = await service_url(client)
        async with httpx2.AsyncClient() as http:
            answers = [(await http.get(url + "/name", headers={"Connection": "close"})).text for _ in range(6)]
        assert {answer.split()[0] for answer in answers} == ips
        assert {answer.split()[2] for answer in answers} == {"0.25"}, "the CPU limit is in the environment"
        processes = [await pid_of(client, name_of(pod)) for pod in found]
        assert all(alive(pid) for pid in processes)
    await until(lambda: _gone(processes))


async def _gone(pids: list[int]) -> bool:
    return not any(alive(pid) for pid in pids)


async def test_a_rolling_update_refuses_no_request(tmp_path: Path) -> None:
    async with lab_in(tmp_path) as client:
        await create(client, topology(replicas=3))
        url = await service_url(client)
        faults: list[str] = []
        asked = 0
        done = asyncio.Event()

        async def ask() -> None:
            nonlocal asked
            async with httpx2.AsyncClient(timeout=5.0) as http:
                while not done.is_set():
                    try:
                        answer = await http.get(url + "/name", headers={"Connection": "close"})
                        if answer.status_code != 200:
                            faults.append(answer.text)
                    except httpx2.HTTPError as error:
                        faults.append(repr(error))
                    asked += 1
                    await asyncio.sleep(0.01)

        async with asyncio.TaskGroup() as group:
            group.create_task(ask())
            change = {"name": "engine", "args": ["--say=new"]}
            await client.patch(CHAT, {"spec": {"template": {"spec": {"containers": [change]}}}})
            await client.wait_for_rollout(CHAT, timeout_s=30)
            done.set()
        assert asked > 30
        assert faults == []
        assert {
            tuple(dig(p, "spec", "containers", 0, "args")) for p in await pods(client) if not is_terminating(p)
        } == {("--say=new",)}


async def test_a_service_without_ready_pods_refuses_connections(tmp_path: Path) -> None:
    file = tmp_path / "ready"
    async with lab_in(tmp_path / "lab") as client:
        await create(client, topology(f"--ready-file={file}"), wait=False)

        async def running() -> bool:
            found = await pods(client)
            return len(found) == 2 and all(dig(pod, "status", "phase") == "Running" for pod in found)

        await until(running)
        url = await service_url(client)
        async with httpx2.AsyncClient() as http:
            with pytest.raises(httpx2.ConnectError):
                await http.get(url + "/name")
            file.touch()
            await client.wait_for_rollout(CHAT, timeout_s=20)
            assert (await http.get(url + "/name", headers={"Connection": "close"})).status_code == 200
            file.unlink()

            async def unready() -> bool:
                found = await client.get(CHAT)
                return not dig(found, "status", "readyReplicas")

            await until(unready)
            with pytest.raises(httpx2.ConnectError):
                await http.get(url + "/name")


async def test_a_crashing_container_is_restarted_with_pauses_and_keeps_its_last_words(tmp_path: Path) -> None:
    async with lab_in(tmp_path, backoff_s=1.0) as client:
        await create(client, topology("--exit-at-once=3", "--say=last words", replicas=1), wait=False)

        async def backing_off() -> Any:
            statuses = [dig(pod, "status", "containerStatuses", 0, default={}) for pod in await pods(client)]
            waiting = [s for s in statuses if dig(s, "state", "waiting", "reason") == "CrashLoopBackOff"]
            return waiting and waiting[0]

        status = await until(backing_off)
        assert status["restartCount"] >= 1
        assert status["lastState"]["terminated"]["exitCode"] == 3
        assert status["lastState"]["terminated"]["reason"] == "Error"
        assert not status["ready"]
        (pod,) = await pods(client)
        path = f"/api/v1/namespaces/llm/pods/{name_of(pod)}/log"
        previous = await client.request("GET", path, params={"previous": "true"})
        assert previous.text == "last words\na word on stderr\n"
        reasons = {event["reason"] for event in await client.objects("Event", "llm")}
        assert {"BackOff", "Started", "Scheduled"} <= reasons


async def test_a_process_that_dies_is_started_again_and_counted(tmp_path: Path) -> None:
    async with lab_in(tmp_path) as client:
        await create(client, topology(replicas=1))
        (pod,) = await pods(client)
        address = dig(pod, "status", "podIP")
        async with httpx2.AsyncClient() as http:
            with contextlib.suppress(httpx2.HTTPError):
                await http.get(f"http://{address}:8000/exit?code=9")

        async def restarted() -> Any:
            (found,) = await pods(client)
            status = dig(found, "status", "containerStatuses", 0)
            return status if status["restartCount"] == 1 and status["ready"] else None

        status = await until(restarted)
        assert status["lastState"]["terminated"]["exitCode"] == 9


async def test_a_deleted_pod_gets_sigterm_and_after_its_grace_sigkill(tmp_path: Path) -> None:
    async with lab_in(tmp_path) as client:
        manifests = topology("--ignore-term", replicas=1)
        manifests[1]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 1
        await create(client, manifests)
        (pod,) = await pods(client)
        pid = await pid_of(client, name_of(pod))
        began = time.monotonic()
        await client.delete(Entity("Pod", "llm", name_of(pod)))
        held = await client.get(Entity("Pod", "llm", name_of(pod)))
        assert held is not None
        assert is_terminating(held)

        async def gone() -> bool:
            return await client.get(Entity("Pod", "llm", name_of(pod))) is None

        await until(gone)
        assert 0.9 < time.monotonic() - began < 5
        assert not alive(pid)


async def test_logs_are_tailed_since_and_followed(tmp_path: Path) -> None:
    async with lab_in(tmp_path) as client:
        await create(client, topology("--say=one", replicas=1))
        (pod,) = await pods(client)
        path = f"/api/v1/namespaces/llm/pods/{name_of(pod)}/log"
        assert (await client.request("GET", path)).text == "one\na word on stderr\n"
        assert (await client.request("GET", path, params={"tailLines": 1})).text == "a word on stderr\n"
        stamped = (await client.request("GET", path, params={"timestamps": "true", "tailLines": 1})).text
        assert stamped.startswith("20")
        assert stamped.endswith("Z a word on stderr\n")
        with pytest.raises(ClientError, match="container nope is not valid"):
            await client.request("GET", path, params={"container": "nope"})
        lines: list[str] = []
        async with client.http.stream("GET", path, params={"follow": "true"}) as response:
            async for line in response.aiter_lines():
                lines.append(line)
                if len(lines) == 2:
                    await client.delete(Entity("Pod", "llm", name_of(pod)))
        assert lines == ["one", "a word on stderr", "ending"]


async def test_the_proxy_streams_every_method_and_writes_are_in_the_audit(tmp_path: Path) -> None:
    async with lab_in(tmp_path) as client:
        await create(client, topology(replicas=1))
        (pod,) = await pods(client)
        home = f"/api/v1/namespaces/llm/pods/{name_of(pod)}"
        assert (await client.request("GET", f"{home}/proxy/a/b?c=d")).text.split()[1] == "/a/b?c=d"
        assert (await client.request("GET", f"{home}:8000/proxy/")).text.split()[1] == "/"
        before = (await client.audit())[-1]["seq"]
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            answer = await client.request(method, f"{home}:http/proxy/echo", content=b"body")
            assert answer.text == f"{method} /echo body None", "the caller's token stays with the lab"
        await client.request("POST", f"{home}/proxy/admin/config?dry_run=true")
        written = [entry for entry in await client.audit(before) if entry["principal"] == "admin"]
        assert [entry["verb"] for entry in written] == ["create", "update", "patch", "delete", "create"]
        assert [entry["dry_run"] for entry in written] == [False] * 4 + [True]
        assert {entry["object"] for entry in written} == {f"Pod/llm/{name_of(pod)}"}
        assert written[0]["path"] == f"{home}:http/proxy/echo"
        async with client.http.stream("GET", f"{home}/proxy/slow") as response:
            arrived = [time.monotonic() async for _ in response.aiter_bytes()]
        assert arrived[-1] - arrived[0] > 0.25, "chunks come as they are made"
        with pytest.raises(ClientError, match="503"):
            await client.request("GET", f"{home}:9999/proxy/")
        service = await client.request("GET", "/api/v1/namespaces/llm/services/chat:http/proxy/name")
        assert service.text.split()[0] == dig(pod, "status", "podIP")


async def test_an_environment_from_a_missing_config_map_holds_the_container_until_it_is_there(tmp_path: Path) -> None:
    reference = {"name": "WORD", "valueFrom": {"configMapKeyRef": {"name": "words", "key": "w"}}}
    async with lab_in(tmp_path) as client:
        await create(client, topology("--say=$(WORD)", replicas=1, env=[reference]), wait=False)

        async def held() -> Any:
            for pod in await pods(client):
                waiting = dig(pod, "status", "containerStatuses", 0, "state", "waiting", default={})
                if waiting.get("reason") == "CreateContainerConfigError":
                    return waiting
            return None

        waiting = await until(held)
        assert waiting["message"] == 'configmap "words" not found'


async def test_scraped_metrics_carry_the_labels_of_their_pod(tmp_path: Path) -> None:
    async with lab_in(tmp_path) as client:
        await create(client, topology(replicas=2))
        names = {name_of(pod) for pod in await pods(client)}

        async def scraped() -> Any:
            answer = await client.http.get("/prometheus/api/v1/query", params={"query": "fake_up"})
            series = answer.json()["data"]["result"]
            return series if len(series) == 2 else None

        series = await until(scraped)
        assert {item["metric"]["pod"] for item in series} == names
        expected = {"namespace": "llm", "container": "engine", "service": "chat", "endpoint": "http", "job": "chat"}
        assert all(expected.items() <= item["metric"].items() for item in series)
        query = "kube_deployment_spec_replicas{deployment='chat'}"
        state = (await client.http.get("/prometheus/api/v1/query", params={"query": query})).json()["data"]["result"]
        assert state[0]["value"][1] == "2"
