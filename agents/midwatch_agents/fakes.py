"""A scripted world behind real MCP: servers whose tools answer from a script, and a changes server that keeps its books
in a file. For tests and drills; what a tool answers here is what somebody wrote down.
"""

import inspect
import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from mcp.server import Server
from mcp.server.context import ServerRequestContext
from mcp.types import (
    CallToolRequestParams,
    CallToolResult,
    ListToolsResult,
    PaginatedRequestParams,
    TextContent,
    Tool,
)

from midwatch_agents.tools import Toolbox, opened
from midwatch_contracts.clock import Clock
from midwatch_contracts.command import Settings
from midwatch_contracts.plan import TERMINAL_STATES, Plan, Preview, preview_sha256
from midwatch_contracts.times import rfc3339
from midwatch_mcp.evidence import EvidenceStore
from midwatch_mcp.safe_apply.approvals import approvals_for

Answer = Mapping[str, Any] | Exception | Callable[[dict[str, Any]], Any]
"""The `data` of a result, an exception to answer with an error, or a function of the arguments that gives either."""


class ScriptError(Exception):
    """A scripted tool says no; its text is the tool's error text."""


@dataclass(frozen=True)
class ScriptedCall:
    """One call that a scripted server answered."""

    tool: str
    arguments: dict[str, Any]


@dataclass
class ScriptedServer:
    """One MCP server that answers from a script. `calls` is what it was asked, in order."""

    name: str
    answers: Mapping[str, Answer]
    state: Path
    calls: list[ScriptedCall] = field(default_factory=list[ScriptedCall])

    def server(self) -> "Server[Any]":
        """Return the server, ready for `mcp.Client`."""
        return Server(self.name, version="0", on_list_tools=self._list, on_call_tool=self._call)

    async def _list(
        self, _context: ServerRequestContext[Any], _params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        return ListToolsResult(
            tools=[Tool(name=name, description=name, input_schema={"type": "object"}) for name in self.answers]
        )

    async def _call(self, _context: ServerRequestContext[Any], params: CallToolRequestParams) -> CallToolResult:
        arguments = dict(params.arguments or {})
        self.calls.append(ScriptedCall(params.name, arguments))
        try:
            data = await self._answer(params.name, arguments)
        except ScriptError as error:
            return CallToolResult(content=[TextContent(type="text", text=str(error))], is_error=True)
        reference = EvidenceStore(self.state).put(self.name, params.name, arguments, data)
        summary = str(data.get("_says") or f"{params.name} answered.")
        structured = {"summary": summary, "data": data, "evidence": reference.model_dump(mode="json")}
        return CallToolResult(
            content=[TextContent(type="text", text=json.dumps(structured))], structured_content=structured
        )

    async def _answer(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        answer: Any = self.answers[tool]
        if callable(answer):
            answer = cast("Callable[[dict[str, Any]], Any]", answer)(arguments)
        if inspect.isawaitable(answer):
            answer = await answer
        if isinstance(answer, Exception):
            raise ScriptError(str(answer)) from answer
        return dict(cast("Mapping[str, Any]", answer))


@dataclass
class FakeChanges:
    """The tools of a changes server over a file, `<state>/fake_changes.json`, so that its books outlive a process.

    A plan is applied once, and only when an approval of it lies in the state folder or `policy` approves. Each
    `change_status` moves a change one state further along `course`. `writes` counts what was written to the world.
    """

    state: Path
    clock: Clock
    course: Sequence[str] = ("applied", "verifying", "verified")
    cluster: str = "fake"
    policy: bool = False
    """Whether the policy approves every plan without a person."""

    def answers(self) -> dict[str, Answer]:
        """Return the answers for a `ScriptedServer`."""
        return {
            "change_propose": self._propose,
            "change_preview": self._preview,
            "change_apply": self._apply,
            "change_status": self._status,
            "change_list": lambda _arguments: {"changes": list(self._books()["changes"].values())},
        }

    @property
    def writes(self) -> int:
        """How often something was written."""
        return int(self._books()["writes"])

    def _books(self) -> dict[str, Any]:
        try:
            return json.loads((self.state / "fake_changes.json").read_text("utf-8"))
        except FileNotFoundError:
            return {"plans": {}, "changes": {}, "writes": 0}

    def _keep(self, books: Mapping[str, Any]) -> None:
        (self.state / "fake_changes.json").write_text(json.dumps(books), "utf-8")

    def _propose(self, arguments: dict[str, Any]) -> Answer:
        draft = cast("dict[str, Any]", arguments["plan"])
        operations: list[dict[str, Any]] = []
        for number, operation in enumerate(cast("list[dict[str, Any]]", draft["operations"]), start=1):
            target = {"apiVersion": "apps/v1", **operation["target"], "cluster": self.cluster}
            operations.append({"id": f"op{number}", **operation, "target": target})
        plan = Plan.sealed(**{**draft, "operations": operations, "created": rfc3339(self.clock.now())})
        books = self._books()
        books["plans"][plan.id] = plan.model_dump(mode="json", by_alias=True)
        self._keep(books)
        return {"plan": books["plans"][plan.id]}

    def _preview(self, arguments: dict[str, Any]) -> Answer:
        preview = self._preview_of(arguments["plan_id"])
        needs_person = None if self.policy else "autonomy 3 (assist) approves nothing by itself"
        answer = {"preview": preview.model_dump(mode="json"), "preview_sha256": preview_sha256(preview), "text": ""}
        return answer | {"needs_person": needs_person}

    def _preview_of(self, plan_id: str) -> Preview:
        return Preview.model_validate(
            {
                "plan_id": plan_id,
                "diffs": [
                    {
                        "operation": "op1",
                        "target": "Deployment/llm/chat",
                        "unified": "--- before\n+++ after\n@@ -1 +1 @@\n-14\n+256\n",
                        "changes": [("/spec", "14", "256")],
                    }
                ],
                "owners": [],
                "risk": "change",
                "blast": {"objects": 1, "pods_restarted": 3, "pods_total": 3, "note": "restarts 3 pods"},
            }
        )

    def _apply(self, arguments: dict[str, Any]) -> Answer:
        plan_id, books = str(arguments["plan_id"]), self._books()
        under_way = [change for change in books["changes"].values() if change["plan_id"] == plan_id]
        if under_way:
            return {"change": under_way[-1]}
        approvals = approvals_for(self.state, plan_id)
        if not approvals and not self.policy:
            return ScriptError(f"plan {plan_id[:12]} has no approval: midwatch change approve {plan_id}")
        change_id = f"chg-{len(books['changes']):016x}"
        books["writes"] += 1
        books["changes"][change_id] = {
            "change_id": change_id,
            "plan_id": plan_id,
            "preview_sha256": preview_sha256(self._preview_of(plan_id)),
            "approval": approvals[0].model_dump(mode="json", by_alias=True) if approvals else None,
            "state": "applying",
            "operations": [{"id": "op1", "state": "applied"}],
            "note": "",
        }
        self._keep(books)
        return {"change": books["changes"][change_id]}

    async def _status(self, arguments: dict[str, Any]) -> Answer:
        await self.clock.sleep(float(arguments.get("wait_s", 0.0)))
        books = self._books()
        change = books["changes"][arguments["change_id"]]
        if change["state"] not in TERMINAL_STATES:
            place = self.course.index(change["state"]) + 1 if change["state"] in self.course else 0
            change["state"] = self.course[place]
            if change["state"] == "undone":
                change["operations"] = [{"id": "op1", "state": "undone"}]
            self._keep(books)
        return {"change": change, "observations": []}


def opener_of(servers: Sequence[ScriptedServer]) -> Callable[[Settings], AbstractAsyncContextManager[Toolbox]]:
    """Return what opens these servers, for `Session(opener=…)`."""

    @asynccontextmanager
    async def opener(_settings: Settings) -> AsyncGenerator[Toolbox]:
        async with opened({scripted.name: scripted.server() for scripted in servers}) as toolbox:
            yield toolbox

    return opener
