"""Answers of the HTTP API in Prometheus's shapes."""

from typing import Any

from midwatch_contracts.promql import ValueType
from midwatch_lab.metrics.engine.query import Result
from midwatch_lab.metrics.numbers import sample_text


def result(found: Result) -> dict[str, Any]:
    """Return the `data` of a query."""
    if found.type is ValueType.SCALAR and found.scalar is not None:
        return {"resultType": "scalar", "result": [found.scalar[0], sample_text(found.scalar[1])]}
    if found.type is ValueType.STRING and found.text is not None:
        return {"resultType": "string", "result": list(found.text)}
    if found.type is ValueType.VECTOR:
        rows = [
            {"metric": dict(labels), "value": [points[0][0], sample_text(points[0][1])]}
            for labels, points in found.series
        ]
    else:
        rows = [
            {"metric": dict(labels), "values": [[at, sample_text(value)] for at, value in points]}
            for labels, points in found.series
        ]
    return {"resultType": found.type.value, "result": rows}
