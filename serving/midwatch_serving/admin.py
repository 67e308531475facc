"""What the operator sees and changes: configuration (CONTRACTS §8), requests and blocks."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from midwatch_contracts.times import rfc3339
from midwatch_serving import protocol
from midwatch_serving.chat import read_body
from midwatch_serving.config import Snapshot
from midwatch_serving.errors import ConfigError, RequestError
from midwatch_serving.protocol import ConfigPatch
from midwatch_serving.sequence import Sequence
from midwatch_serving.service import Service


class AdminEndpoints:
    """`/admin/*`."""

    def __init__(self, service: Service) -> None:
        self._service = service

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
        """Return the requests that run and wait, oldest first."""
        scheduler, now = self._service.engine.scheduler, self._service.clock.now()
        return JSONResponse(
            {
                "running": len(scheduler.running),
                "waiting": len(scheduler.waiting),
                "requests": [_request_row(sequence, now) for sequence in scheduler.sequences()],
            }
        )

    async def blocks(self, _request: Request) -> Response:
        """Return the block pool and every block table."""
        scheduler = self._service.engine.scheduler
        blocks = scheduler.blocks
        return JSONResponse(
            {
                "block_size": blocks.block_size,
                "total": blocks.num_blocks,
                "free": blocks.num_free,
                "used": blocks.num_blocks - blocks.num_free,
                "usage": blocks.usage,
                "tables": {sequence.id: sequence.block_table for sequence in scheduler.running},
            }
        )


def _config(snapshot: Snapshot, etag: str) -> Response:
    return JSONResponse(snapshot.body(), headers={"etag": etag})


def _request_row(sequence: Sequence, now: float) -> dict[str, Any]:
    return {
        "id": sequence.id,
        "state": sequence.state.value,
        "arrived": rfc3339(sequence.arrived),
        "age_s": now - sequence.arrived,
        "prompt_tokens": len(sequence.prompt),
        "output_tokens": len(sequence.output),
        "max_tokens": sequence.params.max_tokens,
        "computed_tokens": sequence.num_computed,
        "blocks": len(sequence.block_table),
        "preemptions": sequence.preemptions,
    }
