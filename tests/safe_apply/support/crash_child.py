"""The process that is killed: it carries a plan over real HTTP with a real journal, and dies at a step by SIGKILL.

Run as a program it is a zygote: each line on standard input is a job, which a fork of it carries out. A fork costs
milliseconds where a start costs a second, and shares no connection, journal or thread.
"""

import asyncio
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from midwatch_contracts.clock import WallClock
from midwatch_contracts.plan import TERMINAL_STATES, Change
from midwatch_mcp.kubernetes.client import KubeClient
from midwatch_mcp.kubernetes.connection import Bounds
from midwatch_mcp.metrics.client import PrometheusClient
from midwatch_mcp.safe_apply.envelope import Envelope
from midwatch_mcp.safe_apply.errors import RefusedChangeError
from midwatch_mcp.safe_apply.fuse import Fuse, FusedApi, FusedJournal
from midwatch_mcp.safe_apply.targets import KubeTargets, LiveReader

ANY_SERVER = Bounds(insecure_skip_tls_verify=True)
"""The original signs its certificate itself."""


class SigkillFuse(Fuse):
    """At its step the process is gone: no handler, no rollback, no flush."""

    def burn(self, step: str) -> None:
        self.steps.append(step)
        if self.at is not None and len(self.steps) >= self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def fused_envelope(state: Path, kube: KubeClient, fuse: Fuse) -> Envelope:
    """Return the envelope of a real cluster, each journal step and target call a step of the fuse."""
    journal = FusedJournal(state / "changes.sqlite")
    journal.fuse = fuse
    targets = KubeTargets(kube)
    return Envelope(
        state=state,
        api=FusedApi(targets, fuse),
        reader=LiveReader(targets, PrometheusClient(None)),
        clock=WallClock(),
        allow_write=True,
        poll_s=0.05,
        journal=journal,
    )


async def carried(envelope: Envelope, job: dict[str, Any]) -> Change:
    """Apply the plan, or recover what is under way, and follow the change to its end."""
    if job["do"] == "recover":
        await envelope.recover()
    ended = [record.change for record in envelope.changes() if record.change.state in TERMINAL_STATES]
    if ended:
        return ended[-1]
    try:
        change = await envelope.apply(job["plan"])
    except RefusedChangeError as refusal:
        if refusal.reason != "replayed":
            raise
        change = envelope.changes()[-1].change
    await envelope.join(job["plan"])
    return envelope.journal.record(change.change_id).change


async def work(job: dict[str, Any]) -> dict[str, Any]:
    fuse = SigkillFuse(job["at"])
    kube = KubeClient(Path(job["kubeconfig"]), bounds=ANY_SERVER)
    envelope = fused_envelope(Path(job["state"]), kube, fuse)
    change = await carried(envelope, job)
    log = envelope.audit.verify()
    await envelope.aclose()
    await kube.aclose()
    return {"state": change.state, "note": change.note, "steps": fuse.steps, "audited": log.entries}


def child(job: dict[str, Any]) -> None:
    try:
        result = asyncio.run(work(job))
    except Exception as error:  # noqa: BLE001 (the boundary of the process: the judge reads what went wrong)
        result = {"error": repr(error)}
    Path(job["out"]).write_text(json.dumps(result), "utf-8")


def _tell(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def zygote() -> None:
    """Carry the first job out here, which imports what is imported when it is first needed, and fork for the others."""
    child(json.loads(sys.stdin.readline()))
    _tell(0)
    for line in sys.stdin:
        assert threading.active_count() == 1, threading.enumerate()
        pid = os.fork()
        if pid == 0:
            child(json.loads(line))
            os._exit(0)
        _tell(pid)
        _, status = os.waitpid(pid, 0)
        _tell(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    zygote()
