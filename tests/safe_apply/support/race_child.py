"""One applier as a process of its own: it proposes, approves and applies over HTTP, with its own journal connection.

Run as a program it reads a job a line and forks for each once all are there, so that twenty processes start at once and
do not each import for a second.
"""

import asyncio
import json
import os
import random
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kubernetes.aio as _client

from midwatch_contracts.clock import WallClock
from midwatch_mcp.kubernetes.client import KubeClient
from midwatch_mcp.kubernetes.connection import Bounds
from midwatch_mcp.metrics.client import PrometheusClient
from midwatch_mcp.safe_apply.approvals import put_approval, signed_approval
from midwatch_mcp.safe_apply.envelope import Envelope
from midwatch_mcp.safe_apply.errors import ConflictError, RefusedChangeError
from midwatch_mcp.safe_apply.fake_world import set_blocks
from midwatch_mcp.safe_apply.keys import key_folder, private_key
from midwatch_mcp.safe_apply.targets import KubeTargets, LiveReader
from race import NAMES

assert _client
APPLIER = "applier-"


@dataclass(frozen=True)
class Job:
    """Who applies what where."""

    number: int
    kubeconfig: str
    state: str
    out: str

    @property
    def who(self) -> str:
        """The user that the API server sees."""
        return f"{APPLIER}{self.number}"


async def applied(job: Job) -> tuple[str, str]:
    """Make one plan of two objects and follow it to its end; the API server sees a user of its own."""
    rng = random.Random(job.number)  # noqa: S311 (a seeded test)
    kube = KubeClient(Path(job.kubeconfig), timeout_s=60, bounds=Bounds(user=job.who, groups=("system:masters",)))
    targets = KubeTargets(kube)
    clock, state = WallClock(), Path(job.state)
    reader = LiveReader(targets, PrometheusClient(None))
    envelope = Envelope(state=state, api=targets, reader=reader, clock=clock, allow_write=True, poll_s=0.05)
    names = rng.sample(NAMES, 2)
    expect = {"object": f"Deployment/llm/{names[0]}", "cel": "object.metadata.name != ''", "within_s": 30, "hold_s": 0}
    draft: dict[str, Any] = {
        "title": job.who,
        "cause": None,
        "evidence": [],
        "operations": [set_blocks(str(100 + job.number), name) for name in names],
        "expect": [expect],
    }
    try:
        proposal = await envelope.propose(draft)
        key = private_key(key_folder(state) / "alice.key")
        approval = signed_approval(
            proposal.plan, proposal.preview_sha256, approver="alice", key=key, method="cli", now=clock.now()
        )
        put_approval(state, approval)
        change = await envelope.apply(proposal.plan.id)
        await envelope.join(proposal.plan.id)
        change = envelope.journal.record(change.change_id).change
    except RefusedChangeError as refusal:
        return f"refused: {refusal.reason}", str(refusal)
    except ConflictError as error:
        return "refused: conflict", str(error)
    finally:
        await envelope.aclose()
        await kube.aclose()
    return change.state, change.note


def run(job: Job) -> None:
    """Be one applier: its end, or what went wrong, is in the job's file."""
    try:
        told = asyncio.run(applied(job))
    except Exception as error:  # noqa: BLE001 (the boundary of the process: the judge reads what went wrong)
        told = "failed", repr(error)
    Path(job.out).write_text(json.dumps(told), "utf-8")


def start() -> None:
    jobs = [Job(**json.loads(line)) for line in sys.stdin]
    children: list[int] = []
    for job in jobs:
        pid = os.fork()
        if pid == 0:
            run(job)
            os._exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)


if __name__ == "__main__":
    start()
