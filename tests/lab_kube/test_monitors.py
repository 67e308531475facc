"""Monitors made through the API, of definitions that were brought along."""

from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from midwatch_lab.monitors import Monitors
from midwatch_lab.plane import ControlPlane

pytestmark = pytest.mark.anyio

SCHEMA = {"type": "object", "properties": {"spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}
DEFINITION: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "servicemonitors.monitoring.coreos.com"},
    "spec": {
        "group": "monitoring.coreos.com",
        "scope": "Namespaced",
        "names": {"plural": "servicemonitors", "kind": "ServiceMonitor"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": SCHEMA}}],
    },
}


async def test_a_monitor_is_a_job_as_soon_as_it_is_there(
    client_of: Callable[[str | None], httpx2.AsyncClient], plane: ControlPlane
) -> None:
    monitors, admin = Monitors(plane.store), client_of("admin")
    assert monitors.jobs() == []
    made = await admin.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", json=DEFINITION)
    assert made.status_code == 201, made.text
    path = "/apis/monitoring.coreos.com/v1/namespaces/llm/servicemonitors"
    monitor: dict[str, Any] = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": {"name": "chat"},
        "spec": {"selector": {}, "endpoints": [{"port": "http", "interval": "15s"}]},
    }
    assert (await admin.post(path, json=monitor)).status_code == 201
    first = monitors.jobs()
    assert [(job.name, job.interval_s) for job in first] == [("serviceMonitor/llm/chat/0", 15)]
    assert monitors.jobs()[0] is first[0], "what did not change is not read again"
    assert (await admin.delete(f"{path}/chat")).status_code == 200
    assert monitors.jobs() == []
