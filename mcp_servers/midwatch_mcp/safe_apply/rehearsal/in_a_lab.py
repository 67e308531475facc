"""The copy as a lab: a child process that is handed the export, and the clients of it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from midwatch_mcp.kubernetes.client import KubeClient
from midwatch_mcp.metrics.client import PrometheusClient
from midwatch_mcp.safe_apply.rehearsal.copying import World
from midwatch_mcp.safe_apply.rehearsal.lab_process import RehearsalLab
from midwatch_mcp.safe_apply.rehearsal.running import Copy, Stage
from midwatch_mcp.safe_apply.targets import KubeTargets, LiveReader
from midwatch_mcp.settings import ServerSettings

SERVING_IMAGES = ("midwatch/serving*",)
"""What a lab has itself: the reference backend. Every other image is played by a stand-in."""
_SPARE_NODE = "rehearsal"


def in_a_lab(serving: tuple[str, ...] = SERVING_IMAGES) -> Stage:
    """Return the stage that plays these images as the reference backend, and the others by stand-ins."""

    @asynccontextmanager
    async def stage(world: World, folder: Path) -> AsyncGenerator[Copy]:
        async with RehearsalLab(folder, world.manifests, _arguments(world, serving)) as lab:
            kube = KubeClient(lab.kubeconfig)
            metrics = PrometheusClient.of(ServerSettings(state=folder, prometheus=lab.prometheus))
            targets = KubeTargets(kube)
            try:
                yield Copy(targets, LiveReader(targets, metrics))
            finally:
                await kube.aclose()
                await metrics.aclose()

    return stage


def _arguments(world: World, serving: tuple[str, ...]) -> list[str]:
    nodes = [*dict.fromkeys(world.nodes), _SPARE_NODE] if world.nodes else []
    plays = [
        *(f"{image}=missing" for image in sorted(world.missing_images)),
        *(f"{image}=serving" for image in serving),
        "*=stand-in",
    ]
    return [
        word for flag, values in (("--node", nodes), ("--play", plays)) for value in values for word in (flag, value)
    ]
