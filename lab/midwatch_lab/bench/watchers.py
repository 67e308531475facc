"""Many watchers in a process of their own: `python -m midwatch_lab.bench.watchers`, and what they saw.

A write carries the moment at which it was sent, on the clock that all processes of the system share; a watcher takes
the time when it has the event whole. So a figure covers the write, the server, the connection and the reading.
"""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import httpx2

from midwatch_lab.bench.sides import NAMESPACE, Side
from midwatch_lab.kinds.resources import CONFIGMAPS
from midwatch_lab.original import unverified

_PATH: Final = CONFIGMAPS.path(NAMESPACE)
_PAUSE_S: Final = 0.02
_PATIENCE_S: Final = 30.0
_ANSWER_MAX: Final = 64 * 1024 * 1024


@dataclass(frozen=True)
class Seen:
    """What watchers saw of the writes, in ms: the moment at which the first and at which the last had each event."""

    first_ms: Sequence[float]
    last_ms: Sequence[float]
    lost: int


async def measure(side: Side, watchers: int, writes: int) -> Seen:
    """Open the watches, write so often, and return what the watchers saw."""
    body = {"metadata": {"name": "watched"}, "data": {"sent": "0"}}
    made = (await side.http.post(_PATH, json=body)).raise_for_status().json()
    order = {"url": side.url, "headers": side.headers, "watchers": watchers, "writes": writes}
    order["version"] = made["metadata"]["resourceVersion"]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "midwatch_lab.bench.watchers", json.dumps(order),
        stdout=asyncio.subprocess.PIPE, limit=_ANSWER_MAX,
    )  # fmt: skip
    if process.stdout is None:
        raise RuntimeError("the watchers' answer cannot be read")
    try:
        await process.stdout.readline()
        headers = {"content-type": "application/merge-patch+json"}
        for _ in range(writes):
            change = {"data": {"sent": repr(time.monotonic())}}
            (await side.http.patch(f"{_PATH}/watched", json=change, headers=headers)).raise_for_status()
            await asyncio.sleep(_PAUSE_S)
        found: Any = json.loads(await process.stdout.readline())
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await side.http.delete(f"{_PATH}/watched")
    return Seen(found["first_ms"], found["last_ms"], found["lost"])


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which a share of all lies."""
    return statistics.quantiles(values, n=1000, method="inclusive")[round(share * 1000) - 1]


async def _watch_all(order: dict[str, Any]) -> dict[str, Any]:
    limits = httpx2.Limits(max_connections=None)
    options: dict[str, Any] = {"verify": unverified(), "headers": order["headers"], "limits": limits, "timeout": None}
    delays: dict[str, list[float]] = {}
    open_ = asyncio.Semaphore(0)
    async with httpx2.AsyncClient(base_url=order["url"], trust_env=False, **options) as http:

        async def watch() -> None:
            query = {"watch": "true", "resourceVersion": order["version"]}
            async with http.stream("GET", _PATH, params=query) as response:
                response.raise_for_status()
                open_.release()
                left = order["writes"]
                async for line in response.aiter_lines():
                    now = time.monotonic()
                    sent = json.loads(line)["object"]["data"]["sent"]
                    delays.setdefault(sent, []).append((now - float(sent)) * 1000)
                    left -= 1
                    if not left:
                        return

        tasks = [asyncio.create_task(watch()) for _ in range(order["watchers"])]
        for _ in tasks:
            await open_.acquire()
        sys.stdout.write("open\n")
        sys.stdout.flush()
        patience = _PATIENCE_S + order["writes"] * _PAUSE_S * 10
        _, late = await asyncio.wait(tasks, timeout=patience)
        for task in late:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    seen = sum(len(times) for times in delays.values())
    return {
        "first_ms": [min(times) for times in delays.values()],
        "last_ms": [max(times) for times in delays.values()],
        "lost": order["watchers"] * order["writes"] - seen,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(_watch_all(json.loads(sys.argv[1])))) + "\n")
