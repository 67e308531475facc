"""`midwatch lab` as a process: it comes up in seconds, answers, and leaves nothing behind however it ends."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from midwatch_contracts.entity import Entity
from midwatch_lab.client import LabClient
from midwatch_lab.errors import ClientError
from midwatch_lab.files import LabInfo
from midwatch_lab.metrics.remote_write import HEADERS, write_request
from midwatch_lab.process import LabProcess
from midwatch_lab.topology import chat_topology

pytestmark = [pytest.mark.slow]

CHAT = Entity("Deployment", "llm", "chat")
UP = [sys.executable, "-m", "midwatch_lab", "up", "--json", "--dir"]
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts `lab up`; whatever is left at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def up(folder: Path, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*UP, str(folder), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "MIDWATCH_INCIDENT": str(folder)},
        )
        started.append(process)
        return process

    yield up
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def info_of(process: subprocess.Popen[str]) -> LabInfo:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        _, words = process.communicate(timeout=10)
        raise AssertionError(words)
    return LabInfo.of(json.loads(line))


def lab(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "midwatch_lab", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def left_behind(folder: Path) -> list[int]:
    """Living processes that carry the mark which the lab was started with."""
    needle = f"MIDWATCH_INCIDENT={folder}".encode()
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            marked = needle in (entry / "environ").read_bytes().split(b"\0")
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if marked and state != "Z":
            found.append(int(entry.name))
    return found


def until(condition: Callable[[], Any], seconds: float = 15.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (answer := condition()):
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)
    return answer


def deploy(info: LabInfo, replicas: int = 1) -> None:
    headers = {"Authorization": f"Bearer {info.tokens['admin']}"}
    paths = ("/api/v1/namespaces", "/apis/apps/v1/namespaces/llm/deployments", "/api/v1/namespaces/llm/services")
    with httpx2.Client(base_url=info.url, headers=headers) as http:
        for path, manifest in zip(paths, chat_topology(replicas=replicas), strict=True):
            assert http.post(path, json=manifest).status_code == 201

        def ready() -> bool:
            status = http.get(paths[1] + "/chat").json().get("status", {})
            return status.get("readyReplicas") == replicas

        until(ready, 30)


@pytest.mark.parametrize("how", ["stdin", "SIGTERM", "SIGINT", "SIGKILL", "down"])
def test_however_a_lab_ends_no_process_is_left(tmp_path: Path, start: Start, how: str) -> None:
    process = start(tmp_path, "--exit-with-stdin")
    info = info_of(process)
    deploy(info, replicas=2)
    assert len(left_behind(tmp_path)) == 3
    match how:
        case "stdin":
            assert process.stdin is not None
            process.stdin.close()
            process.stdin = None
        case "down":
            assert lab("down", "--dir", str(tmp_path)).returncode == 0
        case name:
            process.send_signal(getattr(signal, name))
    code = process.wait(timeout=20)
    assert code == {"SIGINT": 130, "SIGKILL": -9}.get(how, 0)
    until(lambda: not left_behind(tmp_path))
    if how != "SIGKILL":
        assert list(tmp_path.iterdir()) == [], "its files go with it"


def test_a_lab_is_up_within_two_seconds_of_its_own_work(tmp_path: Path, start: Start) -> None:
    process = start(tmp_path)
    info = info_of(process)
    ticks = os.sysconf("SC_CLK_TCK")
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    # CPU time, since the machine that runs the tests is shared: utime and stime are fields 14 and 15.
    assert (int(fields[11]) + int(fields[12])) / ticks < 2.0
    answer = httpx2.get(f"{info.url}/lab/healthz").json()
    assert answer == {"status": "ok", "pid": process.pid, "cluster": info.cluster}


def test_its_files_are_private_and_say_where_it_answers(tmp_path: Path, start: Start) -> None:
    folder = tmp_path / "lab"
    info = info_of(start(folder))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert set(modes) >= {"lab.json", "lab.key", "lab.pub", "kubeconfig", "midwatch.kubeconfig"}
    assert set(modes.values()) == {0o600}
    assert LabInfo.read(folder) == info
    assert info.prometheus == f"{info.url}/prometheus"
    private = load_pem_private_key((folder / "lab.key").read_bytes(), password=None)
    public = load_pem_public_key((folder / "lab.pub").read_bytes())
    assert private.public_key() == public
    assert set(info.tokens) == {"admin", "midwatch", "editor", "viewer", "nobody"}


def test_status_tells_a_running_lab_from_none(tmp_path: Path, start: Start) -> None:
    none = lab("status", "--dir", str(tmp_path))
    assert (none.returncode, none.stdout) == (2, "")
    assert f"no lab runs in {tmp_path}: start one with `midwatch lab up" in none.stderr
    process = start(tmp_path)
    info = info_of(process)
    found = lab("status", "--dir", str(tmp_path), "--json")
    assert json.loads(found.stdout)["url"] == info.url
    second = lab("up", "--dir", str(tmp_path))
    assert second.returncode == 2
    assert f"process {process.pid}" in second.stderr
    process.kill()
    process.wait()
    assert lab("status", "--dir", str(tmp_path)).returncode == 2, "a lab.json without its process is no lab"


def test_a_port_in_use_is_bad_input_with_the_mend(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = lab("up", "--dir", str(tmp_path), "--port", str(port))
    assert refused.returncode == 2
    assert f"port {port} on 127.0.0.1 cannot be had" in refused.stderr
    assert "--port 0" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_rules_that_cannot_be_loaded_are_bad_input(tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("groups: [{name: g, rules: [{alert: A, expr: 'rate('}]}]")
    refused = lab("up", "--dir", str(tmp_path / "lab"), "--rules", str(rules))
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr
    missing = lab("up", "--dir", str(tmp_path / "lab"), "--rules", str(tmp_path / "none.yaml"))
    assert (missing.returncode, "none.yaml cannot be read" in missing.stderr) == (2, True)


@pytest.mark.anyio
async def test_a_fault_is_a_rollout_by_the_operator_and_can_be_taken_back(tmp_path: Path) -> None:
    async with LabProcess(tmp_path) as process, LabClient(process.info) as client:
        for manifest in chat_topology(replicas=1):
            await client.create(manifest)
        before = await client.wait_for_rollout(CHAT)
        identity = await client.fault("serving.kv_cache_too_small", CHAT, {"blocks": 14})
        broken = await client.wait_for_rollout(CHAT)
        args = broken["spec"]["template"]["spec"]["containers"][0]["args"]
        assert "--num-gpu-blocks-override=14" in args
        assert len(args) == len(before["spec"]["template"]["spec"]["containers"][0]["args"])
        entries = [entry for entry in await client.audit() if entry["principal"] == "lab:operator"]
        assert [(entry["verb"], entry["object"]) for entry in entries] == [("patch", "Deployment/llm/chat")]
        await client.remove_fault(identity)
        mended = await client.wait_for_rollout(CHAT)
        assert mended["spec"] == before["spec"]
        scaled = await client.fault("serving.too_few_replicas", CHAT, {"replicas": 0})
        assert (await client.wait_for_rollout(CHAT))["spec"]["replicas"] == 0
        await client.remove_fault(scaled)
        assert (await client.wait_for_rollout(CHAT))["spec"]["replicas"] == 1
        everything = json.dumps([await client.objects(kind) for kind in ("Deployment", "ReplicaSet", "Pod", "Event")])
        assert identity not in everything
        assert "kv_cache_too_small" not in everything
        assert "lab:operator" not in everything
        with pytest.raises(ClientError, match="no fault that the lab can make"):
            await client.fault("serving.gremlins", CHAT)
        with pytest.raises(ClientError, match="whole number"):
            await client.fault("serving.kv_cache_too_small", CHAT, {"blocks": "few"})
        with pytest.raises(ClientError, match="is not there"):
            await client.fault("serving.kv_cache_too_small", Entity("Deployment", "llm", "nope"), {"blocks": 1})


@pytest.mark.anyio
async def test_the_labs_own_endpoints_answer_admin_only(tmp_path: Path) -> None:
    async with LabProcess(tmp_path) as process:
        for user in ("midwatch", "viewer"):
            async with LabClient(process.info, user=user) as client:
                with pytest.raises(ClientError, match="403"):
                    await client.audit()
        async with httpx2.AsyncClient(base_url=process.info.url) as http:
            assert (await http.get("/lab/audit")).status_code == 401
            assert (await http.get("/lab/healthz")).status_code == 200


@pytest.mark.anyio
async def test_load_on_a_service_is_answered_by_its_pods_and_seen_in_the_metrics(tmp_path: Path) -> None:
    async with LabProcess(tmp_path) as process, LabClient(process.info) as client:
        for manifest in chat_topology(replicas=2):
            await client.create(manifest)
        await client.wait_for_rollout(CHAT)
        spec = {"target": "Service/llm/chat", "rate": 4.0, "output_tokens": 4, "shape": "constant"}
        await client.set_load(spec)
        query = {"query": "sum(vllm:request_success_total)"}

        async def measured() -> float:
            answer = await client.http.get("/prometheus/api/v1/query", params=query)
            series = answer.json()["data"]["result"]
            return float(series[0]["value"][1]) if series else 0.0

        deadline = time.monotonic() + 20
        while await measured() < 8:
            assert time.monotonic() < deadline, await client.load()
        (row,) = await client.load()
        assert row["completed"] >= 8
        assert row["failed"] == 0
        with pytest.raises(ClientError, match="no field"):
            await client.set_load({"target": "Service/llm/chat", "nonsense": 1})


@pytest.mark.anyio
async def test_a_lab_scrapes_as_configured_takes_samples_and_writes_them(tmp_path: Path) -> None:
    config = tmp_path / "scrape.yml"
    config.write_text("scrape_configs: [{job_name: away, static_configs: [{targets: ['127.0.0.1:1']}]}]")
    arguments = ("--scrape-config", str(config), "--enable-remote-write-receiver")
    async with LabProcess(tmp_path / "lab", arguments=arguments) as lab, httpx2.AsyncClient() as http:
        body = write_request({(("__name__", "sent"),): [(round(time.time() * 1000), 4.0)]})
        assert (
            await http.post(f"{lab.info.prometheus}/api/v1/write", content=body, headers=HEADERS)
        ).status_code == 204
        command = [sys.executable, "-m", "midwatch_lab", "samples", "--dir", str(tmp_path / "lab"), "--match", "sent"]
        told = await anyio.run_process(command)
        assert told.stdout.decode().startswith("sent 4 ")
        written = await anyio.run_process([*command, "--json", "-o", str(tmp_path / "samples")])
        assert json.loads(written.stdout) == {"to": str(tmp_path / "samples"), "samples": 1}
        refused = await anyio.run_process([*command[:-1], "sent +"], check=False)
        assert refused.returncode == 2
        away = await _scraped(http, f"{lab.info.prometheus}/api/v1/targets?scrapePool=away")
        assert away["health"] == "down"
        assert "127.0.0.1" in away["lastError"]


async def _scraped(http: httpx2.AsyncClient, url: str) -> dict[str, Any]:
    """Return a pool's only target, once it was scraped."""
    deadline = time.monotonic() + 10
    while True:
        found = (await http.get(url)).json()["data"]["activeTargets"]
        if found and found[0]["health"] != "unknown":
            return found[0]
        assert time.monotonic() < deadline, found


def test_a_scrape_configuration_that_cannot_be_is_bad_input(tmp_path: Path) -> None:
    config = tmp_path / "scrape.yml"
    config.write_text("scrape_configs: [{job_name: a, tls_config: {}}]")
    command = [*UP, str(tmp_path / "lab"), "--scrape-config", str(config)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "field tls_config is not offered" in ended.stderr
