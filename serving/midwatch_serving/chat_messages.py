"""OpenAI's messages and tools as a chat template can render them.

A template that knows tools gets them. For one that does not, they are described in a system message of ours, and calls
and results become text: `<tool_call>` and `<tool_response>` around JSON, as Qwen and Hermes models were taught.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from midwatch_serving.errors import RequestError

ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})

_HOW_TO_CALL = """\
You can call functions. This is what there is, one JSON object a line:
<tools>
{tools}
</tools>
To call a function, answer with this and nothing else:
<tool_call>{{"name": "the function's name", "arguments": {{"an argument": "its value"}}}}</tool_call>
The result comes back inside <tool_response>. Call only functions from the list. Without need for one, answer in words.\
"""

Message = dict[str, Any]


def conversation(
    messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], *, native: bool
) -> tuple[list[Message], list[Message]]:
    """Return messages and tools for a template; `native` tells whether it knows tools itself.

    Raises:
        RequestError: when a message's role or content is none that can be rendered.
    """
    if not messages:
        raise RequestError("`messages` must hold at least one message", param="messages")
    chat = [_message(i, message) for i, message in enumerate(messages)]
    if native:
        return chat, [dict(tool) for tool in tools]
    chat = _results_joined([_as_text(message) for message in chat])
    return (_with_tools(chat, tools) if tools else chat), []


def _message(index: int, message: Mapping[str, Any]) -> Message:
    """Return a copy whose content is text and whose calls have their arguments as JSON values."""
    where = f"messages[{index}]"
    role, content = message.get("role"), message.get("content")
    if not isinstance(role, str) or role not in ROLES:
        raise RequestError(f"{where}.role is {role!r}; it must be one of {', '.join(sorted(ROLES))}", param="messages")
    if content is not None and not isinstance(content, str):
        raise RequestError(f"{where}.content must be text", param="messages")
    result = dict(message) | {"role": "system" if role == "developer" else role, "content": content or ""}
    calls = result.pop("tool_calls", None)
    if calls:
        if not isinstance(calls, (list, tuple)):
            raise RequestError(f"{where}.tool_calls must be a list", param="messages")
        listed = cast("Sequence[Any]", calls)
        result["tool_calls"] = [_call(f"{where}.tool_calls[{i}]", call) for i, call in enumerate(listed)]
    return result


def _call(where: str, call: Any) -> Message:
    whole = _object(where, call)
    named = _object(f"{where}.function", whole.get("function"))
    if not isinstance(named.get("name"), str):
        raise RequestError(f"{where}.function.name must be text", param="messages")
    return whole | {"function": named | {"arguments": _arguments(named.get("arguments"))}}


def _object(where: str, value: Any) -> Message:
    if not isinstance(value, Mapping):
        raise RequestError(f"{where} must be an object", param="messages")
    return dict(cast("Mapping[str, Any]", value))


def _arguments(arguments: Any) -> Any:
    """Return the arguments of a call as JSON values; what is no JSON stays the text that it is."""
    if not isinstance(arguments, str):
        return {} if arguments is None else arguments
    try:
        return json.loads(arguments or "{}")
    except ValueError:
        return arguments


def _as_text(message: Message) -> Message:
    """Return a message without calls and tool results: they become text."""
    if message["role"] == "tool":
        return {
            "role": "user",
            "content": f"<tool_response>\n{message['content']}\n</tool_response>",
            "is_result": True,
        }
    calls = [
        f"<tool_call>{_json({'name': c['function']['name'], 'arguments': c['function']['arguments']})}</tool_call>"
        for c in message.get("tool_calls", ())
    ]
    return {"role": message["role"], "content": "\n".join(filter(None, [message["content"], *calls]))}


def _results_joined(chat: list[Message]) -> list[Message]:
    """Return the chat with results that follow each other in one message: turns then alternate, as templates want."""
    joined: list[Message] = []
    for message in chat:
        if joined and message.get("is_result") and joined[-1].get("is_result"):
            joined[-1]["content"] += "\n" + message["content"]
        else:
            joined.append(message)
    return [{"role": m["role"], "content": m["content"]} for m in joined]


def _with_tools(chat: list[Message], tools: Sequence[Mapping[str, Any]]) -> list[Message]:
    """Return the chat with the tools described at the end of its system message, or in one of their own."""
    described = _HOW_TO_CALL.format(tools="\n".join(_json(tool.get("function", tool)) for tool in tools))
    if chat[0]["role"] == "system":
        return [{"role": "system", "content": f"{chat[0]['content']}\n\n{described}".lstrip()}, *chat[1:]]
    return [{"role": "system", "content": described}, *chat]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
