"""The lab's Prometheus alone, filled with a fleet's samples, as a process of its own: `python -m` this module.

It says in one JSON line where it answers and what filling it cost, and ends with its standard input.
"""

import asyncio
import json
import os
import socket
import sys

import uvicorn

from midwatch_contracts.clock import VirtualClock
from midwatch_lab.bench.fleet import Fleet
from midwatch_lab.bench.ingest import append
from midwatch_lab.bench.processes import resident_bytes
from midwatch_lab.metrics.retention import Retention
from midwatch_lab.metrics.service import MetricsService


async def main(pods: int, scrapes: int) -> None:
    """Serve until standard input ends."""
    fleet = Fleet(pods, scrapes)
    service = MetricsService(VirtualClock(fleet.end_s), tuple, retention=Retention(1e9, None))
    before = resident_bytes(os.getpid())
    seconds = append(fleet, service.store)
    taken = resident_bytes(os.getpid()) - before
    # With its protocol named, asyncio turns Nagle's algorithm off; else an answer in two parts waits for 40 ms.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = uvicorn.Server(uvicorn.Config(service.app, log_level="warning", lifespan="off"))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        found = {"url": url, "append_s": seconds, "resident": taken, "counted": service.store.size_bytes()}
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)
        server.should_exit = True
        await serving


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
