"""Spans: one a request, under the client's trace, with times and sizes and never a word of text."""

import asyncio
import sys
from collections.abc import Generator
from typing import Any

import httpx2
import pytest
from opentelemetry import context as otel_context
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from midwatch_contracts.clock import VirtualClock
from midwatch_contracts.command import CommandError
from midwatch_serving.block_manager import BlockManager
from midwatch_serving.engine import Engine
from midwatch_serving.metrics import CacheInfo, Metrics
from midwatch_serving.model import Model
from midwatch_serving.sampling import Sample, SamplingParams
from midwatch_serving.scheduler import Limits, Scheduler
from midwatch_serving.sequence import FinishReason, Sequence
from midwatch_serving.throttle import Throttle
from midwatch_serving.tracing import OtlpExport, SpanTracing, TraceContextMiddleware
from midwatch_serving.work import StepResult, Work

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def spans() -> Generator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    yield exporter
    exporter.shutdown()


@pytest.fixture
def tracing(spans: InMemorySpanExporter) -> SpanTracing:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return SpanTracing(provider, "tiny")


def told(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def sequence(**fields: Any) -> Sequence:
    return Sequence("r1", (7, 8, 9), SamplingParams(5, temperature=0.5, top_p=0.9), arrived=100.0, **fields)


def ended(made: Sequence, reason: FinishReason, *, tokens: int = 2) -> Sequence:
    made.first_scheduled, made.finish_reason, made.finished = 100.5, reason, 103.0
    if tokens:
        made.output.extend(range(tokens))
        made.first_token, made.last_token = 101.0, 102.5
    return made


def test_a_span_tells_sizes_settings_and_times_under_vllms_names(
    tracing: SpanTracing, spans: InMemorySpanExporter
) -> None:
    asked = sequence()
    tracing.submitted(asked)
    tracing.finished(ended(asked, "stop"))
    (span,) = spans.get_finished_spans()
    assert (span.name, span.kind) == ("llm_request", SpanKind.SERVER)
    assert (span.start_time, span.end_time) == (100_000_000_000, 103_000_000_000)
    assert told(span) == {
        "gen_ai.request.id": "r1",
        "gen_ai.request.max_tokens": 5,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_p": 0.9,
        "gen_ai.response.model": "tiny",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.prompt_tokens": 3,
        "gen_ai.usage.completion_tokens": 2,
        "gen_ai.latency.time_in_queue": 0.5,
        "gen_ai.latency.time_to_first_token": 1.0,
        "gen_ai.latency.time_in_model_prefill": 0.5,
        "gen_ai.latency.time_in_model_decode": 1.5,
        "gen_ai.latency.time_in_model_inference": 2.0,
        "gen_ai.latency.e2e": 3.0,
    }


def test_a_request_that_ends_before_its_first_token_has_no_times_of_tokens(
    tracing: SpanTracing, spans: InMemorySpanExporter
) -> None:
    asked = sequence()
    tracing.submitted(asked)
    tracing.finished(ended(asked, "error", tokens=0))
    (span,) = spans.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert {name for name in told(span) if name.startswith("gen_ai.latency")} == {
        "gen_ai.latency.time_in_queue",
        "gen_ai.latency.e2e",
    }


def test_ending_twice_makes_one_span_and_nothing_is_kept(tracing: SpanTracing, spans: InMemorySpanExporter) -> None:
    asked = sequence()
    tracing.submitted(asked)
    ended(asked, "abort")
    tracing.finished(asked)
    tracing.finished(asked)
    assert len(spans.get_finished_spans()) == 1
    assert not tracing._parents  # pyright: ignore[reportPrivateUsage] (memory must not grow with requests)


@pytest.mark.anyio
async def test_the_span_belongs_to_the_trace_that_the_headers_name(
    tracing: SpanTracing, spans: InMemorySpanExporter
) -> None:
    async def answer(_request: Request) -> Response:
        asked = sequence()
        tracing.submitted(asked)
        tracing.finished(ended(asked, "length"))
        return PlainTextResponse("")

    before = otel_context.get_current()
    app = TraceContextMiddleware(Starlette(routes=[Route("/", answer)]))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://serving") as client:
        await client.get("/", headers={"traceparent": PARENT})
        await client.get("/")
        await client.get("/", headers={"traceparent": "nonsense"})
    named, alone, broken = spans.get_finished_spans()
    assert named.parent is not None
    assert format(named.parent.span_id, "016x") == "b7ad6b7169203331"
    assert format(named.parent.trace_id, "032x") == "0af7651916cd43dd8448eb211c80319c"
    assert alone.parent is None
    assert broken.parent is None
    assert otel_context.get_current() == before


class Echo:
    """An executor that chooses token 65 at once."""

    def execute(self, work: list[Work]) -> StepResult:
        return StepResult([None if w.output_index is None else Sample(65) for w in work], 0.0)


@pytest.mark.anyio
async def test_the_engine_makes_one_span_a_request_however_it_ends(
    tracing: SpanTracing, spans: InMemorySpanExporter, model: Model
) -> None:
    clock = VirtualClock(auto=True)
    scheduler = Scheduler(BlockManager(64, 4), Limits(4, 64), max_model_len=256, clock=clock)
    metrics = Metrics(scheduler, model_name="tiny", max_model_len=256, cache=CacheInfo(4, 64, 64))
    engine = Engine(
        scheduler, Echo(), model.tokenizer, metrics=metrics, clock=clock, throttle=Throttle(None), tracing=tracing
    )
    prompt = tuple(model.tokenizer.encode("the secret word is xyzzy"))
    runs = engine.submit("runs", prompt, SamplingParams(3))
    engine.submit("goes", prompt, SamplingParams(3))
    engine.abort("goes")
    running = asyncio.create_task(engine.run())
    async for _ in runs:
        pass
    running.cancel()
    await asyncio.wait({running})
    made = {told(span)["gen_ai.request.id"]: told(span) for span in spans.get_finished_spans()}
    assert {name: one["gen_ai.response.finish_reasons"] for name, one in made.items()} == {
        "goes": ("abort",),
        "runs": ("length",),
    }
    assert made["runs"]["gen_ai.usage.completion_tokens"] == 3
    for span in spans.get_finished_spans():
        assert "xyzzy" not in span.to_json()


def test_without_the_exporter_the_error_names_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(CommandError, match=r"pip install 'midwatch\[otel\]'"):
        OtlpExport("http://127.0.0.1:4318/v1/traces", version="1")


@pytest.mark.parametrize("endpoint", ["localhost:4317", "grpc://127.0.0.1:4317", "http://", "/v1/traces"])
def test_an_endpoint_that_is_no_http_url_is_refused(endpoint: str) -> None:
    with pytest.raises(CommandError, match="the collector's whole URL"):
        OtlpExport(endpoint, version="1")
