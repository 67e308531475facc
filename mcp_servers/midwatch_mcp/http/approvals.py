"""`PUT /approvals/{nonce}`: where `midwatch change approve --server` brings a signed approval (CONTRACTS §5)."""

import logging
import time
from collections.abc import Mapping

from anyio.to_thread import run_sync
from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from midwatch_mcp.call_log import Call, CallLog, Outcome, principal
from midwatch_mcp.errors import ServersError
from midwatch_mcp.rates import Limiter
from midwatch_mcp.safe_apply.errors import RefusedChangeError, UnknownPlanError
from midwatch_mcp.safe_apply.receiving import ApprovalInbox
from midwatch_mcp.tool import error_text

log = logging.getLogger(__name__)

PATH = "/approvals/{nonce}"
METHOD = "approvals/put"
_STATUS: Mapping[str, int] = {"malformed": 400, "conflict": 409, "replayed": 409, "denied": 409}
"""By reason; any other is 403."""


class Approvals:
    """The endpoint. It asks for the same token as `/mcp`, and answers the same Host and Origin headers."""

    def __init__(self, inbox: ApprovalInbox, calls: CallLog, security: TransportSecuritySettings) -> None:
        self._inbox = inbox
        self._calls = calls
        self._security = TransportSecurityMiddleware(security)
        self._limiter = Limiter()

    async def __call__(self, request: Request) -> Response:
        """Take one approval in, and note it."""
        strange = await self._security.validate_request(request)
        if strange is not None:
            return strange
        if request.method != "PUT":
            return JSONResponse(_told("malformed", "an approval is brought with PUT"), 405, {"Allow": "PUT"})
        started, caller, nonce = time.monotonic(), principal(), str(request.path_params["nonce"])
        content = await request.body()
        outcome: Outcome = "error"
        try:
            wait = self._limiter.enter(caller, METHOD, "high")
            if wait is not None:
                outcome = "refused"
                return JSONResponse(_told("rate", wait), 429, {"Retry-After": "1"})
            try:
                answer = await self._taken(nonce, content, caller)
            finally:
                self._limiter.leave(caller, METHOD)
            outcome = "ok" if answer.status_code < 400 else "refused"  # noqa: PLR2004 (HTTP)
            return answer
        finally:
            call = Call(nonce, {"content": content.decode("utf-8", "replace")}, outcome)
            self._calls.write(self._calls.line(METHOD, call, time.monotonic() - started))

    async def _taken(self, nonce: str, content: bytes, caller: str) -> Response:
        try:
            received = await run_sync(self._inbox.take, nonce, content, caller)
        except RefusedChangeError as error:
            return JSONResponse(_told(error.reason, error_text(error)), _STATUS.get(error.reason, 403))
        except UnknownPlanError as error:
            return JSONResponse(_told("unknown_plan", error_text(error)), 404)
        except ServersError:
            log.exception("an approval could not be taken in")
            return JSONResponse(_told("failed", "the server cannot take approvals in: its log says why"), 500)
        kept = received.approval
        data = {"stored": received.new, "nonce": kept.nonce, "plan_id": kept.plan_id, "expires": kept.expires}
        return JSONResponse(data, 201 if received.new else 200)


def _told(reason: str, message: str) -> dict[str, dict[str, str]]:
    return {"error": {"reason": reason, "message": message}}
