"""One person who proposes, approves and applies over a real API, in one process."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from midwatch_contracts.clock import WallClock
from midwatch_contracts.plan import Change
from midwatch_mcp.kubernetes.client import KubeClient
from midwatch_mcp.metrics.client import PrometheusClient
from midwatch_mcp.safe_apply.approvals import put_approval, signed_approval
from midwatch_mcp.safe_apply.envelope import Envelope, Proposal
from midwatch_mcp.safe_apply.keys import key_folder, new_key, private_key
from midwatch_mcp.safe_apply.operations import OPERATIONS
from midwatch_mcp.safe_apply.targets import KubeTargets, LiveReader

Json = dict[str, Any]


@dataclass
class Applier:
    """An envelope over a client of its own state folder."""

    client: KubeClient
    state: Path

    def __post_init__(self) -> None:
        self.clock = WallClock()
        targets = KubeTargets(self.client)
        self.envelope = Envelope(
            state=self.state,
            api=targets,
            reader=LiveReader(targets, PrometheusClient(None)),
            clock=self.clock,
            allow_write=True,
            poll_s=0.1,
        )
        new_key(self.state, "alice")
        names = ", ".join(f'"{name}"' for name in OPERATIONS)
        (self.state / "policy.toml").write_text(f"operations = [{names}]\n")

    async def propose(self, operations: list[Json], expect: Json) -> Proposal:
        draft = {"title": "Try operations", "operations": operations, "expect": [expect]}
        return await self.envelope.propose(draft)

    async def begin(self, proposal: Proposal) -> Change:
        """Approve a plan, apply it, and return the change once its operations are applied."""
        approval = signed_approval(
            proposal.plan,
            proposal.preview_sha256,
            approver="alice",
            key=private_key(key_folder(self.state) / "alice.key"),
            method="terminal",
            now=self.clock.now(),
            expires_s=900.0,
        )
        put_approval(self.state, approval)
        return await self.envelope.apply(proposal.plan.id)

    async def carry(self, proposal: Proposal) -> Change:
        """Approve a plan, apply it, and return the change at its end."""
        change = await self.begin(proposal)
        await self.envelope.join(proposal.plan.id)
        return (await self.envelope.status(change.change_id))[0].change

    async def applied(self, operations: list[Json], expect: Json) -> Change:
        return await self.carry(await self.propose(operations, expect))
