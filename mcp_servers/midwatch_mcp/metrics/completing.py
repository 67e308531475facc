"""What the name of a metric may be."""

from collections.abc import Mapping
from typing import Any, cast

from midwatch_mcp.completion import Completions, Found
from midwatch_mcp.metrics.room import MetricsRoom


def completions(room: MetricsRoom) -> Completions:
    """Return what completes the arguments of a metrics API."""

    async def metric(_others: Mapping[str, str]) -> Found:
        found = await room.client.get("label/__name__/values")
        return Found([str(name) for name in cast("list[Any]", found or [])])

    return {"metric": metric}
