"""`serving_probe`: one real request, timed, as a user would feel it."""

import time
from collections.abc import AsyncIterator
from typing import Annotated, Any, cast

import orjson
from pydantic import Field

from midwatch_contracts.model import Model
from midwatch_mcp.errors import ServingError, UpstreamError
from midwatch_mcp.serving.replicas import Replica, ServingRoom
from midwatch_mcp.serving.status import Url
from midwatch_mcp.shapes import Name, Namespace, Outside
from midwatch_mcp.tool import Answer, tool

_DATA = b"data:"
_DONE = b"[DONE]"


class ServingProbeData(Model):
    """How one request went. Times are seconds on the wall clock of this server, the way to the pod included."""

    pod: str
    ttft_s: float | None
    """Time to the first token; None where none came."""
    tpot_s: float | None = None
    """Time per output token after the first; None for fewer than two."""
    total_s: float
    tokens: int
    text: Outside
    ok: bool
    error: Outside | None = None


@tool(
    name="serving_probe",
    title="Probe with a real request",
    description=(
        "Send one short chat request to a ready replica and time it: time to first token, total, tokens. It uses the "
        "backend like a user does, so not in a loop."
    ),
    cluster="serving",
    cost="high",
    read_only=True,
    destructive=False,
    idempotent=False,
    open_world=True,
    timeout_s=70.0,
)
async def serving_probe(
    room: ServingRoom,
    *,
    namespace: Namespace | None = None,
    service: Name | None = None,
    url: Url | None = None,
    prompt: Annotated[str, Field(min_length=1, max_length=2_000)] = "ping",
    max_tokens: Annotated[int, Field(ge=1, le=256)] = 4,
    timeout_s: Annotated[float, Field(gt=0, le=60)] = 10.0,
) -> Answer[ServingProbeData]:
    """Choose a ready replica, send the request as a stream, and read it to its end."""
    replicas = await room.replicas(namespace, service, url)
    chosen = next((replica for replica in replicas if replica.ready), replicas[0])
    data = await _probe(chosen, prompt, max_tokens, timeout_s)
    if not data.ok:
        return Answer(f"The request to {data.pod} failed after {data.total_s:.3f} s.", data)
    first = "no token" if data.ttft_s is None else f"first token after {data.ttft_s:.3f} s"
    return Answer(f"{data.pod} answered: {first}, {data.tokens} tokens in {data.total_s:.3f} s.", data)


async def _probe(replica: Replica, prompt: str, max_tokens: int, timeout_s: float) -> ServingProbeData:
    started = time.perf_counter()
    first: float | None = None
    last = 0.0
    pieces: list[str] = []
    tokens = 0
    failure: str | None = None
    try:
        model = await _model(replica)
        body = {
            "model": model,
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": max_tokens,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        started = time.perf_counter()
        async with replica.post("/v1/chat/completions", body, timeout_s) as chunks:
            async for event in _events(chunks):
                text, used = _read(event)
                if text:
                    last = time.perf_counter() - started
                    first = last if first is None else first
                pieces.append(text)
                tokens = used if used is not None else tokens + bool(text)
    except UpstreamError as error:
        failure = str(error)
    if failure is None and first is None:
        failure = "the answer held no token: is it a stream of server-sent events?"
    return ServingProbeData(
        pod=replica.name,
        ttft_s=first,
        tpot_s=None if first is None or tokens < 2 else (last - first) / (tokens - 1),  # noqa: PLR2004 (two tokens)
        total_s=time.perf_counter() - started,
        tokens=tokens,
        text="".join(pieces),
        ok=failure is None,
        error=failure,
    )


async def _model(replica: Replica) -> str:
    """Return the first model that the replica serves."""
    listed: Any = (await replica.get("/v1/models")).json().get("data")
    first = cast("list[Any]", listed)[0] if isinstance(listed, list) and listed else None
    name = cast("dict[str, Any]", first).get("id") if isinstance(first, dict) else None
    if not isinstance(name, str):
        raise ServingError("the backend serves no model")
    return name


async def _events(chunks: AsyncIterator[bytes]) -> AsyncIterator[dict[str, Any]]:
    """Yield the JSON of each server-sent event."""
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            content = line.strip().removeprefix(_DATA).strip()
            if not line.startswith(_DATA) or content == _DONE:
                continue
            try:
                found: Any = orjson.loads(content)
            except orjson.JSONDecodeError as error:
                raise ServingError("the stream carries an event that is no JSON") from error
            if isinstance(found, dict):
                yield cast("dict[str, Any]", found)


def _read(event: dict[str, Any]) -> tuple[str, int | None]:
    """Return (text of the event, tokens of the whole answer if it says).

    Raises:
        ServingError: when the event reports an error.
    """
    if event.get("error") is not None:
        raise ServingError("the backend reported an error while it streamed")
    usage = event.get("usage")
    used = cast("dict[str, Any]", usage).get("completion_tokens") if isinstance(usage, dict) else None
    text = ""
    for choice in cast("list[dict[str, Any]]", event.get("choices") or []):
        delta = cast("dict[str, Any]", choice.get("delta") or {})
        content = delta.get("content")
        text += content if isinstance(content, str) else ""
    return text, used if isinstance(used, int) else None
