"""A small lab with one replica behind a Service, and `midwatch mcp all` over it as a process that serves HTTP."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from midwatch_mcp.kubernetes.client import KubeClient

NAMESPACE, NAME = "outside", "parrot"
TOKEN = "a-token-of-32-characters-or-more"
_LABELS = {"app": NAME}
_DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
_LIMIT_S = 60.0
_STEP_S = 0.1


@dataclass(frozen=True)
class Platform:
    """Where everything is."""

    lab: Path
    """The lab's folder."""
    kubeconfig: Path
    """Of Midwatch's own user."""
    prometheus: str
    state: Path
    """State folder of the server."""
    url: str
    """Of the server, with its path."""
    pod: str

    def midwatch(self, *words: str) -> list[str]:
        """Return a command line over this lab and state folder."""
        return [sys.executable, "-m", "midwatch_agents", "--state", str(self.state), "--lab", str(self.lab), *words]

    def approve(self, plan_id: str) -> None:
        """Approve a plan as a person does at a terminal."""
        words = self.midwatch("change", "approve", plan_id, "--yes")
        subprocess.run(words, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=_LIMIT_S)


@contextmanager
def platform(folder: Path) -> Generator[Platform]:
    """Start the lab and the server in `folder`; both end with the block."""
    lab = folder / "lab"
    up = [sys.executable, "-m", "midwatch_lab", "up", "--dir", str(lab), "--json", "--exit-with-stdin"]
    with _process(up, folder / "lab.log") as started:
        facts: dict[str, Any] = json.loads(_line(started.stdout, folder / "lab.log"))
        pod = asyncio.run(_furnish(Path(facts["kubeconfig"])))
        reached = Platform(
            lab, Path(facts["midwatch_kubeconfig"]), facts["prometheus"], folder / "state", url="", pod=pod
        )
        with _served(reached, folder) as url:
            yield replace(reached, url=url)


@contextmanager
def _served(reached: Platform, folder: Path) -> Generator[str]:
    tokens = folder / "tokens"
    tokens.write_text(f"ide {TOKEN}\n", "utf-8")
    tokens.chmod(0o600)
    log = folder / "server.log"
    words = reached.midwatch("mcp", "all", "--allow-write", "--http", "127.0.0.1:0", "--token-file", str(tokens))
    with _process(words, log):
        said = _until(lambda: log.read_text("utf-8").partition("\n")[0])
        yield said.removeprefix("serving MCP on ")


@contextmanager
def _process(words: list[str], log: Path) -> Generator["subprocess.Popen[str]"]:
    with (
        log.open("wb") as errors,
        subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        try:
            yield process
        finally:
            if process.stdin is not None:
                process.stdin.close()
            process.terminate()
            try:
                process.wait(30)
            finally:
                process.kill()


def _line(stream: Any, log: Path) -> str:
    line = stream.readline()
    if not line:
        raise RuntimeError(f"it did not start: {log.read_text('utf-8')}")
    return line


def _until(found: Callable[[], str]) -> str:
    deadline = time.monotonic() + _LIMIT_S
    while not (text := found()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{found} did not come true in {_LIMIT_S:g} s")
        time.sleep(_STEP_S)
    return text


async def _furnish(kubeconfig: Path) -> str:
    """Create the Deployment and its Service; return the pod's name once it is ready."""
    admin = KubeClient(kubeconfig)
    try:
        for path, manifest in _manifests():
            await admin.create(path, manifest)
        deadline = time.monotonic() + _LIMIT_S
        while (await admin.get(f"{_DEPLOYMENTS}/{NAME}")).get("status", {}).get("readyReplicas") != 1:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{NAME} was not ready in {_LIMIT_S:g} s")
            await asyncio.sleep(_STEP_S)
        pods = await admin.list(f"/api/v1/namespaces/{NAMESPACE}/pods", {"labelSelector": f"app={NAME}"})
        return pods["items"][0]["metadata"]["name"]
    finally:
        await admin.aclose()


def _manifests() -> list[tuple[str, dict[str, Any]]]:
    container = {
        "name": "engine",
        "image": "midwatch/serving:0.1",
        "args": [f"--served-model-name={NAME}", "--max-num-seqs", "4", "--num-gpu-blocks-override=128"],
        "ports": [{"name": "http", "containerPort": 8000}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 1},
    }
    pod = {"metadata": {"labels": _LABELS}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 2}}
    metadata = {"name": NAME, "namespace": NAMESPACE}
    deployment = {"replicas": 1, "selector": {"matchLabels": _LABELS}, "template": pod}
    ports = [{"name": "http", "port": 8000, "targetPort": "http"}]
    return [
        ("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}),
        (_DEPLOYMENTS, {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": deployment}),
        (
            f"/api/v1/namespaces/{NAMESPACE}/services",
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": metadata,
                "spec": {"selector": _LABELS, "ports": ports},
            },
        ),
    ]
