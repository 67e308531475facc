"""The envelope over a real cluster, as the changes server and the command line open it."""

import logging
from dataclasses import dataclass

from midwatch_contracts.clock import Clock, WallClock
from midwatch_mcp.kubernetes.client import KubeClient
from midwatch_mcp.metrics.client import PrometheusClient
from midwatch_mcp.safe_apply.envelope import Envelope
from midwatch_mcp.safe_apply.errors import AuditError
from midwatch_mcp.safe_apply.targets import KubeTargets, LiveReader
from midwatch_mcp.settings import ServerSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class OpenEnvelope:
    """An envelope with the connections that are its own."""

    envelope: Envelope
    kube: KubeClient
    metrics: PrometheusClient

    async def aclose(self) -> None:
        """Stop watching over changes and close the connections."""
        await self.envelope.aclose()
        await self.kube.aclose()
        await self.metrics.aclose()


def open_envelope(settings: ServerSettings, *, allow_write: bool, clock: Clock | None = None) -> OpenEnvelope:
    """Open the journal; the connections open at the first call."""
    kube = KubeClient(settings.kubeconfig, settings.context, bounds=settings.bounds)
    metrics = PrometheusClient.of(settings)
    targets = KubeTargets(kube)
    envelope = Envelope(
        state=settings.state,
        api=targets,
        reader=LiveReader(targets, metrics),
        clock=clock or WallClock(),
        policy=settings.policy,
        lab=settings.lab,
        allow_write=allow_write,
    )
    if allow_write:
        try:
            envelope.audit.tell()
        except AuditError as error:
            # Who only looks is not kept from it; whatever would write meets the same error and stops there.
            log.warning("%s", error)
    return OpenEnvelope(envelope, kube, metrics)
