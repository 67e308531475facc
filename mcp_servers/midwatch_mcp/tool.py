"""How a tool is declared: one literal beside its handler (CONTRACTS §12), and how it is bound to a server.

A handler is an async function `(room, **arguments) -> Answer[Data]`. The room holds what it talks to; every further
parameter is an argument of the tool, and its annotation the input schema. Binding turns the answer into the contract's
`ToolResult[Data]`: cleaned, redacted, stored as evidence, and sent as compact JSON.
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Generic, Literal, TypeVar, cast, get_args, get_origin

import orjson
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.tools import Tool
from mcp.types import CallToolResult, TextContent, ToolAnnotations
from pydantic import BaseModel, Field

from midwatch_contracts.canonical import to_jsonable
from midwatch_contracts.errors import ContractError
from midwatch_contracts.evidence import ToolResult
from midwatch_mcp.asking import ANSWER, QUESTION, Asking, asks_of, reply_of
from midwatch_mcp.errors import ServersError
from midwatch_mcp.evidence import EvidenceStore
from midwatch_mcp.redact import harmless
from midwatch_mcp.schemas import spelled_out, untitled

DataT = TypeVar("DataT", bound=BaseModel)

Cost = Literal["low", "medium", "high"]
"""low: one cheap read; medium: several reads, or much data; high: work on the serving backend or minutes of waiting."""

_DECLARATION = "__midwatch_tool__"
_ERROR_CHARACTERS = 2_000
META_CLUSTER = "midwatch/cluster"
META_COST = "midwatch/cost"


@dataclass(frozen=True)
class ToolDeclaration:
    """What is said of a tool. All four hints are stated; `read_only=False` is offered only with `--allow-write`."""

    name: str
    title: str
    description: str
    cluster: str
    """The group by which an agent prunes tools: `cluster-state`, `logs`, `metrics`, ..."""
    cost: Cost
    read_only: bool
    destructive: bool
    idempotent: bool
    open_world: bool
    timeout_s: float
    max_bytes: int
    """Largest answer in bytes of JSON; the full result is read by evidence id."""
    hint: str = ""
    """Said to a caller that passes arguments which the tool does not have."""


@dataclass(frozen=True)
class Answer(Generic[DataT]):
    """What a handler returns. `full` is the whole result where `data` is a part of it; secrets are out of both."""

    summary: str
    data: DataT
    full: Any = None
    truncated: bool = False
    cursor: str | None = None


Handler = Callable[..., Awaitable[Answer[Any]]]


@dataclass(frozen=True)
class Choice:
    """Several rooms alike, such as clusters: binding gives every tool one more argument, which says which is meant."""

    argument: str
    description: str
    rooms: Mapping[str, Any]
    """By name; the first is meant where the argument is left out."""

    def parameter(self) -> inspect.Parameter:
        """Return the argument as a parameter of a handler."""
        names = cast("Any", Literal)[tuple(self.rooms)]
        annotation = Annotated[names, Field(description=self.description)]
        return inspect.Parameter(
            self.argument, inspect.Parameter.KEYWORD_ONLY, default=next(iter(self.rooms)), annotation=annotation
        )


def tool(
    *,
    name: str,
    title: str,
    description: str,
    cluster: str,
    cost: Cost,
    read_only: bool,
    destructive: bool,
    idempotent: bool,
    open_world: bool,
    timeout_s: float = 20.0,
    max_bytes: int = 64_000,
    hint: str = "",
) -> Callable[[Handler], Handler]:
    """Declare the handler below as a tool."""
    declaration = ToolDeclaration(
        *(
            name,
            title,
            description,
            cluster,
            cost,
            read_only,
            destructive,
            idempotent,
            open_world,
            timeout_s,
            max_bytes,
        ),
        hint=hint,
    )

    def declare(handler: Handler) -> Handler:
        setattr(handler, _DECLARATION, declaration)
        return handler

    return declare


def declaration_of(handler: Handler) -> ToolDeclaration:
    """Return what was declared of a handler.

    Raises:
        TypeError: when it was not declared with `@tool`.
    """
    found = getattr(handler, _DECLARATION, None)
    if not isinstance(found, ToolDeclaration):
        raise TypeError(f"{handler!r} is no tool: declare it with @tool(...)")
    return found


def bind(server: str, handler: Handler, room: Any, evidence: EvidenceStore) -> Tool:
    """Return a declared handler as a tool of the server of this name, with `room` as its first argument.

    Of a `Choice` the call says which room that is; its summary, its errors and its evidence name it.
    """
    declaration = declaration_of(handler)
    signature = inspect.signature(handler, eval_str=True)
    _, *parameters = signature.parameters.values()
    choice = room if isinstance(room, Choice) else None
    if choice is not None:
        parameters.append(choice.parameter())
    asked = asks_of(parameters)
    parameters = [parameter for parameter in parameters if asked is None or parameter.name != asked[0]]
    plain = [parameter.name for parameter in parameters]

    def pick(arguments: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        named = [name for name in plain if name in arguments and (choice is None or name != choice.argument)]
        return room if choice is None else choice.rooms[str(arguments[choice.argument])], {
            name: arguments[name] for name in named
        }

    async def call(**arguments: Any) -> CallToolResult:
        chosen = None if choice is None else str(arguments[choice.argument])
        meant, passed = pick(arguments)
        if asked is not None:
            passed[asked[0]] = reply_of(arguments[QUESTION], arguments[ANSWER])
        try:
            answer = await handler(meant, **passed)
        except (ServersError, ContractError) as error:
            raise ToolError(error_text(error) if chosen is None else f"{chosen}: {error_text(error)}") from error
        if chosen is not None:
            answer = replace(answer, summary=f"{chosen}: {answer.summary}")
        given = {name: arguments[name] for name in plain if _is_argument(arguments.get(name))}
        return _result(declaration.name, server, given, answer, evidence)

    if asked is not None:
        parameters += Asking(asked[1], tuple(plain), pick, error_text).parameters()
    returns = ToolResult[_data_type(signature.return_annotation, declaration.name)]
    setattr(call, "__signature__", inspect.Signature(parameters, return_annotation=returns))  # noqa: B010 (typed so)
    call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters} | {"return": returns}
    bound = Tool.from_function(
        call,
        name=declaration.name,
        title=declaration.title,
        description=declaration.description,
        annotations=ToolAnnotations(
            title=declaration.title,
            read_only_hint=declaration.read_only,
            destructive_hint=declaration.destructive,
            idempotent_hint=declaration.idempotent,
            open_world_hint=declaration.open_world,
        ),
        meta={META_CLUSTER: declaration.cluster, META_COST: declaration.cost},
    )
    bound.parameters = untitled(bound.parameters) | {"additionalProperties": False}
    bound.fn_metadata.output_schema = spelled_out(bound.fn_metadata.output_schema)
    return bound


def error_text(error: Exception) -> str:
    """Return the message of an expected error as a client may read it: bounded, cleaned, redacted."""
    text = str(harmless(str(error)))
    return text if len(text) <= _ERROR_CHARACTERS else text[:_ERROR_CHARACTERS] + " ..."


def _is_argument(value: Any) -> bool:
    """Say whether a bound value came from the caller: JSON data, not a context or an elicited answer."""
    return value is None or isinstance(value, str | int | float | bool | list | tuple | Mapping | BaseModel)


def _result(
    name: str, server: str, arguments: Mapping[str, Any], answer: Answer[Any], evidence: EvidenceStore
) -> CallToolResult:
    data = harmless(to_jsonable(answer.data))
    full = data if answer.full is None else harmless(to_jsonable(answer.full))
    ref = evidence.put(
        server, name, harmless(to_jsonable(arguments)), full, truncated=answer.truncated, cursor=answer.cursor
    )
    structured = {"summary": harmless(answer.summary), "data": data, "evidence": ref.model_dump(mode="json")}
    return CallToolResult(
        content=[TextContent(type="text", text=orjson.dumps(structured).decode())], structured_content=structured
    )


def _data_type(annotation: Any, name: str) -> Any:
    if get_origin(annotation) is not Answer:
        raise TypeError(f"the handler of {name} does not say what it returns: annotate it -> Answer[SomeModel]")
    return get_args(annotation)[0]
