"""A double of the Prometheus HTTP API: answers that a test gives by query, in Prometheus' own envelope."""

from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

PREFIX = "/prometheus"

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
    """type, help and unit by metric name; these names are also all that there are."""
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
        data = self._data(request.url.path.removeprefix(f"{PREFIX}/api/v1/"), given)
        if data is None:
            return _envelope({"status": "error", "errorType": "not_found", "error": "no such path"}, 404)
        warned = {"warnings": self.warnings} if self.warnings else {}
        return _envelope({"status": "success", "data": data, **warned}, 200)

    def _data(self, path: str, given: dict[str, str]) -> Any:
        match path:
            case "query":
                return self._vector(given["query"], float(given["time"]))
            case "query_range":
                return self._matrix(given["query"], float(given["start"]), float(given["end"]))
            case "label/__name__/values":
                return sorted(self.metadata)
            case _:
                documents: dict[str, Any] = {
                    "metadata": {name: [entry] for name, entry in self.metadata.items()},
                    "targets": {"activeTargets": self.targets},
                    "alerts": {"alerts": self.alerts},
                }
                return documents.get(path)

    def _vector(self, query: str, moment: float) -> dict[str, Any]:
        if query.isdecimal():
            return {"resultType": "scalar", "result": [moment, query]}
        found = self.vectors.get(query, [])
        return {"resultType": "vector", "result": [{"metric": m, "value": [moment, v]} for m, v in found]}

    def _matrix(self, query: str, start: float, end: float) -> dict[str, Any]:
        found = [
            {"metric": labels, "values": [point for point in points if start <= point[0] <= end]}
            for labels, points in self.courses.get(query, [])
        ]
        return {"resultType": "matrix", "result": [series for series in found if series["values"]]}


def _envelope(body: dict[str, Any], code: int) -> Response:
    return Response(orjson.dumps(body), status_code=code, media_type="application/json")
