"""`POST /admin/what-if`: answered in a thread, one at a time and within bounds, so that the engine is unharmed."""

import asyncio

import orjson
from starlette.requests import Request
from starlette.responses import Response

from midwatch_serving import protocol
from midwatch_serving.bodies import read_body
from midwatch_serving.cost_model import CostModel, available, load
from midwatch_serving.errors import ConfigError, CostModelError, RequestError, WorkloadError
from midwatch_serving.service import Service
from midwatch_serving.what_if import Situation, WhatIfBody, answer


class WhatIfEndpoint:
    """Predicts what a load would see here, and under another configuration."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._busy = asyncio.Lock()

    async def post(self, request: Request) -> Response:
        """Answer one question."""
        body: WhatIfBody = protocol.parse(WhatIfBody, await read_body(request), status=422)
        if self._busy.locked():
            raise RequestError("another what-if is being simulated: ask again in a moment", status=503, code="busy")
        async with self._busy:
            situation = Situation(
                dict(self._service.config.current.values), self._cost(body.cost_model), self._service.cpu_limit
            )
            try:
                found = await asyncio.to_thread(answer, body, situation)
            except ConfigError as error:
                raise RequestError(str(error), status=422, param=f"config.{error.field}") from error
            except WorkloadError as error:
                raise RequestError(str(error), status=422, param="load") from error
        return Response(orjson.dumps(found), media_type="application/json")

    def _cost(self, name: str | None) -> CostModel:
        wanted = name or self._service.cost_model or f"cpu-{self._service.model_root}"
        if "/" in wanted or wanted not in available():
            hint = "" if name else "this server's model has no cost model of its own; "
            raise RequestError(
                f"there is no cost model {wanted!r}: {hint}name one of {', '.join(available())} in `cost_model`",
                status=422,
                param="cost_model",
            )
        try:
            return load(wanted)
        except CostModelError as error:
            raise RequestError(str(error), status=422, param="cost_model") from error
