"""A scripted world behind real MCP for the tests of the supervisor: a service that is slow until it is mended."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from midwatch_agents.approver import ApprovalRequest, Decision
from midwatch_agents.events import RunEvent
from midwatch_agents.fakes import Answer, FakeChanges, ScriptedServer, opener_of
from midwatch_agents.supervisor.supervisor import Supervisor
from midwatch_contracts.clock import VirtualClock
from midwatch_contracts.command import Settings
from midwatch_contracts.plan import Approval
from midwatch_contracts.times import rfc3339
from midwatch_mcp.safe_apply.approvals import put_approval

GUIDES = Path(__file__).parent / "guides"


@dataclass
class Signer:
    """Approves by putting an approval into the state folder, as `midwatch change approve` does, or does otherwise."""

    state: Path
    clock: VirtualClock
    verdict: str = "approved"
    shows_preview: bool = False
    asked: list[ApprovalRequest] = field(default_factory=list[ApprovalRequest])

    async def decide(self, request: ApprovalRequest) -> Decision:
        self.asked.append(request)
        if self.verdict == "approved":
            self.sign(request.plan_id, request.preview_sha256)
        return Decision(self.verdict, "test")  # pyright: ignore[reportArgumentType] (a verdict by its name)

    def sign(self, plan_id: str, preview_sha256: str) -> None:
        now = self.clock.now()
        put_approval(
            self.state,
            Approval(
                plan_id=plan_id,
                preview_sha256=preview_sha256,
                approver="test",
                method="cli",
                attested="key",
                issued=rfc3339(now),
                expires=rfc3339(now + 900),
                nonce=secrets.token_hex(16),
                signature="scripted",
            ),
        )


@dataclass
class World:
    """One service `llm/chat`; its p95 is `slow` before the change was verified and `fast` after."""

    state: Path
    clock: VirtualClock = field(default_factory=lambda: VirtualClock(auto=True))
    slow: float | None = 6.0
    fast: float = 0.3
    kv: float = 1.0
    course: tuple[str, ...] = ("applied", "verifying", "verified")
    overrides: dict[str, Answer] = field(default_factory=dict[str, Answer])
    events: list[RunEvent] = field(default_factory=list[RunEvent])

    def __post_init__(self) -> None:
        self.changes = FakeChanges(self.state, self.clock, self.course)
        self.settings = Settings(state=self.state, guides=(GUIDES,))
        self.signer = Signer(self.state, self.clock)
        answers: dict[str, Answer] = {
            "kube_list": {
                "kind": "Service",
                "columns": ["Namespace", "Name"],
                "rows": [["llm", "chat"], ["llm", "embed"]],
                "total": 2,
                "states": {},
            },
            "kube_rollout": {
                "workload": "Deployment/llm/chat",
                "changed": [
                    {"container": "engine", "flag": "--num-gpu-blocks-override", "before": "256", "after": "14"}
                ],
            },
            "metrics_query": self._query,
            "metrics_range": self._range,
        }
        self.reads = ScriptedServer("reads", answers | self.overrides, self.state)
        self.writes = ScriptedServer("changes", self.changes.answers(), self.state)

    @property
    def _mended(self) -> bool:
        if not (self.state / "fake_changes.json").exists():
            return False
        books = self.changes.answers()["change_list"]
        assert callable(books)
        return any(change["state"] == "verified" for change in books({})["changes"])

    def _query(self, arguments: dict[str, Any]) -> Answer:
        value = self.kv if "kv_cache" in arguments["query"] else self.fast if self._mended else self.slow
        series: list[dict[str, Any]] = [] if value is None else [{"labels": {}, "value": value}]
        return {"query": arguments["query"], "at": self.clock.now(), "result_type": "vector", "series": series}

    def _range(self, arguments: dict[str, Any]) -> Answer:
        begun = arguments["start"]
        points: list[Any] = [[begun + 5 * n, self.slow if n < 9 else self.fast] for n in range(12)]
        series: list[Any] = [{"labels": {}, "first": 6, "last": 0.3, "min": 0.3, "max": 6, "mean": 3, "points": points}]
        return {"query": arguments["query"], "start": begun, "end": begun + 60, "step_s": 5, "series": series}

    def called(self, tool: str) -> int:
        """How often a tool was called."""
        return sum(call.tool == tool for call in [*self.reads.calls, *self.writes.calls])

    def supervisor(self, **options: Any) -> Supervisor:
        return Supervisor(
            self.settings,
            self.clock,
            options.pop("approver", self.signer),
            on_event=options.pop("on_event", self.events.append),
            opener=opener_of([self.reads, self.writes]),
            **options,
        )


@pytest.fixture
def world(tmp_path: Path) -> Callable[..., World]:
    """A maker of worlds that share one state folder."""
    state = tmp_path / "state"
    state.mkdir(mode=0o700)

    def make(**options: Any) -> World:
        return World(state, **options)

    return make
