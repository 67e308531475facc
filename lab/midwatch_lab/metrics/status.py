"""The status pages of the HTTP API: what runs here, with which settings, and how much it holds."""

import asyncio
import os
import platform
import socket
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from midwatch_contracts.clock import Clock
from midwatch_contracts.promql import duration_literal
from midwatch_contracts.times import rfc3339
from midwatch_lab.metrics.engine.evaluate import Limits
from midwatch_lab.metrics.labels import NAME
from midwatch_lab.metrics.parameters import Parameters
from midwatch_lab.metrics.scrape_config import Job
from midwatch_lab.metrics.scrape_config_text import jobs_text
from midwatch_lab.metrics.store import Store

VERSION: Final = "3.16.0"
"""The version of Prometheus whose answers these are."""
_LISTED: Final = 10


@dataclass
class Status:
    """Tells of a server."""

    clock: Clock
    store: Store
    limits: Limits
    interval_s: float
    timeout_s: float
    jobs: Sequence[Job] = ()
    remote_write: bool = False
    started_s: float = field(init=False)

    def __post_init__(self) -> None:
        self.started_s = self.clock.now()

    def buildinfo(self, _parameters: Parameters) -> dict[str, str]:
        """Say what answers here."""
        return {
            "version": VERSION,
            "revision": "midwatch-lab",
            "branch": "",
            "buildUser": "",
            "buildDate": "",
            "goVersion": f"python{platform.python_version()}",
        }

    def config(self, _parameters: Parameters) -> dict[str, str]:
        """Return the configuration as YAML."""
        return {"yaml": jobs_text(self.jobs, self.interval_s, self.timeout_s)}

    def flags(self, _parameters: Parameters) -> dict[str, str]:
        """Return the settings under the names of the original's flags."""
        limits = self.limits
        return {
            "query.lookback-delta": _duration(limits.lookback_ms / 1000),
            "query.max-samples": str(limits.samples),
            "query.timeout": _duration(limits.timeout_s),
            "storage.tsdb.retention.time": _duration(self.store.retention_s),
            "web.enable-remote-write-receiver": str(self.remote_write).lower(),
        }

    def runtimeinfo(self, _parameters: Parameters) -> dict[str, Any]:
        """Say how the server fares; what has no meaning here is empty."""
        return {
            "startTime": rfc3339(self.started_s),
            "CWD": os.getcwd(),  # noqa: PTH109 (a text is told)
            "hostname": socket.gethostname(),
            "serverTime": rfc3339(self.clock.now()),
            "reloadConfigSuccess": True,
            "lastConfigTime": rfc3339(self.started_s),
            "corruptionCount": 0,
            "goroutineCount": len(asyncio.all_tasks()),
            "GOMAXPROCS": 1,
            "GOMEMLIMIT": 0,
            "GOGC": "",
            "GODEBUG": "",
            "storageRetention": _duration(self.store.retention_s),
        }

    def tsdb(self, parameters: Parameters) -> dict[str, Any]:
        """Count the series by names and labels, the largest first."""
        limit = parameters.limit() or _LISTED
        series = [one for one in self.store if one]
        pairs = Counter(pair for one in series for pair in one.labels)
        values: Counter[str] = Counter()
        sizes: Counter[str] = Counter()
        for (name, value), count in pairs.items():
            values[name] += 1
            sizes[name] += len(value.encode()) * count
        metrics = Counter({value: count for (name, value), count in pairs.items() if name == NAME})
        return {
            "headStats": {
                "numSeries": len(series),
                "numLabelPairs": len(pairs),
                "chunkCount": sum(one.chunk_count for one in series),
                "minTime": min((one.first_ms for one in series if one.first_ms is not None), default=0),
                "maxTime": max((one.last_ms for one in series), default=0),
            },
            "seriesCountByMetricName": _most(metrics, limit),
            "labelValueCountByLabelName": _most(values, limit),
            "memoryInBytesByLabelName": _most(sizes, limit),
            "seriesCountByLabelValuePair": _most({f"{name}={value}": n for (name, value), n in pairs.items()}, limit),
        }


def nothing(data: Any) -> Callable[[Parameters], Any]:
    """Return an answer that is always the same: of parts that a lab does not have."""

    def answer(_parameters: Parameters) -> Any:
        return data

    return answer


def _most(counts: Mapping[str, int], limit: int) -> list[dict[str, Any]]:
    ordered = sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:limit]
    return [{"name": name, "value": count} for name, count in ordered]


def _duration(seconds: float) -> str:
    return duration_literal(round(seconds * 1000))
