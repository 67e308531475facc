"""Asking a person in the middle of a call, by MCP elicitation, in both protocol eras (mcp-stack.md §1.3).

A handler declares a parameter `Annotated[Reply, Asks(question)]`. `question(room, asker, **arguments)` runs first and
returns what to ask, or why nobody is asked. The reply is no argument of the tool: it is not in the input schema, and
what a caller passes under any name cannot stand in for it. Before the protocol of 2026-07-28 the server asks over the
back-channel while the call waits; since then the answer comes with the same call made again, for which `question` must
return the same text, and a caller may make that call twice: whoever asks keeps account of it under the question's key.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin

import anyio
from mcp import MCPError
from mcp.server.mcpserver import AcceptedElicitation, Context, Elicit, ElicitationResult, Resolve
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ClientCapabilities
from pydantic import BaseModel, Field

from midwatch_contracts.errors import ContractError
from midwatch_mcp.call_log import principal
from midwatch_mcp.errors import ServersError
from midwatch_mcp.questions import Asker, Question, Reply

_STATELESS = "2026-07-28"
"""The first revision without requests from server to client."""


AskFor = Callable[..., Awaitable[Question | str]]


@dataclass(frozen=True)
class Asks:
    """Marks a parameter of a handler that a person fills."""

    question: AskFor


class Consent(BaseModel):
    """Whether to apply the change."""

    # Left alone the form says no.
    approve: bool = Field(default=False, title="Approve", description="Apply exactly what is shown above")


def asks_of(parameters: Sequence[inspect.Parameter]) -> tuple[str, Asks] | None:
    """Return the parameter that a person fills, and how, or None."""
    for parameter in parameters:
        if get_origin(parameter.annotation) is Annotated:
            for found in get_args(parameter.annotation)[1:]:
                if isinstance(found, Asks):
                    return parameter.name, found
    return None


@dataclass(frozen=True)
class Asking:
    """One declared question, bound to the rooms of a server."""

    asks: Asks
    arguments: tuple[str, ...]
    pick: Callable[[Mapping[str, Any]], tuple[Any, dict[str, Any]]]
    """Returns (the room that a call means, the handler's arguments)."""
    error_text: Callable[[Exception], str]

    def parameters(self) -> list[inspect.Parameter]:
        """Return the two parameters that the SDK fills in place of the declared one."""
        prepared = Annotated[Question | str, Resolve(self._prepare())]

        async def ask(ctx: Context[Any, Any], question: Any) -> Reply | Elicit[Consent]:
            return await _asked(ctx, question)

        ask.__annotations__["question"] = prepared
        answered = Annotated[ElicitationResult[Consent], Resolve(ask)]
        kind = inspect.Parameter.KEYWORD_ONLY
        return [
            inspect.Parameter(QUESTION, kind, annotation=prepared),
            inspect.Parameter(ANSWER, kind, annotation=answered),
        ]

    def _prepare(self) -> Callable[..., Awaitable[Question | str]]:
        async def prepare(ctx: Context[Any, Any], **arguments: Any) -> Question | str:
            asker = Asker(principal(), can_be_asked(ctx.client_capabilities), again=ctx.request_state is not None)
            room, passed = self.pick(arguments)
            try:
                return await self.asks.question(room, asker, **passed)
            except (ServersError, ContractError) as error:
                raise ToolError(self.error_text(error)) from error

        kind = inspect.Parameter.KEYWORD_ONLY
        parameters = [inspect.Parameter("ctx", kind, annotation=Context)]
        parameters += [inspect.Parameter(name, kind, annotation=Any) for name in self.arguments]
        signature = inspect.Signature(parameters, return_annotation=Question | str)
        setattr(prepare, "__signature__", signature)  # noqa: B010 (typed so)
        prepare.__annotations__ = {one.name: one.annotation for one in parameters} | {"return": Question | str}
        return prepare


QUESTION, ANSWER = "question_", "answer_"
"""How the SDK hands over what was asked and what came of it; no tool has an argument of such a name."""


def reply_of(question: Question | str, answer: ElicitationResult[Any]) -> Reply:
    """Return what the SDK handed over as a reply."""
    if isinstance(question, str):
        return Reply("not_asked", principal(), None, question)
    if not isinstance(answer, AcceptedElicitation):
        if answer.action == "decline":
            return Reply("no", principal(), question.key)
        return Reply("cancelled", principal(), question.key, "the question was put away without an answer")
    data: Any = answer.data
    if isinstance(data, Reply):
        return data
    return Reply("yes" if isinstance(data, Consent) and data.approve else "no", principal(), question.key)


async def _asked(ctx: Context[Any, Any], question: Question | str) -> Reply | Elicit[Consent]:
    """Ask over the back-channel and return the reply, or return the question for the SDK to hand out."""
    if isinstance(question, str):
        return Reply("not_asked", principal(), None, question)
    if ctx.protocol_version is None or ctx.protocol_version >= _STATELESS:
        return Elicit(question.text, Consent)
    reply = Reply("timeout", principal(), question.key, f"nobody answered within {question.seconds:g} s")
    with anyio.move_on_after(question.seconds):
        try:
            reply = reply_of(question, await ctx.elicit(question.text, Consent))
        except (MCPError, ValueError) as error:
            reply = Reply("cancelled", principal(), question.key, f"the client gave no usable answer: {error}")
    return reply


def can_be_asked(capabilities: ClientCapabilities | None) -> bool:
    """Say whether a client shows forms. One from before there were kinds says no more than `elicitation: {}`."""
    found = None if capabilities is None else capabilities.elicitation
    return found is not None and (found.form is not None or found.url is None)
