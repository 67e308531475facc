"""A thousand pods on the original API server, a dozen of them sick in several ways."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx2

from midwatch_evals.beside_peer.serving_pod import SERVING_STATUS, serving_pod
from midwatch_lab import original
from midwatch_lab.bench.sides import NAMESPACE, Side, fill

PODS: Final = 1_000
_EACH: Final = 83
"""One pod in so many is sick."""


def _waiting(reason: str) -> dict[str, Any]:
    return {"phase": "Pending", "state": {"waiting": {"reason": reason}}}


_ENDED: Final = {"exitCode": 137, "reason": "OOMKilled"}
_ILLS: Final[tuple[dict[str, Any], ...]] = (
    _waiting("ImagePullBackOff"),
    _waiting("CreateContainerConfigError"),
    {"phase": "Running", "state": {"waiting": {"reason": "CrashLoopBackOff"}}},
    {"phase": "Running", "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}},
    {"phase": "Failed", "state": {"terminated": _ENDED}},
    {"phase": "Failed", "reason": "Evicted", "state": {"terminated": {"exitCode": 143, "reason": "Error"}}},
)
"""What a kubelet says of them; the fourth runs and is not ready."""
SICK: Final = tuple(f"chat-{number:05}" for number in range(7, PODS, _EACH))


@asynccontextmanager
async def thousand(folder: Path) -> AsyncGenerator[Path]:
    """Run the original with the pods in it, and give a kubeconfig.

    Raises:
        OriginalError: when the original is not there.
    """
    with original.running(original.binaries(), folder) as found:
        options: dict[str, Any] = {"verify": original.unverified(), "headers": original.headers_of("admin")}
        async with httpx2.AsyncClient(base_url=found.url, trust_env=False, timeout=60, **options) as http:
            await fill(Side("original", found.url, {}, found.pids, http), PODS, serving_pod, SERVING_STATUS)
            await asyncio.gather(*(_sicken(http, name, _ILLS[place % len(_ILLS)]) for place, name in enumerate(SICK)))
        yield found.kubeconfig(folder / "kubeconfig")


async def _sicken(http: httpx2.AsyncClient, name: str, ill: dict[str, Any]) -> None:
    container = {
        "name": "engine",
        "image": "vllm/vllm-openai:v0.11.0",
        "imageID": "",
        "ready": False,
        "restartCount": 3,
    }
    status = {
        **{key: value for key, value in ill.items() if key != "state"},
        "conditions": [{"type": "Ready", "status": "False"}],
        "containerStatuses": [{**container, "restartCount": 3, "state": ill["state"]}],
    }
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/status"
    media = {"Content-Type": "application/merge-patch+json"}
    (await http.patch(path, json={"status": status}, headers=media)).raise_for_status()
