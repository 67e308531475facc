"""An MCP client of a changes server, whose user answers as a test says."""

from dataclasses import dataclass, field
from typing import Any, Literal

from mcp import Client
from mcp.client import ClientRequestContext
from mcp.types import CallToolResult, ElicitRequestFormParams, ElicitRequestParams, ElicitResult, InputRequiredResult

from midwatch_mcp.testing.caller import Era, answer_text

Answer = Literal["yes", "unchecked", "rubbish", "empty", "decline", "cancel"]
CONTENT: dict[Answer, dict[str, Any] | None] = {
    "yes": {"approve": True},
    "unchecked": {"approve": False},
    "rubbish": {"approve": ["maybe"]},
    "empty": {},
    "decline": None,
    "cancel": None,
}


@dataclass
class User:
    """Answers every question alike, and keeps what was asked."""

    answer: Answer = "yes"
    asked: list[str] = field(default_factory=list[str])

    def result(self) -> ElicitResult:
        content = CONTENT[self.answer]
        if self.answer in ("decline", "cancel"):
            return ElicitResult(action=self.answer)
        return ElicitResult(action="accept", content=content)

    async def __call__(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        assert context is not None
        assert isinstance(params, ElicitRequestFormParams)
        self.asked.append(params.message)
        return self.result()


async def applied(server: Any, plan_id: str, user: User | None, era: Era = "auto", **more: Any) -> CallToolResult:
    """Call change_apply over a connection of its own; a client without a user cannot ask one."""
    async with Client(server, mode=era, elicitation_callback=user) as client:
        return await client.call_tool("change_apply", {"plan_id": plan_id, **more})


@dataclass
class Rounds:
    """A client of the stateless protocol that makes each round by hand, and so may make one twice."""

    client: Client
    plan_id: str
    user: User = field(default_factory=User)
    first: InputRequiredResult | None = None

    async def ask(self) -> InputRequiredResult:
        """Make the first round; returns what is asked."""
        found = await self.client.session.call_tool(
            "change_apply", {"plan_id": self.plan_id}, allow_input_required=True
        )
        assert isinstance(found, InputRequiredResult), answer_text(found)
        self.first = found
        return found

    async def answer(self, **changed: Any) -> CallToolResult | InputRequiredResult:
        """Make the second round with the user's answer."""
        assert self.first is not None
        assert self.first.input_requests is not None
        answers = {key: self.user.result() for key in self.first.input_requests}
        given: dict[str, Any] = {"request_state": self.first.request_state, "input_responses": answers} | changed
        found = await self.client.session.call_tool(
            "change_apply", {"plan_id": self.plan_id}, allow_input_required=True, **given
        )
        assert isinstance(found, CallToolResult | InputRequiredResult)
        return found
