"""`serving_requests`: what each replica is working on at this moment, the oldest first."""

from collections.abc import Mapping
from typing import Annotated, Any, cast

from pydantic import Field

from midwatch_contracts.errors import ContractError
from midwatch_contracts.model import Model
from midwatch_contracts.times import unix_seconds
from midwatch_mcp.errors import ServingError, UpstreamError
from midwatch_mcp.serving.replicas import NOT_OFFERED, Replica, ServingRoom, ask_all
from midwatch_mcp.serving.status import Url
from midwatch_mcp.shapes import Name, Namespace, Outside
from midwatch_mcp.tool import Answer, tool

PATH = "/admin/requests"


class ServingRequest(Model):
    """One request's timeline; times are seconds since it arrived, None for what has not happened."""

    pod: str
    id: Outside
    state: Outside
    """`running`, `waiting` or another word of the engine."""
    age_s: float
    queued_s: float
    """Until it was first scheduled; its age, if it never was."""
    ttft_s: float | None
    since_token_s: float | None
    """How long ago its last token came."""
    prompt_tokens: int
    cached_tokens: int
    output_tokens: int
    max_tokens: int | None
    blocks: int
    preemptions: int
    priority: int


class SilentReplica(Model):
    """A replica that did not tell."""

    pod: str
    error: Outside


class ServingRequestsData(Model):
    """Requests of all replicas, the oldest first."""

    requests: list[ServingRequest]
    total: int
    running: int
    waiting: int
    silent: list[SilentReplica]


@tool(
    name="serving_requests",
    title="Requests in the engines",
    description=(
        "Requests that the replicas behind a Service run or hold in their queue now, the oldest first: time queued, "
        "time to first token, tokens, KV blocks, preemptions. No prompt or answer text. vLLM does not offer it."
    ),
    cluster="serving",
    cost="medium",
    read_only=True,
    destructive=False,
    idempotent=True,
    open_world=True,
)
async def serving_requests(
    room: ServingRoom,
    *,
    namespace: Namespace | None = None,
    service: Name | None = None,
    url: Url | None = None,
    limit: Annotated[int, Field(ge=1, le=200)] = 50,
) -> Answer[ServingRequestsData]:
    """Ask every replica for its requests."""
    replicas = await room.replicas(namespace, service, url)
    answers = await ask_all(replicas, _requests)
    silent = [
        SilentReplica(pod=replica.name, error=_why(answer))
        for replica, answer in zip(replicas, answers, strict=True)
        if isinstance(answer, UpstreamError)
    ]
    found = [request for answer in answers if not isinstance(answer, UpstreamError) for request in answer]
    found.sort(key=lambda request: request.age_s, reverse=True)
    running = sum(request.state == "running" for request in found)
    waiting = sum(request.state == "waiting" for request in found)
    data = ServingRequestsData(
        requests=found[:limit], total=len(found), running=running, waiting=waiting, silent=silent
    )
    full = data.model_copy(update={"requests": found})
    return Answer(_summary(data, found, len(replicas)), data, full=full, truncated=len(found) > limit)


async def _requests(replica: Replica) -> list[ServingRequest]:
    listed = (await replica.get(PATH)).json().get("requests")
    if not isinstance(listed, list):
        raise ServingError(f"GET {PATH} answered no requests")
    entries = [cast("dict[str, Any]", entry) for entry in cast("list[Any]", listed) if isinstance(entry, dict)]
    return [_request(replica.name, entry) for entry in entries]


def _request(pod: str, entry: Mapping[str, Any]) -> ServingRequest:
    age = _number(entry.get("age_s")) or 0.0
    arrived = _moment(entry.get("arrived"))
    scheduled, first, last = (_since(arrived, entry.get(n)) for n in ("first_scheduled", "first_token", "last_token"))
    most = entry.get("max_tokens")
    return ServingRequest(
        pod=pod,
        id=str(entry.get("id", "")),
        state=str(entry.get("state", "")),
        age_s=round(age, 3),
        queued_s=round(age if scheduled is None else scheduled, 3),
        ttft_s=first,
        since_token_s=None if last is None else round(max(age - last, 0.0), 3),
        prompt_tokens=_count(entry.get("prompt_tokens")),
        cached_tokens=_count(entry.get("cached_tokens")),
        output_tokens=_count(entry.get("output_tokens")),
        max_tokens=most if isinstance(most, int) else None,
        blocks=_count(entry.get("blocks")),
        preemptions=_count(entry.get("preemptions")),
        priority=_count(entry.get("priority")),
    )


def _moment(text: Any) -> float | None:
    try:
        return unix_seconds(text) if isinstance(text, str) else None
    except ContractError:
        return None


def _since(arrived: float | None, text: Any) -> float | None:
    moment = _moment(text)
    return None if moment is None or arrived is None else round(moment - arrived, 3)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _why(error: UpstreamError) -> str:
    if isinstance(error, ServingError) and error.status == NOT_OFFERED:
        return f"this backend does not list its requests ({PATH}): serving_status has their numbers"
    return str(error)


def _summary(data: ServingRequestsData, found: list[ServingRequest], replicas: int) -> str:
    text = (
        f"{data.running} requests run and {data.waiting} wait in {replicas - len(data.silent)} of {replicas} replicas."
    )
    held = [request for request in found if request.state == "waiting"]
    if held:
        text += f" The oldest that waits has waited {held[0].age_s:.1f} s."
    evicted = sum(request.preemptions > 0 for request in found)
    return text + (f" {evicted} were preempted." if evicted else "")
