"""The lab and the original as platforms of the crash matrix, each with its own audit."""

import asyncio
import json
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from crash_world import FLEET, USER, Json, Platform, write_kubeconfig
from midwatch_lab import original

_READY_S = 60.0
_PLURALS = {
    "deployments": "Deployment",
    "configmaps": "ConfigMap",
    "horizontalpodautoscalers": "HorizontalPodAutoscaler",
}


# The lab


@dataclass
class Lab(Platform):
    """A lab with its controllers and two real replicas, judged by `GET /lab/audit`."""

    _seen: int = 0

    async def _entries(self) -> list[Json]:
        answer = await self.admin.get("/lab/audit")
        return [entry for entry in answer.json() if entry["seq"] > self._seen]

    async def mark(self) -> None:
        self._seen = max((entry["seq"] for entry in await self._entries()), default=self._seen)

    async def taken(self, namespace: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for entry in await self._entries():
            kind, space, name = entry["object"].split("/")
            if entry["principal"] == USER and not entry["dry_run"] and space == namespace:
                found.setdefault(f"{kind}/{name}", []).append(entry["verb"])
        return found


@asynccontextmanager
async def lab(folder: Path) -> AsyncGenerator[Lab]:
    """Run a lab until the block ends."""
    words = [sys.executable, "-m", "midwatch_lab", "up", "--dir", str(folder), "--json", "--exit-with-stdin"]
    with (
        (folder / "stderr").open("wb") as errors,
        subprocess.Popen(  # noqa: ASYNC220 (it forks and does not wait)
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            line = await asyncio.to_thread(process.stdout.readline)
            assert line, (folder / "stderr").read_text("utf-8")
            facts: Json = json.loads(line)
            headers = {"Authorization": f"Bearer {facts['tokens']['admin']}"}
            async with httpx2.AsyncClient(base_url=facts["url"], headers=headers, trust_env=False) as admin:
                made = Lab(facts["url"], admin, Path(facts["midwatch_kubeconfig"]), facts["tokens"]["midwatch"])
                made.pods = await _fleet_of_the_lab(made)
                yield made
        finally:
            process.stdin.close()
            try:
                process.wait(30)
            finally:
                process.kill()


async def _fleet_of_the_lab(platform: Platform) -> tuple[str, str]:
    await platform.post("/api/v1/namespaces", {"metadata": {"name": FLEET}})
    container = {
        "name": "engine",
        "image": "midwatch/serving:0.1",
        "args": ["--served-model-name=finch", "--max-num-seqs=4", "--num-gpu-blocks-override=64"],
        "ports": [{"name": "http", "containerPort": 8000}],
        "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 1},
    }
    path = f"/api/v1/namespaces/{FLEET}/pods"
    for name in ("first", "second"):
        pod = {"metadata": {"name": name}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 1}}
        await platform.post(path, pod)
    async with asyncio.timeout(_READY_S):
        while True:
            pods: list[Json] = (await platform.admin.get(path)).json()["items"]
            ready = [
                pod["metadata"]["name"]
                for pod in pods
                for condition in cast("list[Json]", pod["status"].get("conditions") or [])
                if condition["type"] == "Ready" and condition["status"] == "True"
            ]
            if sorted(ready) == ["first", "second"]:
                return "first", "second"
            await asyncio.sleep(0.2)


# The original


class _Backend(BaseHTTPRequestHandler):
    """The configuration resource of one replica (CONTRACTS §8): a version, an ETag, a conditional PATCH."""

    values: dict[str, Any]
    version: int
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the base class calls it so)
        del format, args

    def do_GET(self) -> None:
        self._say(200, self.values, self.version)

    def do_PATCH(self) -> None:
        kind = type(self)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        dry_run = parse_qs(urlsplit(self.path).query).get("dry_run") == ["true"]
        if self.headers.get("If-Match") != f'"{kind.version}"':
            self._say(412, kind.values, kind.version)
            return
        values, version = kind.values | body["values"], kind.version + 1
        if not dry_run:
            kind.values, kind.version = values, version
        self._say(200, values, version)

    def _say(self, status: int, values: Json, version: int) -> None:
        content = json.dumps({"version": version, "values": values, "restart_required": []}).encode()
        self.send_response(status)
        self.send_header("ETag", f'"{version}"')
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def _backend(address: str) -> Generator[int]:
    handler = type("_Replica", (_Backend,), {"values": {"max_num_seqs": 4}, "version": 1})
    server = ThreadingHTTPServer((address, 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Original(Platform):
    """kube-apiserver without controllers, judged by its own audit log; its replicas are small HTTP servers."""

    log: Path = Path()
    _read: int = 0

    def _events(self) -> list[Json]:
        with self.log.open("rb") as stream:
            stream.seek(self._read)
            return [json.loads(line) for line in stream if line.endswith(b"\n")]

    async def mark(self) -> None:
        self._read = self.log.stat().st_size

    async def taken(self, namespace: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for event in self._events():
            reference: Json = event["objectRef"]
            if event["user"]["username"] != USER or reference.get("namespace") != namespace:
                continue
            if event["responseStatus"]["code"] >= 300 or _dry(event) or reference["resource"] not in _PLURALS:
                continue
            name = reference.get("name") or event["responseObject"]["metadata"]["name"]
            found.setdefault(f"{_PLURALS[reference['resource']]}/{name}", []).append(event["verb"])
        return found


def _dry(event: Json) -> bool:
    body: Json = event.get("requestObject") or {}
    return "dryRun=All" in event["requestURI"] or bool(body.get("dryRun"))


@asynccontextmanager
async def original_server(binaries: Path, folder: Path) -> AsyncGenerator[Original]:
    """Run the original until the block ends."""
    address = _own_address()
    users = {"admin": "system:masters", USER: "system:masters"}
    with (
        original.running(binaries, folder, users=users, audit=True) as running,
        _backend(address) as first,
        _backend(address) as second,
    ):
        file = folder / "midwatch.kubeconfig"
        write_kubeconfig(file, running.url, f"t-{USER}")
        client = httpx2.AsyncClient(
            base_url=running.url,
            headers=original.headers_of("admin"),
            verify=original.unverified(),
            trust_env=False,
            timeout=30,
        )
        async with client as admin:
            made = Original(
                running.url, admin, file, f"t-{USER}", ("first", "second"), (first, second), log=folder / "audit.log"
            )
            await made.post("/api/v1/namespaces", {"metadata": {"name": FLEET}})
            for name, port in (("first", first), ("second", second)):
                await _pod(made, name, address, port)
            yield made


async def _pod(platform: Platform, name: str, address: str, port: int) -> None:
    """Make a pod whose address is that of a server which runs here; no kubelet contradicts."""
    path = f"/api/v1/namespaces/{FLEET}/pods"
    container = {"name": "engine", "image": "i", "ports": [{"name": "http", "containerPort": port}]}
    await platform.post(path, {"metadata": {"name": name}, "spec": {"containers": [container]}})
    status = {"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}}
    merge = {"Content-Type": "application/merge-patch+json"}
    answer = await platform.admin.patch(f"{path}/{name}/status", json=status, headers=merge)
    assert answer.is_success, answer.text


def _own_address() -> str:
    """Return an address of this machine that is not loopback: kube-apiserver proxies to no other."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback, to which kube-apiserver proxies nothing")
        return str(probe.getsockname()[0])
