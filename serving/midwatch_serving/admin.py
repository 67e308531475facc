"""What the operator sees and changes (CONTRACTS §8): configuration, requests, blocks, drain and cancel."""

from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from midwatch_contracts.times import rfc3339
from midwatch_serving import protocol
from midwatch_serving.bodies import read_body
from midwatch_serving.config import Snapshot
from midwatch_serving.errors import ConfigError, RequestError
from midwatch_serving.protocol import ConfigPatch
from midwatch_serving.sequence import Sequence
from midwatch_serving.service import Service

NOT_HERE = 501


class DrainBody(BaseModel):
    """`POST /admin/drain`."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    grace_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Seconds after which what still runs is aborted; null waits for ever."""


class CancelBody(BaseModel):
    """`POST /admin/cancel`: either of the two."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    ids: Annotated[list[str], Field(min_length=1, max_length=10_000)] | None = None
    all: Literal[True] | None = None


class AdminEndpoints:
    """`/admin/*`."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/admin/config", self.get_config, methods=["GET"]),
            Route("/admin/config", self.patch_config, methods=["PATCH"]),
            Route("/admin/requests", self.requests, methods=["GET"]),
            Route("/admin/blocks", self.blocks, methods=["GET"]),
            Route("/admin/drain", self.get_drain, methods=["GET"]),
            Route("/admin/drain", self.start_drain, methods=["POST"]),
            Route("/admin/drain", self.end_drain, methods=["DELETE"]),
            Route("/admin/cancel", self.cancel, methods=["POST"]),
            Route("/admin/migrate", self.migrate, methods=["POST"]),
        ]

    async def get_config(self, _request: Request) -> Response:
        """Return the configuration and its entity tag."""
        return _config(self._service.config.current, self._service.config.current.etag)

    async def patch_config(self, request: Request) -> Response:
        """Change the configuration if the client's `If-Match` names its present version."""
        condition = request.headers.get("if-match")
        current = self._service.config.current
        if condition is None:
            raise RequestError("send If-Match with the ETag that GET /admin/config answers", status=428)
        if condition.strip() != "*" and current.etag not in [tag.strip() for tag in condition.split(",")]:
            raise RequestError(f"the configuration is at {current.etag}, not {condition}: read it again", status=412)
        wanted = request.query_params.get("dry_run", "false")
        if wanted not in {"true", "false"}:
            raise RequestError(f"dry_run={wanted!r} is neither true nor false", status=422, param="dry_run")
        dry_run = wanted == "true"
        changes: ConfigPatch = protocol.parse(ConfigPatch, await read_body(request), status=422)
        if self._service.config.current is not current:
            raise RequestError("the configuration was changed at this moment: read it again", status=412)
        try:
            result = self._service.config.patch(changes.values, dry_run=dry_run)
        except ConfigError as error:
            raise RequestError(str(error), status=422, param=error.field) from error
        return _config(result, current.etag if dry_run else result.etag)

    async def requests(self, _request: Request) -> Response:
        """Return the requests that run, then those that wait, each in the order of service."""
        scheduler, now = self._service.engine.scheduler, self._service.clock.now()
        return JSONResponse(
            {
                "running": len(scheduler.running),
                "waiting": len(scheduler.waiting),
                "requests": [_request_row(sequence, now) for sequence in scheduler.sequences()],
            }
        )

    async def blocks(self, _request: Request) -> Response:
        """Return the block pool, the prefix cache, every block table, and which blocks several tables share."""
        scheduler = self._service.engine.scheduler
        blocks, prefix = scheduler.blocks, scheduler.blocks.prefix
        references = Counter(block for sequence in scheduler.running for block in sequence.block_table)
        return JSONResponse(
            {
                "block_size": blocks.block_size,
                "total": blocks.num_blocks,
                "free": blocks.num_free,
                "used": blocks.num_blocks - blocks.num_free,
                "usage": blocks.usage,
                "prefix_cache": {
                    "enabled": prefix.enabled,
                    "findable": len(prefix),
                    "idle": prefix.num_idle,
                    "queries": prefix.queries,
                    "hits": prefix.hits,
                    "evictions": prefix.evictions,
                },
                "shared": {str(block): count for block, count in sorted(references.items()) if count > 1},
                "tables": {sequence.id: sequence.block_table for sequence in scheduler.running},
            }
        )

    async def get_drain(self, _request: Request) -> Response:
        """Return whether the server drains, and what is left to do."""
        drain, scheduler = self._service.operations.drain, self._service.engine.scheduler
        return JSONResponse(
            {
                "draining": drain is not None,
                "grace_s": None if drain is None else drain.grace_s,
                "deadline": None if drain is None or drain.deadline is None else rfc3339(drain.deadline),
                "running": len(scheduler.running),
                "waiting": len(scheduler.waiting),
            }
        )

    async def start_drain(self, request: Request) -> Response:
        """Take no new requests, answer 503 on /health, and let the others finish."""
        asked: DrainBody = protocol.parse(DrainBody, await read_body(request) or b"{}", status=422)
        self._service.operations.start_drain(asked.grace_s)
        return await self.get_drain(request)

    async def end_drain(self, request: Request) -> Response:
        """Take new requests again."""
        self._service.operations.end_drain()
        return await self.get_drain(request)

    async def cancel(self, request: Request) -> Response:
        """Abort requests by id, or all of them."""
        asked: CancelBody = protocol.parse(CancelBody, await read_body(request), status=422)
        if (asked.ids is None) == (asked.all is None):
            raise RequestError('give either {"ids": [...]} or {"all": true}', status=422, param="ids")
        cancelled, unknown = self._service.operations.cancel(asked.ids)
        return JSONResponse({"cancelled": cancelled, "unknown": unknown})

    async def migrate(self, _request: Request) -> Response:
        """Refuse: requests cannot move between servers yet."""
        raise RequestError(
            "this server cannot move a request to another one (live migration comes with an issue of its own): "
            "drain it, or cancel the request and send it again elsewhere",
            status=NOT_HERE,
            code="not_implemented",
        )


def _config(snapshot: Snapshot, etag: str) -> Response:
    return JSONResponse(snapshot.body(), headers={"etag": etag})


def _request_row(sequence: Sequence, now: float) -> dict[str, Any]:
    return {
        "id": sequence.id,
        "state": sequence.state.value,
        "priority": sequence.priority,
        "session_id": sequence.session_id,
        "arrived": rfc3339(sequence.arrived),
        "first_scheduled": _time(sequence.first_scheduled),
        "first_token": _time(sequence.first_token),
        "last_token": _time(sequence.last_token),
        "age_s": now - sequence.arrived,
        "prompt_tokens": len(sequence.prompt),
        "cached_tokens": sequence.num_cached,
        "output_tokens": len(sequence.output),
        "max_tokens": sequence.params.max_tokens,
        "computed_tokens": sequence.num_computed,
        "blocks": len(sequence.block_table),
        "preemptions": sequence.preemptions,
    }


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else rfc3339(seconds)
