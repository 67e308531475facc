"""The HTTP API of Prometheus: the paths under `/api/v1`, and `/-/ready`."""

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from midwatch_contracts.clock import Clock
from midwatch_contracts.promql import pretty_expr
from midwatch_lab.metrics import answers, rule_answers, target_answers
from midwatch_lab.metrics.engine.annotations import shortened
from midwatch_lab.metrics.engine.evaluate import Limits
from midwatch_lab.metrics.engine.query import Result, Span, instant, over_range, read
from midwatch_lab.metrics.errors import BadDataError, MetricsError
from midwatch_lab.metrics.labels import unescaped
from midwatch_lab.metrics.parameters import Parameters
from midwatch_lab.metrics.receiver import Receiver
from midwatch_lab.metrics.rules import Rules
from midwatch_lab.metrics.scraper import Scraper
from midwatch_lab.metrics.status import Status, nothing
from midwatch_lab.metrics.store import Store
from midwatch_lab.metrics.text_api import Texts, selected
from midwatch_lab.metrics.tree import tree
from midwatch_lab.metrics.web import application

_CODES = {"bad_data": 400, "execution": 422, "not_found": 404, "timeout": 503}
TRUNCATED = "results truncated due to limit"

Answer = Callable[[Parameters], Any]


@dataclass(frozen=True)
class Listed:
    """A list that may be cut to `limit`."""

    data: list[Any]
    limit: int | None

    def body(self) -> dict[str, Any]:
        """Return it in Prometheus's envelope, with a warning where it is cut."""
        if self.limit is None or len(self.data) <= self.limit:
            return {"status": "success", "data": self.data}
        return {"status": "success", "data": self.data[: self.limit], "warnings": [TRUNCATED]}


@dataclass(frozen=True)
class Answered:
    """The answer to a query: `limit` is how many series it may name."""

    query: str
    result: Result
    limit: int | None

    def body(self) -> dict[str, Any]:
        """Return it in Prometheus's envelope, with warnings and infos."""
        result = self.result
        warnings: list[str] = []
        if self.limit is not None and len(result.series) > self.limit:
            result = replace(result, series=result.series[: self.limit])
            warnings.append(TRUNCATED)
        found, infos = result.notes.rendered(self.query)
        notes = {"warnings": shortened(found + warnings, "warning"), "infos": shortened(infos, "info")}
        return {
            "status": "success",
            "data": answers.result(result),
            **{name: texts for name, texts in notes.items() if texts},
        }


@dataclass(frozen=True)
class Api:
    """Answers requests over a store, a scraper and rules."""

    clock: Clock
    store: Store
    scraper: Scraper
    rules: Rules
    limits: Limits
    status: Status
    receiver: Receiver | None = None
    """Takes remote writes, where they are taken."""

    def app(self) -> Starlette:
        """Return the ASGI application."""
        both, read_only = ["GET", "POST"], ["GET"]
        texts = Texts(self.clock, self.store, self.limits.lookback_ms)
        told: dict[str, Answer] = {
            "status/buildinfo": self.status.buildinfo,
            "status/config": self.status.config,
            "status/flags": self.status.flags,
            "status/runtimeinfo": self.status.runtimeinfo,
            "status/tsdb": self.status.tsdb,
            "status/tsdb/blocks": nothing({"blocks": []}),
            "status/walreplay": nothing({"min": 0, "max": 0, "current": 0}),
            "alertmanagers": nothing({"activeAlertmanagers": [], "droppedAlertmanagers": []}),
            "notifications": nothing([]),
        }
        routes: list[BaseRoute] = [
            Route("/api/v1/query", self._answers(self.query), methods=both),
            Route("/api/v1/query_range", self._answers(self.query_range), methods=both),
            Route("/api/v1/series", self._answers(self.series), methods=both),
            Route("/api/v1/format_query", self._answers(self.format_query), methods=both),
            Route("/api/v1/parse_query", self._answers(self.parse_query), methods=both),
            Route("/api/v1/query_exemplars", self._answers(self.exemplars), methods=both),
            Route("/api/v1/labels", self._answers(self.labels), methods=both),
            Route("/api/v1/label/{name}/values", self.label_values, methods=read_only),
            Route("/api/v1/metadata", self._answers(self.metadata), methods=read_only),
            Route("/api/v1/targets", self._answers(self.targets), methods=read_only),
            Route("/api/v1/targets/metadata", self._answers(self.target_metadata), methods=read_only),
            Route("/api/v1/targets/relabel_steps", self._answers(self.relabel_steps), methods=read_only),
            Route("/api/v1/scrape_pools", self._answers(self.scrape_pools), methods=read_only),
            Route("/api/v1/rules", self._answers(self.rule_groups), methods=read_only),
            Route("/api/v1/alerts", self._answers(self.alerts), methods=read_only),
            *(Route(f"/api/v1/{path}", self._answers(answer), methods=read_only) for path, answer in told.items()),
            Route("/api/v1/write", self.write, methods=["POST"]),
            Route("/federate", texts.federate, methods=read_only),
            Route("/samples", texts.samples, methods=read_only),
            Route("/-/ready", _ready, methods=["GET", "HEAD"]),
            Route("/-/healthy", _healthy, methods=["GET", "HEAD"]),
            Route("/", _home, methods=read_only),
        ]
        return application(routes)

    def query(self, parameters: Parameters) -> Answered:
        """Answer an instant query."""
        limit = parameters.limit()
        at = parameters.moment("time", self.clock.now())
        limits = self._limits(parameters)
        expr = read(parameters.text("query"), limits.features)
        return Answered(parameters.text("query"), instant(self.store, expr, at, limits), limit)

    def query_range(self, parameters: Parameters) -> Answered:
        """Answer a range query."""
        limit = parameters.limit()
        span = Span(parameters.time("start"), parameters.time("end"), parameters.duration("step"))
        span.check(self.limits)
        limits = self._limits(parameters)
        expr = read(parameters.text("query"), limits.features)
        return Answered(parameters.text("query"), over_range(self.store, expr, span, limits), limit)

    def format_query(self, parameters: Parameters) -> str:
        """Return a query in Prometheus's layout."""
        return pretty_expr(read(parameters.text("query"), self.limits.features))

    def parse_query(self, parameters: Parameters) -> dict[str, Any]:
        """Return a query's syntax tree."""
        return tree(read(parameters.text("query"), self.limits.features))

    def exemplars(self, parameters: Parameters) -> list[Any]:
        """Return nothing for a query that parses: exemplars are not kept."""
        if parameters.moment("end", math.inf) < parameters.moment("start", -math.inf):
            raise BadDataError("end timestamp must not be before start timestamp")
        read(parameters.text("query"), self.limits.features)
        return []

    def series(self, parameters: Parameters) -> Listed:
        """Return the label sets of the series that `match[]` selects."""
        limit = parameters.limit()
        return Listed([dict(series.labels) for series in selected(self.store, parameters, required=True)], limit)

    def labels(self, parameters: Parameters) -> Listed:
        """Return label names."""
        limit = parameters.limit()
        names = {name for series in selected(self.store, parameters, required=False) for name, _ in series.labels}
        return Listed(sorted(names), limit)

    async def label_values(self, request: Request) -> Response:
        """Return the values of one label."""
        return await _guarded(request, lambda parameters: self._values(request.path_params["name"], parameters))

    def _values(self, name: str, parameters: Parameters) -> Listed:
        limit = parameters.limit()
        name = unescaped(name)
        found = selected(self.store, parameters, required=False)
        values = {series.lookup[name] for series in found if name in series.lookup}
        return Listed(sorted(values), limit)

    def metadata(self, parameters: Parameters) -> dict[str, Any]:
        """Return types, units and help texts of scraped metrics."""
        limits = parameters.number("limit"), parameters.number("limit_per_metric")
        return target_answers.metadata(self.scraper.metadata(), parameters.get("metric"), *limits)

    def target_metadata(self, parameters: Parameters) -> list[dict[str, Any]]:
        """Return what each target says of its metrics."""
        limit = parameters.number("limit")
        matchers = parameters.matchers("match_target")
        return target_answers.target_metadata(self.scraper, matchers, parameters.get("metric"), limit)

    def targets(self, parameters: Parameters) -> dict[str, Any]:
        """Return the targets."""
        state = (parameters.get("state") or "any").lower()
        return target_answers.targets(self.scraper, state, parameters.get("scrapePool"))

    def relabel_steps(self, parameters: Parameters) -> dict[str, Any]:
        """Return what the rules of a job make of labels, one by one."""
        pool = parameters.get("scrapePool")
        if pool is None:
            raise BadDataError("no scrapePool parameter provided")
        return target_answers.relabel_steps(self.scraper, pool, parameters.label_set("labels"))

    def scrape_pools(self, _parameters: Parameters) -> dict[str, Any]:
        """Return the names of the jobs."""
        return {"scrapePools": target_answers.pools(self.scraper)}

    def rule_groups(self, parameters: Parameters) -> dict[str, Any]:
        """Return the rules."""
        return rule_answers.rule_groups(self.rules, rule_answers.Wanted.of(parameters))

    def alerts(self, _parameters: Parameters) -> dict[str, Any]:
        """Return the alerts."""
        return {"alerts": [rule_answers.alert(found) for found in self.rules.alerts()]}

    async def write(self, request: Request) -> Response:
        """Take samples by remote write."""
        if self.receiver is None:
            text = "remote write receiver needs to be enabled with --enable-remote-write-receiver\n"
            return PlainTextResponse(text, 404)
        return await self.receiver.answer(request)

    def _limits(self, parameters: Parameters) -> Limits:
        limits = self.limits
        if parameters.get("timeout") is not None:
            limits = replace(limits, timeout_s=min(limits.timeout_s, parameters.duration("timeout")))
        if parameters.get("lookback_delta") is not None:
            lookback = round(parameters.duration("lookback_delta") * 1000)
            limits = replace(limits, lookback_ms=lookback if lookback > 0 else limits.lookback_ms)
        return limits

    def _answers(self, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            return await _guarded(request, answer)

        return endpoint


async def _guarded(request: Request, answer: Answer) -> Response:
    """Answer in Prometheus's envelope, errors too."""
    try:
        found = answer(await Parameters.of(request))
    except MetricsError as error:
        body = {"status": "error", "errorType": error.kind, "error": str(error)}
        return _json(body, _CODES.get(error.kind, 500))
    if isinstance(found, Answered | Listed):
        return _json(found.body())
    return _json({"status": "success", "data": found})


def _json(body: dict[str, Any], code: int = 200) -> Response:
    return Response(orjson.dumps(body), code, media_type="application/json")


async def _home(_request: Request) -> Response:
    return PlainTextResponse("The lab's Prometheus: /api/v1/query and its kin, /federate, /samples, /-/ready.\n")


async def _ready(_request: Request) -> Response:
    return PlainTextResponse("Prometheus Server is Ready.\n")


async def _healthy(_request: Request) -> Response:
    return PlainTextResponse("Prometheus Server is Healthy.\n")
