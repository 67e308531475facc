"""The changes server and the approve command against a real lab, judged by the lab's own audit and objects."""

import asyncio
import json
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client

from midwatch_contracts.command import Settings
from midwatch_contracts.plan import TERMINAL_STATES
from midwatch_mcp.kubernetes.client import KubeClient
from midwatch_mcp.servers import build
from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.testing.caller import ERAS, Era, answer_text
from safe_apply_lab import running_lab

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

NAMESPACE = "changes"
FAST, SLOW = "finch", "heron"
LIMIT_S = 90.0
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"

SETTLED = "object.status.observedGeneration >= object.metadata.generation && object.status.updatedReplicas == 1"

Json = dict[str, Any]


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Generator[Json]:
    with running_lab(tmp_path_factory.mktemp("lab")) as facts:
        yield facts


@dataclass
class Bench:
    """A lab, its administrator, and the state folder of one test."""

    facts: Json
    admin: KubeClient
    state: Path

    async def audit(self) -> list[Json]:
        """What Midwatch wrote, dry runs aside."""
        headers = {"Authorization": f"Bearer {self.facts['tokens']['admin']}"}
        async with httpx2.AsyncClient(base_url=self.facts["url"], headers=headers, trust_env=False) as http:
            found = (await http.get("/lab/audit")).json()
        return [entry for entry in found if entry["principal"] == "midwatch" and not entry["dry_run"]]

    async def deployment(self, name: str) -> Json:
        return await self.admin.get(f"{DEPLOYMENTS}/{name}")

    async def pod(self, name: str) -> Json:
        """Return one pod of a Deployment that is ready."""
        pods = await self.admin.list(f"/api/v1/namespaces/{NAMESPACE}/pods", {"labelSelector": f"app={name}"})
        return next(pod for pod in pods["items"] if not pod["metadata"].get("deletionTimestamp"))

    async def config(self, pod: str) -> Json:
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}:8000/proxy/admin/config"
        return (await self.admin.request("GET", path)).json()

    def settings(self) -> ServerSettings:
        return ServerSettings.from_settings(Settings(state=self.state, lab=Path(self.facts["dir"])))

    def approve(self, plan_id: str, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run `midwatch change approve` as a process of its own."""
        return subprocess.run(
            [
                *(sys.executable, "-m", "midwatch_agents", "--state", str(self.state)),
                f"--lab={self.facts['dir']}",
                *("change", "approve", plan_id, *words),
            ],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
            check=False,
        )


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not await holds():
        assert time.monotonic() < deadline, f"{holds} did not come true"
        await asyncio.sleep(0.2)


def manifest(name: str) -> Json:
    labels = {"app": name}
    container = {
        "name": "engine",
        "image": "midwatch/serving:0.1",
        "args": [f"--served-model-name={name}", "--max-num-seqs", "4", "--num-gpu-blocks-override=128"],
        "ports": [{"name": "http", "containerPort": 8000}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 1},
    }
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 2}}
    spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": pod}
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


@pytest.fixture(scope="module")
async def platform(lab: Json) -> AsyncGenerator[KubeClient]:
    admin = KubeClient(Path(lab["kubeconfig"]))
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    await admin.create("/api/v1/namespaces", space)
    for name in (FAST, SLOW):
        await admin.create(DEPLOYMENTS, manifest(name))
        ports = [{"name": "http", "port": 8000, "targetPort": "http"}]
        service = {
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"selector": {"app": name}, "ports": ports},
        }
        kind = {"apiVersion": "v1", "kind": "Service"}
        await admin.create(f"/api/v1/namespaces/{NAMESPACE}/services", kind | service)

    async def ready() -> bool:
        found = [await admin.get(f"{DEPLOYMENTS}/{name}") for name in (FAST, SLOW)]
        return all(one.get("status", {}).get("readyReplicas") == 1 for one in found)

    await until(ready)
    yield admin
    await admin.aclose()


@pytest.fixture
def bench(lab: Json, platform: KubeClient, tmp_path: Path) -> Bench:
    return Bench(lab, platform, tmp_path)


async def called(client: Client, tool: str, **arguments: Any) -> Json:
    answer = await client.call_tool(tool, arguments)
    assert not answer.is_error, answer_text(answer)
    assert answer.structured_content is not None
    return answer.structured_content["data"]


async def ended(client: Client, change_id: str) -> Json:
    while True:
        status = await called(client, "change_status", change_id=change_id, wait_s=30.0)
        if status["change"]["state"] in TERMINAL_STATES:
            return status


def target(name: str) -> Json:
    return {"kind": "Deployment", "namespace": NAMESPACE, "name": name}


def draft(pod: str, blocks: str, *, holds: str = "value >= 1", within_s: float = 60.0) -> Json:
    return {
        "title": "Change a rollout, a number and a configuration together",
        "cause": None,
        "evidence": [],
        "operations": [
            {
                "op": "serving.config",
                "target": {"serving": f"Pod/{NAMESPACE}/{pod}"},
                "args": {"values": {"max_num_seqs": 2}},
            },
            {
                "op": "set_args",
                "target": target(FAST),
                "args": {"container": "engine", "args": {"--num-gpu-blocks-override": blocks}},
            },
        ],
        "expect": [
            {"promql": f'sum(up{{service="{FAST}"}})', "holds": holds, "within_s": within_s, "hold_s": 2},
            {
                "object": f"Deployment/{NAMESPACE}/{FAST}",
                "cel": SETTLED,
                "within_s": 60,
                "hold_s": 0,
            },
        ],
    }


@pytest.mark.parametrize("era", ERAS)
async def test_two_targets_change_together_are_verified_and_are_led_back_by_a_new_plan(bench: Bench, era: Era) -> None:
    server = build(bench.settings(), allow_write=True, names=("changes",))["changes"]
    pod = (await bench.pod(SLOW))["metadata"]["name"]
    before = (await bench.deployment(FAST))["spec"]
    seen = len(await bench.audit())
    async with Client(server, mode=era, raise_exceptions=True) as client:
        proposed = await called(client, "change_propose", plan=draft(pod, "96"))
        plan_id = proposed["plan"]["id"]
        assert len(await bench.audit()) == seen, "a proposal wrote something"
        refused = await client.call_tool("change_apply", {"plan_id": plan_id})
        assert refused.is_error
        assert "no approval" in answer_text(refused)
        denied = bench.approve(plan_id)
        assert denied.returncode == 4, denied.stderr
        approved = bench.approve(plan_id, "--yes", "--json")
        assert approved.returncode == 0, approved.stderr
        assert json.loads(approved.stdout)["approved"] is True
        assert "--num-gpu-blocks-override=96" in approved.stderr
        change = (await called(client, "change_apply", plan_id=plan_id))["change"]
        status = await ended(client, change["change_id"])
        assert status["change"]["state"] == "verified", status["change"]["note"]
        assert status["observations"][-1]["state"] == "met"
        wrote = (await bench.audit())[seen:]
        assert [entry["object"] for entry in wrote] == [f"Pod/{NAMESPACE}/{pod}", f"Deployment/{NAMESPACE}/{FAST}"]
        assert (await bench.config(pod))["values"]["max_num_seqs"] == 2
        shown = proposed["preview"]["diffs"][1]["changes"]
        after = (await bench.deployment(FAST))["spec"]
        args = after["template"]["spec"]["containers"][0]["args"]
        assert shown == [["/spec/template/spec/containers/0/args/3", "--num-gpu-blocks-override=128", args[3]]]
        back = await called(client, "change_undo", change_id=change["change_id"])
        assert bench.approve(back["plan"]["id"], "--yes").returncode == 0
        change = (await called(client, "change_apply", plan_id=back["plan"]["id"]))["change"]
        status = await ended(client, change["change_id"])
        assert status["change"]["state"] == "verified", status["change"]["note"]
        again = await client.call_tool("change_apply", {"plan_id": plan_id})
        assert again.is_error, "an approval worked twice"
    assert (await bench.deployment(FAST))["spec"] == before
    assert (await bench.config(pod))["values"]["max_num_seqs"] == 4
    assert len(await bench.audit()) == seen + 4


async def test_an_expectation_that_is_not_met_leads_back_and_the_objects_prove_it(bench: Bench) -> None:
    server = build(bench.settings(), allow_write=True, names=("changes",))["changes"]
    pod = (await bench.pod(SLOW))["metadata"]["name"]
    before, values = (await bench.deployment(FAST))["spec"], (await bench.config(pod))["values"]
    async with Client(server, raise_exceptions=True) as client:
        proposed = await called(client, "change_propose", plan=draft(pod, "64", holds="value > 50", within_s=5))
        plan_id = proposed["plan"]["id"]
        assert bench.approve(plan_id, "--yes").returncode == 0
        change = (await called(client, "change_apply", plan_id=plan_id))["change"]
        status = await ended(client, change["change_id"])
    assert status["change"]["state"] == "undone", status["change"]["note"]
    assert "is not true of 1" in status["change"]["note"]
    assert "equal those from before" in status["change"]["note"]
    assert (await bench.deployment(FAST))["spec"] == before
    assert (await bench.config(pod))["values"] == values


CHILD = """
import asyncio, sys
from pathlib import Path
from midwatch_contracts.command import Settings
from midwatch_mcp.safe_apply.opening import open_envelope
from midwatch_mcp.settings import ServerSettings

async def main(state, lab, plan):
    settings = ServerSettings.from_settings(Settings(state=Path(state), lab=Path(lab)))
    opened = open_envelope(settings, allow_write=True)
    record = opened.envelope.journal.operation
    def stop(change_id, operation, state, **rest):
        record(change_id, operation, state, **rest)
        if (operation, state) == STOP:
            print("now", flush=True)
            sys.stdin.read()
    opened.envelope.journal.operation = stop
    await opened.envelope.apply(plan)

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.parametrize("step", [("op1", "applied"), ("op2", "applying"), ("op2", "applied")], ids="-".join)
async def test_after_sigkill_in_the_middle_the_change_is_finished_once(bench: Bench, step: tuple[str, str]) -> None:
    server = build(bench.settings(), allow_write=True, names=("changes",))["changes"]
    pod = (await bench.pod(SLOW))["metadata"]["name"]
    seen = len(await bench.audit())
    async with Client(server, raise_exceptions=True) as client:
        plan = draft(pod, str(100 + len(await bench.audit())))
        plan["operations"][0]["args"]["values"]["max_num_seqs"] = 1 + len(await bench.audit()) % 3
        current = (await bench.config(pod))["values"]["max_num_seqs"]
        if plan["operations"][0]["args"]["values"]["max_num_seqs"] == current:
            plan["operations"][0]["args"]["values"]["max_num_seqs"] = current + 4
        plan_id = (await called(client, "change_propose", plan=plan))["plan"]["id"]
        assert bench.approve(plan_id, "--yes").returncode == 0
        script = textwrap.dedent(CHILD).replace("STOP", repr(step))
        words = [sys.executable, "-c", script, str(bench.state), str(bench.facts["dir"]), plan_id]
        child = await asyncio.create_subprocess_exec(*words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            assert child.stdout is not None
            assert (await child.stdout.readline()) == b"now\n"
        finally:
            child.kill()
            await child.wait()
        change = (await called(client, "change_apply", plan_id=plan_id))["change"]
        status = await ended(client, change["change_id"])
    assert status["change"]["state"] == "verified", status["change"]["note"]
    wrote = (await bench.audit())[seen:]
    assert [entry["object"] for entry in wrote] == [f"Pod/{NAMESPACE}/{pod}", f"Deployment/{NAMESPACE}/{FAST}"]
