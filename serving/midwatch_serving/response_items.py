"""The output items of one response, and the events that tell of them in the order that the protocol prescribes.

`output_item.added`, for text `content_part.added`, deltas, the `done` events in reverse, then the next item.
"""

import secrets
from collections.abc import Callable
from typing import Any

from midwatch_serving.tool_reader import CallPart

Emit = Callable[[str, dict[str, Any]], None]
"""Takes an event's type, without `response.`, and its fields."""


class ResponseItems:
    """Grows items from text and calls; every change is told to `emit`."""

    def __init__(self, emit: Emit) -> None:
        self.output: list[dict[str, Any]] = []
        self._emit = emit
        self._open: dict[str, Any] | None = None

    def feed(self, part: str | CallPart, logprobs: list[dict[str, Any]]) -> None:
        """Take a piece of the answer."""
        if isinstance(part, str):
            self._text(part, logprobs)
        else:
            self._call(part)

    def close(self, status: str) -> None:
        """End the item under way; `completed` or `incomplete`."""
        item, self._open = self._open, None
        if item is None:
            return
        item["status"] = status
        place = self._place(item)
        if item["type"] == "message":
            (part,) = item["content"]
            told: list[dict[str, Any]] = part.get("logprobs", [])
            self._emit("output_text.done", {**place, "content_index": 0, "text": part["text"], "logprobs": told})
            self._emit("content_part.done", {**place, "content_index": 0, "part": part})
        else:
            self._emit("function_call_arguments.done", {**place, "name": item["name"], "arguments": item["arguments"]})
        self._emit("output_item.done", {"output_index": place["output_index"], "item": item})

    def _text(self, text: str, logprobs: list[dict[str, Any]]) -> None:
        item = self._open
        if item is None or item["type"] != "message":
            item = self._begin({"id": _id("msg_"), "type": "message", "role": "assistant", "content": []})
            part: dict[str, Any] = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
            self._emit("content_part.added", {**self._place(item), "content_index": 0, "part": dict(part)})
            item["content"] = [part]
        item["content"][0]["text"] += text
        item["content"][0]["logprobs"] += logprobs
        if text or logprobs:
            delta = {**self._place(item), "content_index": 0, "delta": text, "logprobs": logprobs}
            self._emit("output_text.delta", delta)

    def _call(self, part: CallPart) -> None:
        item = self._open
        if part.name is not None or item is None:
            call = {"id": _id("fc_"), "type": "function_call", "call_id": part.id, "name": part.name, "arguments": ""}
            item = self._begin(call)
        item["arguments"] += part.arguments
        if part.arguments:
            self._emit("function_call_arguments.delta", {**self._place(item), "delta": part.arguments})

    def _begin(self, item: dict[str, Any]) -> dict[str, Any]:
        self.close("completed")
        item["status"] = "in_progress"
        self.output.append(item)
        self._open = item
        self._emit("output_item.added", {"output_index": len(self.output) - 1, "item": dict(item)})
        return item

    def _place(self, item: dict[str, Any]) -> dict[str, Any]:
        return {"item_id": item["id"], "output_index": len(self.output) - 1}


def _id(prefix: str) -> str:
    return prefix + secrets.token_hex(12)
