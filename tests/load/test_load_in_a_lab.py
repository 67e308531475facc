"""`midwatch lab load` on a running lab: real pods, one of them of the simulated executor."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from midwatch_contracts.entity import Entity
from midwatch_lab.client import LabClient
from midwatch_lab.process import LabProcess
from midwatch_lab.topology import chat_topology

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

TARGET = "Service/llm/chat"


def _command(folder: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "midwatch_lab", "load", words[0], "--dir", str(folder), "--json", *words[1:]]


async def _lab_load(folder: Path, *words: str) -> tuple[int, list[dict[str, Any]]]:
    done = await anyio.run_process(_command(folder, *words), check=False, stderr=subprocess.PIPE)
    assert done.stdout, done.stderr.decode()
    return done.returncode, json.loads(done.stdout)["loads"]


async def test_loads_run_on_real_and_simulated_pods_and_leave_nothing_behind(tmp_path: Path) -> None:
    async with LabProcess(tmp_path) as process, LabClient(process.info) as client:
        manifests = [*chat_topology(replicas=1), *chat_topology(name="simulated", replicas=1)[1:]]
        for manifest in manifests:
            if manifest["kind"] == "Deployment" and manifest["metadata"]["name"] == "simulated":
                arguments = manifest["spec"]["template"]["spec"]["containers"][0]["args"]
                arguments += ["--executor=simulated", "--cost-model=cpu-tiny"]
            await client.create(manifest)
        for name in ("chat", "simulated"):
            await client.wait_for_rollout(Entity("Deployment", "llm", name))
        fits = ("--set", "token_scale=0.05", "--set", "timeout_s=20", "--set", "context=400")
        for target in (TARGET, "Service/llm/simulated"):
            code, (row,) = await _lab_load(
                tmp_path, "start", "--target", target, "--preset", "chat", "--rate", "10", "--requests", "5", *fits
            )
            assert (code, row["state"], row["completed"]) == (0, "done", 5), row
        await _interrupted(tmp_path, client)
        code, rows = await _lab_load(tmp_path, "start", "--target", TARGET, "--rate", "5", "--detach")
        assert (code, rows[0]["state"]) == (0, "running")
        code, rows = await _lab_load(tmp_path, "stop")
        assert (code, len(rows)) == (0, 2)
        assert {(row["state"], row["in_flight"]) for row in await client.load()} == {("idle", 0)}


async def _interrupted(folder: Path, client: LabClient) -> None:
    words = _command(folder, "start", "--target", TARGET, "--rate", "10")
    async with await anyio.open_process(words) as process:
        with anyio.fail_after(30):
            while not any(row["sent"] and row["state"] == "running" for row in await client.load()):  # noqa: ASYNC110
                await anyio.sleep(0.05)  # another process: it can only be asked
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 130
    rows = {row["target"]: row for row in await client.load()}
    assert (rows[TARGET]["state"], rows[TARGET]["in_flight"]) == ("idle", 0)
