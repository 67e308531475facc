"""The ASGI application of a server: `/mcp` behind the bearer check, `/healthz`, and RFC 9728 metadata for OAuth."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from mcp.server import MCPServer
from mcp.server.auth.middleware.auth_context import AuthContextMiddleware
from mcp.server.auth.middleware.bearer_auth import BearerAuthBackend, RequireAuthMiddleware
from mcp.server.auth.provider import TokenVerifier
from mcp.server.auth.routes import build_resource_metadata_url, create_protected_resource_routes
from mcp.server.transport_security import RequestBodyLimitMiddleware
from pydantic import AnyHttpUrl, BaseModel, ConfigDict
from starlette.applications import Starlette
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Route, request_response
from starlette.types import ASGIApp

from midwatch_mcp.call_log import CallLog
from midwatch_mcp.http.approvals import PATH as APPROVALS
from midwatch_mcp.http.approvals import Approvals
from midwatch_mcp.http.listening import PATH, Listen, OAuth
from midwatch_mcp.http.oauth import OAuthTokens
from midwatch_mcp.http.tokens import TokenFile
from midwatch_mcp.safe_apply.receiving import MAX_BYTES, ApprovalInbox


def build_app(
    server: MCPServer,
    listen: Listen,
    verifier: TokenVerifier | None = None,
    *,
    inbox: ApprovalInbox | None = None,
    calls: CallLog | None = None,
) -> Starlette:
    """Return the application that serves `server` as `listen` says.

    `verifier` takes the place of the one that `listen` names, for tests. With an inbox, approvals are taken in beside
    `/mcp`, and each is noted in `calls`.

    Raises:
        SettingsError: `listen` would let strangers in, or its token file cannot be used.
    """
    listen.check()
    verifier = verifier or _verifier(listen)
    inner = server.streamable_http_app(streamable_http_path=PATH, transport_security=listen.security, host=listen.host)
    routes: list[BaseRoute] = [Route("/healthz", _healthy), Route(PATH, _guarded(inner, verifier, listen.oauth))]
    if inbox is not None and calls is not None:
        taking = request_response(Approvals(inbox, calls, listen.security).__call__)
        limited = RequestBodyLimitMiddleware(taking, MAX_BYTES)
        routes.append(Route(APPROVALS, _guarded(limited, verifier, listen.oauth)))
    if listen.oauth is not None:
        urls = _urls(listen.oauth)
        routes += create_protected_resource_routes(
            resource_url=urls.resource,
            authorization_servers=[urls.issuer],
            scopes_supported=list(listen.oauth.scopes),
        )

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncGenerator[None]:
        async with inner.router.lifespan_context(inner):
            yield

    return Starlette(routes=routes, lifespan=lifespan)


class _Urls(BaseModel):
    """URLs without the slash that pydantic adds to an empty path: issuers are compared letter by letter (RFC 8414)."""

    model_config = ConfigDict(url_preserve_empty_path=True)

    issuer: AnyHttpUrl
    resource: AnyHttpUrl


def _urls(oauth: OAuth) -> _Urls:
    return _Urls.model_validate({"issuer": oauth.issuer, "resource": oauth.resource})


def _verifier(listen: Listen) -> TokenVerifier | None:
    if listen.oauth is not None:
        return OAuthTokens(listen.oauth)
    return TokenFile(listen.token_file) if listen.token_file is not None else None


def _guarded(app: ASGIApp, verifier: TokenVerifier | None, oauth: OAuth | None) -> ASGIApp:
    if verifier is None:
        return app
    resource = None if oauth is None else _urls(oauth).resource
    where = None if resource is None else build_resource_metadata_url(resource)
    required = RequireAuthMiddleware(app, [] if oauth is None else list(oauth.scopes), where)
    backend = BearerAuthBackend(verifier, resource_server_url=resource)
    return AuthenticationMiddleware(AuthContextMiddleware(required), backend=backend)


async def _healthy(_request: Request) -> PlainTextResponse:
    return PlainTextResponse("ok\n")
