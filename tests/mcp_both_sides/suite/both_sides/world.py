"""Making the world on one side, by the API alone, and waiting until its controllers have done their part."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import httpx2

from both_sides.manifests import CANARY, NAMESPACE, SAID, container, everything, widgets
from midwatch_lab.original import unverified

SideName = Literal["lab", "original"]
DEPLOYMENTS: Final = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
PODS: Final = f"/api/v1/namespaces/{NAMESPACE}/pods"
_PATIENCE_S: Final = 60.0
_MERGE: Final = "application/merge-patch+json"


@dataclass(frozen=True)
class Side:
    """One side with the world in it."""

    name: SideName
    kubeconfig: Path
    pods: dict[str, list[str]]
    """Names of the pods of each app."""


class Api:
    """What a test writes with: JSON over HTTP."""

    def __init__(self, url: str, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        self.http = httpx2.Client(base_url=url, headers=headers, verify=unverified(), trust_env=False, timeout=30)

    def __call__(self, method: str, path: str, body: Any = None, media: str = "application/json") -> dict[str, Any]:
        answer = self.http.request(method, path, json=body, headers={"Content-Type": media})
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        found: dict[str, Any] = answer.json()
        return found

    def until(self, what: str, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while not holds():
            assert time.monotonic() < deadline, f"{what} did not come true"
            time.sleep(0.1)


def furnish(api: Api) -> dict[str, list[str]]:
    """Make the world; return the names of each app's pods."""
    for path, body in everything():
        api("POST", path.format(NAMESPACE), body)
    _until_rolled_out(api, 2)
    changed = container(args=["--say", SAID[0]], env=[{"name": "API_TOKEN", "value": CANARY}])
    api("PATCH", f"{DEPLOYMENTS}/web", {"spec": {"template": {"spec": {"containers": [changed]}}}}, _MERGE)
    _until_rolled_out(api, 2)
    api("PATCH", f"{DEPLOYMENTS}/web", {"spec": {"replicas": 3}}, _MERGE)
    _until_rolled_out(api, 3)
    _break(api)
    for path, body in widgets():
        api("POST", path.format(NAMESPACE), body)
    api.until("the job's end", lambda: bool(_job(api).get("succeeded")))
    api.until("a warning of the scheduler", lambda: bool(_unschedulable(api)))
    api.until("the old pods' end", lambda: len(_pods(api, "web")) == 3)
    return {app: [pod["metadata"]["name"] for pod in _pods(api, app)] for app in ("web", "broken", "tidy")}


def _until_rolled_out(api: Api, replicas: int) -> None:
    def complete() -> bool:
        found = api("GET", f"{DEPLOYMENTS}/web")
        status = found.get("status", {})
        counts = [status.get(f"{name}Replicas") for name in ("updated", "ready", "available")]
        seen = status.get("observedGeneration") == found["metadata"]["generation"]
        return seen and counts == [replicas] * 3 and status.get("replicas") == replicas

    api.until(f"{replicas} replicas of web", complete)


def _break(api: Api) -> None:
    """Say of the pods that no scheduler takes what a kubelet says of an image that is not there."""
    api.until("the broken pods", lambda: len(_pods(api, "broken")) == 2)
    waiting = {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "shop/web:1"'}
    status = {
        "containerStatuses": [
            {
                "name": "main",
                "image": "shop/web:1",
                "imageID": "",
                "ready": False,
                "restartCount": 0,
                "state": {"waiting": waiting},
            }
        ]
    }
    for pod in _pods(api, "broken"):
        api("PATCH", f"{PODS}/{pod['metadata']['name']}/status", {"status": status}, _MERGE)


def _pods(api: Api, app: str) -> list[dict[str, Any]]:
    found = api("GET", f"{PODS}?labelSelector=app%3D{app}")
    return sorted(found["items"], key=lambda pod: pod["metadata"]["name"])


def _job(api: Api) -> dict[str, Any]:
    return api("GET", f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs/tidy").get("status", {})


def _unschedulable(api: Api) -> list[Any]:
    return api("GET", f"/api/v1/namespaces/{NAMESPACE}/events?fieldSelector=reason%3DFailedScheduling")["items"]
