"""What an incident's stage hands need to read from the lab's Prometheus API."""

import math
from dataclasses import dataclass
from typing import Any

import httpx2

from midwatch_contracts.alert import Alert
from midwatch_contracts.entity import Entity
from midwatch_contracts.times import duration_text

TOKENS = "vllm:generation_tokens_total"
TTFT = "vllm:time_to_first_token_seconds_bucket"


def ttft_p95(service: Entity, window_s: float) -> str:
    """Return the PromQL of the p95 time to first token of one Service over a window, in seconds."""
    selector = f'{TTFT}{{namespace="{service.namespace}",service="{service.name}"}}'
    return f"histogram_quantile(0.95, sum by (le) (rate({selector}[{duration_text(window_s)}])))"


def token_rate(service: Entity, window_s: float) -> str:
    """Return the PromQL of the tokens that all replicas of a Service generate a second, over a window."""
    selector = f'{TOKENS}{{namespace="{service.namespace}",service="{service.name}"}}'
    return f"sum(rate({selector}[{duration_text(window_s)}]))"


@dataclass(frozen=True)
class Prometheus:
    """A Prometheus-compatible API at `url`, read over `http`."""

    url: str
    http: httpx2.AsyncClient

    async def series(self, query: str) -> list[tuple[dict[str, str], float]]:
        """Return the instant answer as (labels, value), NaN left out."""
        answer = await self._get("/api/v1/query", query=query)
        found = [(dict(item["metric"]), float(item["value"][1])) for item in answer["result"]]
        return [(labels, value) for labels, value in found if not math.isnan(value)]

    async def value(self, query: str) -> float | None:
        """Return the first value of the instant answer, or None where there is none."""
        found = await self.series(query)
        return found[0][1] if found else None

    async def firing(self, name: str) -> list[Alert]:
        """Return the firing alerts of one name."""
        answer = await self._get("/api/v1/alerts")
        return [
            Alert(labels=item["labels"], annotations=item["annotations"], starts_at=item["activeAt"])
            for item in answer["alerts"]
            if item["state"] == "firing" and item["labels"].get("alertname") == name
        ]

    async def _get(self, path: str, **parameters: str) -> Any:
        reply = await self.http.get(self.url + path, params=parameters)
        reply.raise_for_status()
        return reply.json()["data"]
