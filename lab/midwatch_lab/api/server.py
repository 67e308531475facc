"""The API server: an ASGI application that answers requests as kube-apiserver does, for the kinds of the lab."""

import asyncio
import logging
import time
from dataclasses import dataclass, field, replace
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from midwatch_contracts.clock import Clock
from midwatch_lab import status
from midwatch_lab.access.attributes import Attributes, of_request
from midwatch_lab.access.authentication import Authentication, StaticTokens
from midwatch_lab.access.impersonation import Impersonation
from midwatch_lab.access.service_tokens import ServiceTokens
from midwatch_lab.api import binding, deleting, eviction, issuer, logs, patching, plain, reading, scale, writing
from midwatch_lab.api.answers import JSON, YAML, Form, answer, check_accept, is_pretty, wanted_form, warn
from midwatch_lab.api.call import Call, Target, parse_path
from midwatch_lab.api.openapi import OpenApi
from midwatch_lab.api.parts import PLAIN, KeptParts, Parts
from midwatch_lab.api.proxy import Proxy
from midwatch_lab.api.requests import Kind, RequestCounts
from midwatch_lab.api.resource_metrics import NODE_METRICS, POD_METRICS, ResourceMetrics
from midwatch_lab.api.reviews import Reviews
from midwatch_lab.api.streams.portforward import PortForward
from midwatch_lab.api.streams.sessions import Containers, Sessions
from midwatch_lab.api.streams.upgrade import STREAMED, no_upgrade
from midwatch_lab.api.tables import Shown, shown_list, shown_object
from midwatch_lab.api.token_requests import TokenRequests
from midwatch_lab.api.watching import Watch
from midwatch_lab.custom.resource import CustomResource
from midwatch_lab.errors import ApiError
from midwatch_lab.objects import Object, dig
from midwatch_lab.registry.registry import Registry
from midwatch_lab.schemas import protobuf
from midwatch_lab.usage import UsageBoard

_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
_LOG = logging.getLogger(__name__)


@dataclass
class ApiServer:
    """Answers the Kubernetes API over a registry."""

    registry: Registry
    clock: Clock
    users: StaticTokens
    log_source: logs.LogSource
    containers: Containers | None = None
    """Whoever runs containers; None where nobody does."""
    usage: UsageBoard | None = None
    """What pods use; None where nobody measures it, and then there is no `metrics.k8s.io`."""
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    """Once set, every watch and every stream ends."""
    requests: RequestCounts = field(default_factory=RequestCounts)
    """What it has answered."""
    proxy: Proxy = field(init=False)
    sessions: Sessions = field(init=False)
    port_forward: PortForward = field(init=False)
    openapi: OpenApi = field(init=False)
    resource_metrics: ResourceMetrics | None = field(init=False, default=None)
    parts: Parts = field(init=False)
    authentication: Authentication = field(init=False)
    impersonation: Impersonation = field(init=False)
    reviews: Reviews = field(init=False)
    token_requests: TokenRequests = field(init=False)

    def __post_init__(self) -> None:
        if self.usage is not None:
            self.resource_metrics = ResourceMetrics(self.registry, self.clock, self.usage)
        tokens = ServiceTokens(self.registry.store, self.clock)
        self.authentication = Authentication(self.users, tokens)
        self.impersonation = Impersonation(self.registry.authorizer)
        self.reviews = Reviews(self.registry, self.authentication)
        self.token_requests = TokenRequests(self.registry, tokens)
        self.proxy = Proxy(self.registry)
        self.sessions = Sessions(self.registry, self.containers, self.closing)
        self.port_forward = PortForward(self.registry, self.closing)
        self.openapi = OpenApi(self.registry.catalog, self.registry.schemas)
        self.parts = KeptParts(self.registry.store)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        if scope["type"] == "websocket":
            await self._stream(WebSocket(scope, receive, send))
            return
        request, begin = Request(scope, receive), time.perf_counter()
        try:
            response = await self._respond(request)
        except ApiError as error:
            media = YAML if request.headers.get("accept", "").startswith(YAML) else JSON
            response = answer(request, error.status, error.code, media=media, warnings=error.warnings)
            seconds = dig(error.status, "details", "retryAfterSeconds")
            if seconds:
                response.headers["retry-after"] = str(seconds)
        except Exception:  # noqa: BLE001 (the boundary of a request: the client gets an answer, the log the trace)
            _LOG.exception("request failed: %s %s", request.method, request.url.path)
            fault = ApiError(500, "InternalError", "Internal error occurred: see the log of the lab", details={})
            response = answer(request, fault.status, fault.code)
        try:
            await response(scope, receive, send)
        finally:  # also where the client went away, which is how watches end
            self._count(request, response.status_code, time.perf_counter() - begin)

    def _count(self, request: Request, code: int, seconds: float) -> None:
        wanted: Attributes | None = getattr(request.state, "wanted", None)
        if wanted is not None:
            kind = Kind.of(wanted, request.headers.get("content-type", ""))
            self.requests.count(kind, code, request.query_params.get("dryRun", ""), seconds)

    async def _stream(self, socket: WebSocket) -> None:
        """Serve a WebSocket: exec, attach or port-forward. What is refused is answered as a request is."""
        request = Request({**socket.scope, "type": "http", "method": "GET"})
        try:
            wanted = self._authorize(request)
            target = parse_path(self.registry.catalog, request.url.path)
            if target is None or target.subresource not in STREAMED:
                raise status.no_such_resource()
            call = Call(request, wanted.user, target)
            self._admit(call)
            # A stream is opened by GET, but does what only those may who may create.
            self.registry.authorizer.check(replace(wanted, verb="create"))
            await (self.port_forward if target.subresource == "portforward" else self.sessions).serve(call, socket)
        except ApiError as error:
            await socket.send_denial_response(answer(request, error.status, error.code))

    async def _respond(self, request: Request) -> Response:
        wanted = self._authorize(request)
        user = wanted.user
        target = parse_path(self.registry.catalog, request.url.path)
        if target is None:
            return issuer.respond(self.token_requests.tokens, request) or plain.respond(self.openapi, request)
        # Counted is only what names a resource that there is: else anybody could make series without end.
        request.state.wanted = wanted
        call = Call(request, user, target)
        if request.method not in _METHODS:
            raise status.method_not_allowed()
        if target.subresource in ("", "status", "scale", "binding", "eviction"):
            check_accept(request, listing=request.method == "GET" and not target.name)
        self._admit(call)
        response = await self._serve(call, target)
        if call.resource.deprecation:
            warn(response, (call.resource.deprecation,))
        return response

    def _authorize(self, request: Request) -> Attributes:
        """Return what a request wants, of the user that it is made as.

        Raises:
            ApiError: 401, or 403; before anybody looks whether there is such a path.
        """
        wanted = of_request(request, self.authentication.of(request))
        wanted = replace(wanted, user=self.impersonation.user_of(request, wanted))
        self.registry.authorizer.check(wanted)
        return wanted

    @staticmethod
    def _admit(call: Call) -> None:
        resource, target = call.resource, call.target
        allowed = resource.verbs
        if target.subresource:
            allowed = next(sub.verbs for sub in resource.subresources if sub.name == target.subresource)
        if target.name and resource.verbs == ("create",):
            raise status.no_such_resource()
        verb = call.verb
        custom = isinstance(resource, CustomResource)
        if verb not in allowed:
            raise status.unsupported_verb(verb, resource) if custom else status.method_not_allowed()
        on_object = verb in ("get", "update", "patch", "delete") or bool(target.subresource)
        makes = custom and verb == "create"
        if custom and verb in ("update", "patch") and not target.name:
            raise status.bad_request("name must be provided")
        if on_object != bool(target.name) and verb != "watch" and not makes:
            raise status.method_not_allowed()
        if resource.namespaced and not target.namespace and resource.stored:
            if verb in ("create", "deletecollection"):
                raise status.method_not_allowed()
            if target.name:
                raise status.no_such_resource()

    async def _serve(self, call: Call, target: Target) -> Response:
        match target.subresource:
            case "proxy":
                return await self.proxy.serve(call)
            case "log":
                return await logs.serve(self.registry, self.clock, self.log_source, call)
            case "exec" | "attach":
                self.sessions.target(call)
                raise no_upgrade(call)
            case "portforward":
                self.port_forward.target(call)
                raise no_upgrade(call)
            case "scale" | "binding" | "eviction":
                write = {"scale": scale.serve, "binding": binding.serve, "eviction": eviction.serve}[target.subresource]
                return self._written(call, await write(self.registry, call))
            case _:
                pass
        if self.resource_metrics is not None and call.resource in (NODE_METRICS, POD_METRICS):
            return self._metrics(call, self.resource_metrics)
        if not call.resource.stored or target.subresource == "token":
            asked = self.reviews if not call.resource.stored else self.token_requests
            return self._written(call, await asked.serve(call))
        return await self._verb(call)

    async def _verb(self, call: Call) -> Response:
        writes = {
            "create": writing.create,
            "update": writing.replace,
            "patch": patching.patch,
            "delete": deleting.delete,
        }
        write = writes.get(call.verb)
        if write is not None:
            return self._written(call, await write(self.registry, call))
        if call.verb == "deletecollection":
            return self._listed(call, *await deleting.delete_collection(self.registry, call))
        if call.verb == "watch":
            form = wanted_form(call.request)
            if form.media == protobuf.MEDIA:
                raise status.not_acceptable()
            parts = self.parts if form.media == JSON else PLAIN
            watch = Watch(self.registry.store, self.clock, call, form, parts, self.closing)
            return StreamingResponse(watch.stream(), media_type=JSON)
        if call.verb == "get":
            return self._got(call)
        found, list_meta = reading.list_objects(self.registry.store, call)
        return self._listed(call, found, list_meta, parts=self.parts)

    def _metrics(self, call: Call, metrics: ResourceMetrics) -> Response:
        if call.verb == "list":
            return self._listed(call, metrics.list(call), {})
        return self._object(call, metrics.get(call), wanted_form(call.request), HTTPStatus.OK, ())

    def _got(self, call: Call) -> Response:
        form = wanted_form(call.request)
        reading.check_get(call, self.registry.store)
        obj = self.registry.read(call.resource, call.target.namespace, call.target.name)
        return self._object(call, obj, form, HTTPStatus.OK, ())

    def _object(self, call: Call, obj: dict[str, object], form: Form, code: int, warnings: tuple[str, ...]) -> Response:
        how = Shown(form, call.query("includeObject"), self.clock.now(), PLAIN)
        shown = shown_object(call.resource, obj, how)
        return answer(call.request, shown, code, media=form.media, warnings=warnings)

    def _listed(
        self,
        call: Call,
        objects: list[Object],
        list_meta: Object,
        warnings: tuple[str, ...] = (),
        *,
        parts: Parts = PLAIN,
    ) -> Response:
        form = wanted_form(call.request)
        if form.media != JSON or is_pretty(call.request):
            parts = PLAIN
        how = Shown(form, call.query("includeObject"), self.clock.now(), parts)
        return answer(
            call.request, shown_list(call.resource, objects, list_meta, how), media=form.media, warnings=warnings
        )

    def _written(self, call: Call, written: writing.Written) -> Response:
        form = wanted_form(call.request)
        if not written.is_object:
            return answer(call.request, written.body, written.code, media=form.media, warnings=written.warnings)
        how = Shown(form, call.query("includeObject"), self.clock.now(), PLAIN)
        shown = shown_object(written.shown_as or call.resource, written.body, how)
        return answer(call.request, shown, written.code, media=form.media, warnings=written.warnings)
