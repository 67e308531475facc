"""Responses that a later request may go on from. Held in memory, the oldest forgotten first; gone with the process."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import orjson

MOST_RESPONSES = 256
MOST_BYTES = 16 << 20


@dataclass(frozen=True)
class StoredResponse:
    """A response, and the chat up to its end, without instructions."""

    body: dict[str, Any]
    messages: list[dict[str, Any]]
    size: int


class ResponseStore:
    """Bounded by number and by bytes of JSON."""

    def __init__(self, most: int = MOST_RESPONSES, most_bytes: int = MOST_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._bytes = 0
        self._held: OrderedDict[str, StoredResponse] = OrderedDict()

    def put(self, body: dict[str, Any], messages: list[dict[str, Any]]) -> None:
        """Hold a response; what is too large by itself is not held."""
        size = len(orjson.dumps([body, messages]))
        if size > self._most_bytes:
            return
        self._held[body["id"]] = StoredResponse(body, messages, size)
        self._bytes += size
        while len(self._held) > self._most or self._bytes > self._most_bytes:
            self._bytes -= self._held.popitem(last=False)[1].size

    def get(self, response_id: str) -> StoredResponse | None:
        """Return a response that is still held."""
        return self._held.get(response_id)

    def delete(self, response_id: str) -> bool:
        """Forget a response; return whether it was held."""
        gone = self._held.pop(response_id, None)
        self._bytes -= 0 if gone is None else gone.size
        return gone is not None
