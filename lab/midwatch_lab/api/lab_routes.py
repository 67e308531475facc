"""`/lab/*`: what is the lab's own and no part of Kubernetes: audit, faults, load, rules, health."""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Protocol, cast

import orjson
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from midwatch_contracts.entity import Entity
from midwatch_contracts.errors import ContractError
from midwatch_lab import status
from midwatch_lab.access.authentication import StaticTokens, bearer_token
from midwatch_lab.errors import ApiError, FaultError, LabError
from midwatch_lab.faults import Faults
from midwatch_lab.store.audit import Audit


class Loads(Protocol):
    """The load generator."""

    def replace(self, raw: Mapping[str, Any]) -> object:
        """Start a load in the place of that of the same target."""
        ...

    def stats(self) -> list[dict[str, Any]]:
        """Return what each load has done."""
        ...


class RuleHolder(Protocol):
    """Whoever evaluates the alert rules."""

    def set_rules(self, text: str) -> None:
        """Replace the rules by those of a Prometheus rule file."""
        ...


Handler = Callable[[Request], Awaitable[Response]]


class LabRoutes:
    """The handlers; all but `healthz` answer superusers only, who run the lab."""

    def __init__(  # noqa: PLR0917 (the parts of a lab)
        self,
        users: StaticTokens,
        audit: Audit,
        faults: Faults,
        loads: Loads,
        rules: RuleHolder,
        health: Mapping[str, Any],
    ) -> None:
        self.users = users
        self.audit = audit
        self.faults = faults
        self.loads = loads
        self.rules = rules
        self.health = health

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/lab/healthz", self._healthz, methods=["GET"]),
            Route("/lab/audit", self._guarded(self._audit), methods=["GET"]),
            Route("/lab/faults", self._guarded(self._fault), methods=["POST"]),
            Route("/lab/faults/{id}", self._guarded(self._undo), methods=["DELETE"]),
            Route("/lab/load", self._guarded(self._load), methods=["GET", "PUT"]),
            Route("/lab/rules", self._guarded(self._rules), methods=["PUT"]),
        ]

    def _guarded(self, handler: Handler) -> Handler:
        async def guarded(request: Request) -> Response:
            try:
                user = self.users.find(bearer_token(request))
                if user is None:
                    raise status.unauthorized()
                if not user.is_superuser:
                    path = request.url.path
                    raise status.forbidden("lab", "", "", f'User "{user.name}" cannot {request.method.lower()} {path}')
                return await handler(request)
            except ApiError as error:
                return JSONResponse(error.status, error.code)
            except (LabError, ContractError) as error:
                return _refusal(error)

        return guarded

    async def _healthz(self, _request: Request) -> Response:
        return JSONResponse({"status": "ok", **self.health})

    async def _audit(self, request: Request) -> Response:
        after = request.query_params.get("after", "0")
        return _json(self.audit.entries(int(after) if after.isdigit() else 0))

    async def _fault(self, request: Request) -> Response:
        body = await _body(request)
        entity = Entity.parse(str(body.get("entity", "")))
        args: Any = body.get("args") or {}
        if not isinstance(args, dict):
            raise FaultError(f"args is an object, not {args!r}")
        identity = self.faults.make(str(body.get("mechanism", "")), entity, cast("dict[str, Any]", args))
        return JSONResponse({"id": identity}, HTTPStatus.CREATED)

    async def _undo(self, request: Request) -> Response:
        self.faults.undo(str(request.path_params["id"]))
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def _load(self, request: Request) -> Response:
        if request.method == "PUT":
            self.loads.replace(await _body(request))
        return _json(self.loads.stats())

    async def _rules(self, request: Request) -> Response:
        self.rules.set_rules((await request.body()).decode("utf-8", errors="replace"))
        return Response(status_code=HTTPStatus.NO_CONTENT)


async def _body(request: Request) -> dict[str, Any]:
    try:
        value = orjson.loads(await request.body())
    except orjson.JSONDecodeError as error:
        raise FaultError(f"the body is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise FaultError("the body is a JSON object")
    return cast("dict[str, Any]", value)


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")


def _refusal(error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, HTTPStatus.UNPROCESSABLE_ENTITY)
