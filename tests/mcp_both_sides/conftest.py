"""The two sides, each started once: a lab of small processes, and the original control plane with simulated pods."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from both_sides.manifests import SAID
from both_sides.world import Api, Side, furnish
from kubectl_harness.servers import whole_lab
from midwatch_lab.original_plane import reconciled
from midwatch_mcp.servers import build_all
from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.testing.caller import Caller

ROOM = {"cpu": "32", "memory": "256Gi", "pods": "110"}


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", params=["lab", "original"])
def side(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Side]:
    folder = tmp_path_factory.mktemp(request.param)
    with ExitStack() as stack:
        if request.param == "lab":
            lab = stack.enter_context(whole_lab(folder))
            api, kubeconfig = Api(lab.url, lab.tokens["admin"]), lab.kubeconfig
        else:
            binaries: Path = request.getfixturevalue("original_binaries")
            plane = stack.enter_context(reconciled(binaries, folder))
            lines = [f"2026-01-02T03:04:05.00000000{n}Z stdout F {text}" for n, text in enumerate(SAID)]
            plane.pod_log.write_text("\n".join(lines) + "\n", "utf-8")
            api, kubeconfig = Api(plane.url, "t-admin"), plane.kubeconfig
            status = {"allocatable": ROOM, "capacity": ROOM}
            api("POST", "/api/v1/nodes", {"metadata": {"name": "node-1"}, "status": status})
        stack.callback(api.http.close)
        yield Side(request.param, kubeconfig, furnish(api))


@pytest.fixture(scope="session")
def tools(side: Side, tmp_path_factory: pytest.TempPathFactory) -> Caller:
    settings = ServerSettings(state=tmp_path_factory.mktemp("state"), kubeconfig=side.kubeconfig)
    return Caller(build_all(settings, allow_write=False, names=("kubernetes", "changes")))
