"""One OpenTelemetry span a request, made when it ends from the times that its metrics are made of. Off by default.

Span and attribute names are vLLM's, which follow the GenAI semantic conventions where those have a name. A span tells
sizes, settings and times: never a word of prompt or answer. Its parent is whatever context the request came with
(W3C `traceparent`), so a client's trace shows what the server did for it.
"""

import importlib
import threading
from typing import Any, Protocol
from urllib.parse import urlsplit

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, Status, StatusCode, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import ASGIApp, Receive, Scope, Send

from midwatch_contracts.command import CommandError
from midwatch_serving.sequence import Sequence

SPAN = "llm_request"
FLUSH_S = 3.0
"""Seconds that ending may wait for a collector that does not answer."""
_HEADERS = (b"traceparent", b"tracestate")


class Tracing(Protocol):
    """What the engine tells of its requests."""

    def submitted(self, sequence: Sequence) -> None:
        """Note a request, called where its client's context is current."""
        ...

    def finished(self, sequence: Sequence) -> None:
        """Note its end, whatever the reason."""
        ...


class NoTracing:
    """Tells nobody."""

    def submitted(self, sequence: Sequence) -> None:
        """Do nothing."""

    def finished(self, sequence: Sequence) -> None:
        """Do nothing."""


class SpanTracing:
    """Makes spans with a provider of the OpenTelemetry SDK."""

    def __init__(self, provider: TracerProvider, model_name: str) -> None:
        self._tracer = provider.get_tracer("midwatch.serving")
        self._model_name = model_name
        self._parents: dict[str, Context] = {}

    def submitted(self, sequence: Sequence) -> None:
        """Keep the current context as the parent of the span to come."""
        self._parents[sequence.id] = otel_context.get_current()

    def finished(self, sequence: Sequence) -> None:
        """Make the span; ending a request twice makes one."""
        parent = self._parents.pop(sequence.id, None)
        if parent is None:
            return
        span = self._tracer.start_span(
            SPAN,
            context=parent,
            kind=SpanKind.SERVER,
            attributes=attributes(sequence, self._model_name),
            start_time=_nanoseconds(sequence.arrived),
        )
        if sequence.finish_reason == "error":
            span.set_status(Status(StatusCode.ERROR, "the request was not served to its end"))
        end = sequence.last_token if sequence.finished is None else sequence.finished
        span.end(_nanoseconds(sequence.arrived if end is None else end))


class TraceContextMiddleware:
    """Makes the trace context of a request's headers the current one while it is served."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._propagator = TraceContextTextMapPropagator()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request inside its context."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers: list[tuple[bytes, bytes]] = scope["headers"]
        carrier = {name.decode("ascii"): value.decode("latin-1") for name, value in headers if name in _HEADERS}
        token = otel_context.attach(self._propagator.extract(carrier))
        try:
            await self._app(scope, receive, send)
        finally:
            otel_context.detach(token)


class OtlpExport:
    """A provider that sends spans to an OTLP collector over HTTP, in a thread of its own."""

    def __init__(self, endpoint: str, *, version: str) -> None:
        """`endpoint` is the whole URL, such as `http://localhost:4318/v1/traces`.

        Raises:
            CommandError: when it is no such URL, or what is needed is not installed.
        """
        parts = urlsplit(endpoint)
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            raise CommandError(
                f"--otlp-traces-endpoint {endpoint!r}: give the collector's whole URL, "
                "such as http://localhost:4318/v1/traces (OTLP over HTTP)"
            )
        try:
            sdk: Any = importlib.import_module("opentelemetry.sdk.trace")
            export: Any = importlib.import_module("opentelemetry.sdk.trace.export")
            resources: Any = importlib.import_module("opentelemetry.sdk.resources")
            otlp: Any = importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        except ImportError as error:
            raise CommandError(
                f"--otlp-traces-endpoint needs the OpenTelemetry SDK and its OTLP exporter ({error}): "
                "pip install 'midwatch[otel]'"
            ) from error
        resource = resources.Resource.create({"service.version": version})
        if str(resource.attributes.get("service.name", "unknown_service")).startswith("unknown_service"):
            resource = resource.merge(resources.Resource({"service.name": "midwatch-serving"}))
        self._provider: Any = sdk.TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(export.BatchSpanProcessor(otlp.OTLPSpanExporter(endpoint=endpoint)))

    @property
    def provider(self) -> TracerProvider:
        """What makes the tracers."""
        return self._provider

    def close(self) -> None:
        """Send what is left; give up after `FLUSH_S`, since a collector that is away must not hold up the end."""
        thread = threading.Thread(target=self._provider.shutdown, name="otlp-flush", daemon=True)
        thread.start()
        thread.join(FLUSH_S)


def attributes(sequence: Sequence, model_name: str) -> dict[str, str | int | float | tuple[str, ...]]:
    """Return a span's attributes; times in seconds, and only those that came to pass."""
    params = sequence.params
    found: dict[str, str | int | float | tuple[str, ...]] = {
        "gen_ai.request.id": sequence.id,
        "gen_ai.request.max_tokens": params.max_tokens,
        "gen_ai.request.temperature": params.temperature,
        "gen_ai.request.top_p": params.top_p,
        "gen_ai.response.model": model_name,
        "gen_ai.usage.prompt_tokens": len(sequence.prompt),
        "gen_ai.usage.completion_tokens": len(sequence.output),
    }
    if sequence.finish_reason is not None:
        found["gen_ai.response.finish_reasons"] = (sequence.finish_reason,)
    arrived, started = sequence.arrived, sequence.first_scheduled
    first, last = sequence.first_token, sequence.last_token
    if started is not None:
        found["gen_ai.latency.time_in_queue"] = started - arrived
    if started is not None and first is not None and last is not None:
        found |= {
            "gen_ai.latency.time_to_first_token": first - arrived,
            "gen_ai.latency.time_in_model_prefill": first - started,
            "gen_ai.latency.time_in_model_decode": last - first,
            "gen_ai.latency.time_in_model_inference": last - started,
        }
    if sequence.finished is not None:
        found["gen_ai.latency.e2e"] = sequence.finished - arrived
    return found


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
