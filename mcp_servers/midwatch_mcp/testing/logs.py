"""The log of a container, as the API of the double answers it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from midwatch_contracts.times import rfc3339
from midwatch_mcp.testing.replies import status

START_S = 1_767_225_600.0
"""When the first line of a log was taken: 2026-01-01T00:00:00Z; each further line a second later."""


@dataclass
class LogsDouble:
    """Log texts by `pod` or `pod/container`. A line may begin with `@SECONDS `, its time after the start."""

    texts: dict[str, str] = field(default_factory=dict[str, str])
    previous: dict[str, str] = field(default_factory=dict[str, str])
    refused: dict[str, str] = field(default_factory=dict[str, str])
    """What the API says instead of a log (HTTP 400)."""

    def __setitem__(self, key: str, text: str) -> None:
        """Set a log text."""
        self.texts[key] = text

    def answer(self, request: Request, pod: str) -> Response:
        """Answer one request for a log."""
        query = request.query_params
        container = query.get("container", "")
        refusal = _found(self.refused, pod, container)
        if refusal is not None:
            return status(400, "BadRequest", refusal)
        texts = self.previous if query.get("previous") == "true" else self.texts
        text = _found(texts, pod, container)
        if text is None and texts is self.previous:
            return status(400, "BadRequest", f'previous terminated container "{container}" in pod "{pod}" not found')
        lines = [_stamped(line, index) for index, line in enumerate((text or "").splitlines())]
        shown = [f"{at} {line}\n" if query.get("timestamps") == "true" else f"{line}\n" for at, line in lines]
        tail = query.get("tailLines")
        kept = "".join(shown[-int(tail) :] if tail else shown).encode()
        limit = query.get("limitBytes")
        return PlainTextResponse(kept[: int(limit)] if limit else kept)


def _found(texts: Mapping[str, str], pod: str, container: str) -> str | None:
    return texts.get(f"{pod}/{container}", texts.get(pod))


def _stamped(line: str, index: int) -> tuple[str, str]:
    seconds, space, text = line.removeprefix("@").partition(" ")
    if line.startswith("@") and space:
        return rfc3339(START_S + float(seconds)), text
    return rfc3339(START_S + index), line
