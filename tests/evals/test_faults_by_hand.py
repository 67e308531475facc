"""Faults made by hand through the Kubernetes API, names drawn at random and no scenario loaded: the same causes."""

import asyncio
import json
import os
import random
import string
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from midwatch_contracts.entity import Entity
from midwatch_lab.client import LabClient
from midwatch_lab.process import LabProcess

pytestmark = [pytest.mark.slow, pytest.mark.anyio]

SETTLED_S = 14.0
BROKEN_S = 16.0
INPUTS = ("--input", "window=15s", "--input", "objective=800ms")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def _name() -> str:
    return "".join(random.choices(string.ascii_lowercase, k=7))  # noqa: S311 (a name, not a key)


def _manifests(namespace: str, name: str, flags: list[str]) -> list[dict[str, Any]]:
    labels = {"run": name}
    container = {
        "name": "model",
        "image": "some/engine:1",
        "args": ["--model", "tiny", "--max-num-seqs", "4", "--fine-buckets", *flags],
        "ports": [{"name": "api", "containerPort": 8080}],
        "resources": {"limits": {"cpu": "200m"}},
        "readinessProbe": {"httpGet": {"path": "/health", "port": 8080}, "periodSeconds": 1},
    }
    spec = {
        "replicas": 2,
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels},
            "spec": {"containers": [container], "terminationGracePeriodSeconds": 3},
        },
    }
    meta = {"name": name, "namespace": namespace}
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    return [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta | {"labels": labels}, "spec": spec},
        {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"selector": labels, "ports": ports}},
    ]


class World:
    """A lab with one service of random names under steady traffic."""

    def __init__(self, client: LabClient, folder: Path) -> None:
        self.client = client
        self.folder = folder
        self.namespace, self.name = _name(), _name()
        self.deployment = Entity("Deployment", self.namespace, self.name)

    async def start(self, flags: list[str], rate: float) -> None:
        for manifest in _manifests(self.namespace, self.name, flags):
            await self.client.create(manifest)
        await self.client.wait_for_rollout(self.deployment)
        await self.load(rate)
        await asyncio.sleep(SETTLED_S)

    async def load(self, rate: float) -> None:
        target = f"Service/{self.namespace}/{self.name}"
        tokens = {"prompt_tokens": 96, "output_tokens": 64, "timeout_s": 5.0}
        await self.client.set_load({"target": target, "rate": rate, "shape": "poisson", "seed": 3} | tokens)

    async def investigate(self, *extra: str) -> tuple[int, dict[str, Any]]:
        question = f"why is time to first token high on {self.name}?"
        command = [sys.executable, "-m", "midwatch_agents", "--state", str(self.folder / "state")]
        command += [f"--lab={self.folder / 'lab'}", "investigate", question, "--json", *INPUTS, *extra]
        done = await asyncio.to_thread(
            lambda: subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=os.environ)
        )
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    async def writes(self) -> list[dict[str, Any]]:
        return [e for e in await self.client.audit() if e["principal"] == "midwatch" and not e["dry_run"]]

    async def spec(self) -> Any:
        found = await self.client.get(self.deployment)
        assert found is not None
        return found["spec"]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with LabProcess(tmp_path / "lab") as lab, LabClient(lab.info) as client:
        yield World(client, tmp_path)


async def test_a_cache_shrunk_by_a_patch_is_found_and_a_refusal_changes_nothing(world: World) -> None:
    await world.start(["--num-gpu-blocks-override", "256"], rate=3.2)
    args = (await world.spec())["template"]["spec"]["containers"][0]["args"]
    shrunk = [*args[:-1], "14"]
    patch = {"spec": {"template": {"spec": {"containers": [{"name": "model", "args": shrunk}]}}}}
    await world.client.patch(world.deployment, patch)
    await world.client.wait_for_rollout(world.deployment)
    await asyncio.sleep(BROKEN_S)
    before = await world.spec()
    code, answer = await world.investigate("--deny")
    assert answer["cause"] == {"mechanism": "serving.kv_cache_too_small", "entity": str(world.deployment)}
    assert answer["confidence"] == "certain"
    assert code == 4
    assert await world.writes() == []
    assert await world.spec() == before


async def test_too_few_replicas_are_found_however_they_came_about(world: World) -> None:
    await world.start(["--num-gpu-blocks-override=256"], rate=2.0)
    await world.client.scale(world.deployment, 1)
    await world.load(5.0)
    await asyncio.sleep(BROKEN_S)
    code, answer = await world.investigate("--deny")
    assert answer["cause"] == {"mechanism": "serving.too_few_replicas", "entity": str(world.deployment)}
    assert code == 4
    assert await world.writes() == []


async def test_a_healthy_service_is_called_healthy(world: World) -> None:
    await world.start(["--num-gpu-blocks-override=256"], rate=1.5)
    code, answer = await world.investigate("--yes")
    assert (code, answer["outcome"], answer["cause"]) == (0, "healthy", None)
    assert await world.writes() == []


async def test_without_load_it_says_so_and_is_not_settled(world: World) -> None:
    await world.start(["--num-gpu-blocks-override=256"], rate=0)
    code, answer = await world.investigate("--yes")
    assert code == 3
    assert answer["cause"] is None
    assert "no load" in json.dumps(answer).lower() or "no request" in json.dumps(answer).lower()


async def test_a_service_that_nobody_scrapes_is_no_data_and_not_healthy(world: World) -> None:
    meta = {"name": world.name, "namespace": world.namespace}
    spec = {"selector": {"no": "pod"}, "ports": [{"port": 80}]}
    await world.client.create({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec})
    code, answer = await world.investigate("--yes")
    assert (code, answer["outcome"]) == (3, "no_data")
