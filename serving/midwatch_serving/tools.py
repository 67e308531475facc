"""Function tools: which may be called, and what the model is held to when it calls.

A call is written as Hermes and Qwen models write it: `<tool_call>`, a JSON object with `name` and `arguments`, and
`</tool_call>`, with or without line ends between them. A model that must call (`required`) is held to that by a
grammar, and so are calls of strict tools where it may (`auto`). For a named function it writes the arguments alone.
"""

import json
from collections.abc import Sequence
from typing import Any

import orjson

from midwatch_serving.constraints import JSON_STYLE, Grammar
from midwatch_serving.errors import RequestError
from midwatch_serving.protocol_chat import NamedTool, Tool
from midwatch_serving.tool_reader import CLOSE, OPEN, CallReader, NamedReader, PlainReader, Reader

NO_ARGUMENTS: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}

Choice = str
"""`none`, `auto`, `required`, or `=` and the name of the function to call."""


def chosen(tools: Sequence[Tool] | None, choice: str | NamedTool | None) -> Choice:
    """Return the tool choice, checked against the tools.

    Raises:
        RequestError: when it asks for what is not there.
    """
    names = [tool.function.name for tool in tools or ()]
    if len(set(names)) < len(names):
        raise RequestError("`tools`: two functions have the same name", param="tools")
    if choice is None:
        return "auto" if tools else "none"
    if isinstance(choice, NamedTool):
        if choice.function.name not in names:
            raise RequestError(
                f"`tool_choice` names {choice.function.name!r}, which is not among the tools: {', '.join(names)}",
                param="tool_choice",
            )
        return "=" + choice.function.name
    if not tools and choice != "none":
        raise RequestError(f"`tool_choice` {choice!r} needs `tools`", param="tool_choice")
    return choice


def grammar(tools: Sequence[Tool], choice: Choice, *, parallel: bool, answer: Grammar | None) -> Grammar | None:
    """Return what binds an answer that may or must call; `answer` binds its text where it calls nothing.

    Raises:
        RequestError: when the two cannot be joined.
    """
    if choice == "none":
        return answer
    if choice.startswith("="):
        index, tool = next((i, t) for i, t in enumerate(tools) if "=" + t.function.name == choice)
        return Grammar(
            "json_schema",
            orjson.dumps(_parameters(tool)).decode(),
            f"tools.{index}.function.parameters",
            lenient=not tool.function.strict,
        )
    if choice == "required":
        return Grammar("lark", f"start: {_calls(parallel=parallel)}\n" + _call_rules(tools), "tools")
    if answer is not None:
        if answer.kind != "json_schema":
            raise RequestError(
                f"`{answer.param}` cannot be joined with `tools`: take a JSON schema, or tool_choice 'none'",
                param=answer.param,
            )
        schema = orjson.loads(answer.source) | {"x-guidance": JSON_STYLE | {"lenient": answer.lenient}}
        rules = f"start: {_calls(parallel=parallel)} | answer\nanswer: %json {json.dumps(schema)}\n"
        return Grammar("lark", rules + _call_rules(tools), f"{answer.param}, tools")
    if not any(tool.function.strict for tool in tools):
        return None
    rules = f"""start: tag* rest
rest: TEXT
TEXT: /(.|\\n)*/
opening[lazy]: TEXT "{OPEN}"
tag: opening NL? body NL? "{CLOSE}"
"""
    return Grammar("lark", rules + _bodies(tools), "tools", open_ended=True)


def _calls(*, parallel: bool) -> str:
    return "call (NL? call)*" if parallel else "call"


def _call_rules(tools: Sequence[Tool]) -> str:
    return f'call: "{OPEN}" NL? body NL? "{CLOSE}"\n' + _bodies(tools)


def _bodies(tools: Sequence[Tool]) -> str:
    lines = ['NL: "\\n"', "body: " + " | ".join(f"body_{index}" for index in range(len(tools)))]
    for index, tool in enumerate(tools):
        head = json.dumps(f'{{"name": "{tool.function.name}", "arguments": ')
        schema = _parameters(tool) | {"x-guidance": JSON_STYLE | {"lenient": not tool.function.strict}}
        lines.append(f'body_{index}: {head} arguments_{index} "}}"\narguments_{index}: %json {json.dumps(schema)}')
    return "\n".join(lines) + "\n"


def _parameters(tool: Tool) -> dict[str, Any]:
    return NO_ARGUMENTS if not tool.function.parameters else dict(tool.function.parameters)


def reader(tools: Sequence[Tool], choice: Choice) -> Reader:
    """Return what reads one sequence's text."""
    if choice == "none":
        return PlainReader()
    if choice.startswith("="):
        return NamedReader(choice[1:])
    return CallReader(frozenset(tool.function.name for tool in tools))
