"""A small world for the envelope: two Deployments, a pod, metrics that are good, one approver, one state folder."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from midwatch_contracts.clock import VirtualClock
from midwatch_contracts.plan import Approval, ChangeState
from midwatch_mcp.changes.server import serve
from midwatch_mcp.evidence import EvidenceStore
from midwatch_mcp.safe_apply.approvals import put_approval, signed_approval
from midwatch_mcp.safe_apply.envelope import Envelope, Proposal
from midwatch_mcp.safe_apply.fakes import FakeCluster, FakeMetrics
from midwatch_mcp.safe_apply.fuse import Fuse, FusedApi, FusedJournal
from midwatch_mcp.safe_apply.keys import key_folder, new_key, private_key
from midwatch_mcp.server import ToolServer
from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.vouching import Vouched

QUERY = 'histogram_quantile(0.95, sum by (le) (rate(ttft_bucket{service="chat"}[20s])))'


def deployment(
    name: str = "chat", *, namespace: str = "llm", args: list[str] | None = None, replicas: int = 3, **metadata: Any
) -> dict[str, Any]:
    """Return a Deployment with the containers `sidecar` and `engine`; `metadata` adds to its metadata."""
    args = ["--model=tiny", "--num-gpu-blocks-override=14", "--max-num-seqs", "4"] if args is None else args
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}, **metadata},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {
                    "containers": [
                        {"name": "sidecar", "image": "sidecar:1"},
                        {"name": "engine", "image": "engine:1", "args": args, "ports": [{"containerPort": 8000}]},
                    ]
                },
            },
        },
    }


def set_blocks(value: str = "256", name: str = "chat") -> dict[str, Any]:
    """Return the operation that sets one flag of the engine's container."""
    return set_flags({"--num-gpu-blocks-override": value}, name)


def set_flags(flags: Mapping[str, Any], name: str = "chat") -> dict[str, Any]:
    """Return the operation that sets flags of the engine's container."""
    target = {"kind": "Deployment", "namespace": "llm", "name": name}
    return {"op": "set_args", "target": target, "args": {"container": "engine", "args": dict(flags)}}


def scale(name: str = "router", replicas: int = 4) -> dict[str, Any]:
    """Return the operation that scales a Deployment."""
    target = {"kind": "Deployment", "namespace": "llm", "name": name}
    return {"op": "scale", "target": target, "args": {"replicas": replicas}}


def create_map(name: str = "limits", **data: str) -> dict[str, Any]:
    """Return the operation that creates a ConfigMap."""
    metadata = {"name": name, "namespace": "llm"}
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
    return {"op": "create", "target": {"kind": "ConfigMap", **metadata}, "args": {"manifest": manifest}}


EXPECT: dict[str, Any] = {"promql": QUERY, "holds": "value < 0.5", "within_s": 30, "hold_s": 5}


@dataclass(frozen=True)
class HeldRoom:
    """The room of a changes server over an envelope that somebody else opened."""

    envelope: Envelope
    vouched: Vouched | None = None


@dataclass
class World:
    """`open()` is a new process over the same state folder; the clock moves itself."""

    state: Path
    clock: VirtualClock = field(default_factory=lambda: VirtualClock(auto=True))
    cluster: FakeCluster = field(default_factory=FakeCluster)
    envelopes: list[Envelope] = field(default_factory=list[Envelope])
    names: tuple[str, ...] = ("alice",)
    """Approvers who get a key."""

    def __post_init__(self) -> None:
        """Fill it."""
        self.cluster.put(deployment())
        self.cluster.put(deployment("router"))
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "chat-1", "namespace": "llm"}, "spec": {}}
        self.cluster.put(pod)
        self.cluster.put_config("Pod/llm/chat-1", {"max_num_seqs": 4, "max_num_batched_tokens": 512})
        self.metrics = FakeMetrics(self.clock, self.cluster)
        self.metrics.constant(QUERY, 0.2)
        for name in self.names:
            new_key(self.state, name)
        self.envelope = self.open()

    def open(self, *, fuse: Fuse | None = None, allow_write: bool = True, lab: Path | None = None) -> Envelope:
        """Return an envelope as a new process would open it; with a fuse, one that dies at a step."""
        journal = None
        if fuse is not None:
            journal = FusedJournal(self.state / "changes.sqlite")
            journal.fuse = fuse
        envelope = Envelope(
            state=self.state,
            api=self.cluster if fuse is None else FusedApi(self.cluster, fuse),
            reader=self.metrics,
            clock=self.clock,
            allow_write=allow_write,
            lab=lab,
            journal=journal,
        )
        self.envelopes.append(envelope)
        return envelope

    def server(self, envelope: Envelope | None = None, *, vouched: Vouched | None = None) -> ToolServer:
        """Return a changes server over an envelope of this world."""
        room = HeldRoom(envelope or self.envelope, vouched)
        return serve(room, ServerSettings(state=self.state), EvidenceStore(self.state), allow_write=True)

    async def propose(self, *operations: Mapping[str, Any], **changed: Any) -> Proposal:
        """Propose a plan; `changed` replaces fields of the draft."""
        draft = {
            "title": "Give the KV cache its blocks back",
            "cause": None,
            "evidence": ["ev-0123456789abcdef"],
            "operations": list(operations) or [set_blocks()],
            "expect": [EXPECT],
        }
        return await self.envelope.propose(draft | changed)

    def approval(self, proposal: Proposal, *, name: str = "alice", **changed: Any) -> Approval:
        """Return an approval as `midwatch change approve` makes it, with fields changed after signing."""
        approval = signed_approval(
            proposal.plan,
            changed.pop("preview_sha256", proposal.preview_sha256),
            approver=name,
            key=private_key(key_folder(self.state) / f"{name}.key"),
            method="terminal",
            now=changed.pop("now", self.clock.now()),
            expires_s=changed.pop("expires_s", 900.0),
        )
        return approval.model_copy(update=changed)

    def approve(self, proposal: Proposal, **changed: Any) -> Approval:
        """Put such an approval where the server finds it."""
        approval = self.approval(proposal, **changed)
        put_approval(self.state, approval)
        return approval

    async def settle(self, change_id: str, envelope: Envelope | None = None) -> ChangeState:
        """Wait for the end of a change and return its state."""
        record, _ = await (envelope or self.envelope).status(change_id)
        while record.ended is None:
            record, _ = await (envelope or self.envelope).status(change_id, 600.0)
        return record.change.state

    def args(self, name: str = "chat") -> list[str]:
        """Return the engine's arguments as the cluster has them."""
        found = self.cluster.objects_by_entity[f"Deployment/llm/{name}"]
        return found["spec"]["template"]["spec"]["containers"][1]["args"]
