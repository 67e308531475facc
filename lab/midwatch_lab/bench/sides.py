"""The two sides of a comparison: a lab as a process of its own and the original, filled alike, asked over TLS."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2
import yaml

from midwatch_lab import original
from midwatch_lab.bench.processes import resident_bytes
from midwatch_lab.kinds.resources import NAMESPACES, PODS
from midwatch_lab.objects import Object
from midwatch_lab.process import LabProcess

NAMESPACE: Final = "llm"
_WRITERS: Final = 4
_TIMEOUT_S: Final = 60.0
_SMALL_STATUS: Final[Object] = {
    "phase": "Running",
    "podIP": "10.0.0.1",
    "podIPs": [{"ip": "10.0.0.1"}],
    "startTime": "2026-01-01T00:00:00Z",
    "conditions": [{"type": "Ready", "status": "True"}],
    "containerStatuses": [
        {
            "name": "engine",
            "image": "midwatch/serving:0.1",
            "imageID": "",
            "ready": True,
            "restartCount": 0,
            "started": True,
            "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
        }
    ],
}


@dataclass(frozen=True)
class Side:
    """One server: where it answers, how one is let in, its processes, and a client."""

    name: str
    url: str
    headers: dict[str, str]
    pids: tuple[int, ...]
    http: httpx2.AsyncClient

    def resident_mb(self) -> float:
        """Return the memory that its processes hold, in MB (10^6 bytes)."""
        return sum(map(resident_bytes, self.pids)) / 1e6


@asynccontextmanager
async def both() -> AsyncGenerator[tuple[Side, Side]]:
    """Run a lab and the original until the block ends.

    Raises:
        OriginalError: when the original is not there.
    """
    programs = original.binaries()
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        (folder / "original").mkdir()
        with original.running(programs, folder / "original") as found:
            async with LabProcess(folder / "lab") as lab:
                document: Any = yaml.safe_load(lab.info.kubeconfig.read_text("utf-8"))
                secure = str(document["clusters"][0]["cluster"]["server"])
                token = {"Authorization": f"Bearer {lab.info.tokens['admin']}"}
                async with (
                    _side("lab", secure, token, (lab.info.pid,)) as ours,
                    _side("original", found.url, original.headers_of("admin"), found.pids) as theirs,
                ):
                    yield ours, theirs


@asynccontextmanager
async def _side(name: str, url: str, headers: dict[str, str], pids: tuple[int, ...]) -> AsyncGenerator[Side]:
    options: dict[str, Any] = {"verify": original.unverified(), "headers": headers, "timeout": _TIMEOUT_S}
    async with httpx2.AsyncClient(base_url=url, trust_env=False, **options) as http:
        yield Side(name, url, headers, pids, http)


def _small_pod(name: str, number: int) -> Object:
    container = {
        "name": "engine",
        "image": "midwatch/serving:0.1",
        "args": ["--served-model-name=chat", "--max-num-seqs=4"],
        "ports": [{"name": "http", "containerPort": 8000}],
        "resources": {"limits": {"cpu": "250m"}},
        "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}},
    }
    labels = {"app.kubernetes.io/name": "chat", "tier": f"t{number % 10}"}
    return {"metadata": {"name": name, "labels": labels}, "spec": {"schedulerName": "none", "containers": [container]}}


async def fill(
    side: Side, count: int, pod: Callable[[str, int], Object] = _small_pod, status: Object = _SMALL_STATUS
) -> None:
    """Make pods that no scheduler takes, and say of them that they run: `pod` makes one by its name and number."""
    await _send(side, "POST", NAMESPACES.path(""), {"metadata": {"name": NAMESPACE}})
    numbers = iter(range(count))

    async def write() -> None:
        for number in numbers:
            name = f"chat-{number:05}"
            await _send(side, "POST", PODS.path(NAMESPACE), pod(name, number))
            await _send(side, "PATCH", PODS.path(NAMESPACE, name, "status"), {"status": status})

    await asyncio.gather(*(write() for _ in range(_WRITERS)))


async def _send(side: Side, method: str, path: str, body: Object) -> None:
    media = "application/merge-patch+json" if method == "PATCH" else "application/json"
    response = await side.http.request(method, path, json=body, headers={"content-type": media})
    if response.is_error:
        raise RuntimeError(f"{side.name}: {method} {path}: {response.status_code} {response.text}")
