"""A double of the Prometheus HTTP API: answers that a test gives by query, in Prometheus' own envelope."""

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from midwatch_contracts.promql import VectorSelector, parse

PREFIX = "/prometheus"
_DURATION = re.compile(r"(?:[0-9]+(?:ms|[smhdwy]))+|[0-9]+(?:\.[0-9]*)?")
"""What Prometheus takes: units with whole numbers, or seconds."""

Labels = dict[str, str]
Points = list[tuple[float, str]]
"""(Unix seconds, value as text)."""


@dataclass
class MetricsDouble:
    """One API. What was not given is answered as a Prometheus with no such series does."""

    vectors: dict[str, list[tuple[Labels, str]]] = field(default_factory=dict[str, list[tuple[Labels, str]]])
    """(labels, value as text) by query."""
    courses: dict[str, list[tuple[Labels, Points]]] = field(default_factory=dict[str, list[tuple[Labels, Points]]])
    """(labels, points) by query."""
    metadata: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    """type, help and unit by metric name; without `series` these names are also all that there are."""
    series: list[Labels] = field(default_factory=list[Labels])
    """Series by all their labels, `__name__` among them: what names, labels, values and counts are answered from."""
    rules: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """Rules of one group, of either type."""
    lacks: frozenset[str] = frozenset()
    """Paths that this API does not have, such as `metadata`."""
    targets: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    alerts: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    warnings: list[str] = field(default_factory=list[str])
    """What every answer warns of."""
    failure: tuple[int, str, str] | None = None
    """(HTTP status, errorType, error) for every request."""

    async def answer(self, request: Request) -> Response:
        """Answer one request."""
        if self.failure is not None:
            code, kind, message = self.failure
            return _envelope({"status": "error", "errorType": kind, "error": message}, code)
        given = dict(request.query_params)
        if request.method == "POST":
            form = await request.form()
            given |= {name: str(value) for name, value in form.items()}
        limit = given.get("timeout", "1s")
        if not _DURATION.fullmatch(limit):
            told = f'invalid parameter "timeout": cannot parse "{limit}" to a valid duration'
            return _envelope({"status": "error", "errorType": "bad_data", "error": told}, 400)
        path = request.url.path.removeprefix(f"{PREFIX}/api/v1/")
        if path in self.lacks:
            return PlainTextResponse("404 page not found", status_code=404)
        data = self._data(path, given)
        if data is None:
            return _envelope({"status": "error", "errorType": "not_found", "error": "no such path"}, 404)
        warned = {"warnings": self.warnings} if self.warnings else {}
        return _envelope({"status": "success", "data": data, **warned}, 200)

    def _data(self, path: str, given: dict[str, str]) -> Any:
        match path.split("/"):
            case ["query"]:
                return self._vector(given["query"], float(given["time"]))
            case ["query_range"]:
                return self._matrix(given["query"], float(given["start"]), float(given["end"]))
            case _:
                return self._catalogue(path, given)

    def _catalogue(self, path: str, given: dict[str, str]) -> Any:
        match path.split("/"):
            case ["label", "__name__", "values"]:
                return sorted({one["__name__"] for one in self.series} or self.metadata)
            case ["label", name, "values"]:
                return sorted({one[name] for one in self.series if name in one})
            case ["labels"]:
                return sorted({name for one in self._matching(given.get("match[]")) for name in one})
            case ["series"]:
                return self._matching(given["match[]"])
            case ["rules"]:
                wanted = {"record": "recording", "alert": "alerting"}[given["type"]]
                return {"groups": [{"name": "all", "rules": [rule for rule in self.rules if rule["type"] == wanted]}]}
            case _:
                documents: dict[str, Any] = {
                    "metadata": {name: [entry] for name, entry in self.metadata.items()},
                    "targets": {"activeTargets": self.targets},
                    "alerts": {"alerts": self.alerts},
                }
                return documents.get(path)

    def _matching(self, selector: str | None) -> list[Labels]:
        """Return the series that a selector of equalities selects; all for none."""
        if selector is None:
            return self.series
        parsed = parse(selector)
        wanted = {one.name: one.value for one in parsed.matchers} if isinstance(parsed, VectorSelector) else {}
        return [one for one in self.series if all(one.get(name) == value for name, value in wanted.items())]

    def _vector(self, query: str, moment: float) -> dict[str, Any]:
        if query.isdecimal():
            return {"resultType": "scalar", "result": [moment, query]}
        found = self.vectors.get(query, [])
        if query.startswith("count by (__name__)"):
            counts = Counter(one["__name__"] for one in self.series)
            found = [({"__name__": name}, str(count)) for name, count in counts.items()]
        return {"resultType": "vector", "result": [{"metric": m, "value": [moment, v]} for m, v in found]}

    def _matrix(self, query: str, start: float, end: float) -> dict[str, Any]:
        found = [
            {"metric": labels, "values": [point for point in points if start <= point[0] <= end]}
            for labels, points in self.courses.get(query, [])
        ]
        return {"resultType": "matrix", "result": [series for series in found if series["values"]]}


def _envelope(body: dict[str, Any], code: int) -> Response:
    return Response(orjson.dumps(body), status_code=code, media_type="application/json")
