"""`midwatch bench mcp`: the same questions to both servers over stdio, in turns, by the same bare client.

The peer's own client allows itself five requests a second, so calls are made so far apart that this limit is not what
is measured.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final, cast

import orjson
from mcp import Client, StdioServerParameters
from mcp.types import Tool

from midwatch_contracts.command import CommandError, Settings
from midwatch_contracts.exit_codes import Exit
from midwatch_contracts.figure import Figure
from midwatch_evals.beside_peer.bare import Bare, bare
from midwatch_evals.beside_peer.peer import fetched
from midwatch_evals.beside_peer.pods import PODS, SICK, thousand
from midwatch_lab.bench.sides import NAMESPACE
from midwatch_lab.errors import OriginalError

COMMAND: Final = "make bench-mcp"
_WARM_UP: Final = 4
_STARTS: Final = 5
_APART_S: Final = 0.25
_LIST: Final = {"kind": "Pod", "namespace": NAMESPACE}


def main(arguments: argparse.Namespace, settings: Settings) -> int:
    """Print one JSON line a figure, the peer being the baseline.

    Raises:
        CommandError: the original or the peer is not there, or an answer lacks what a reader needs.
    """
    del settings
    peer: Path = arguments.peer or fetched(arguments.folder)
    try:
        return asyncio.run(_compare(peer.resolve(), arguments.calls))
    except OriginalError as error:
        raise CommandError(str(error)) from error


async def _compare(peer: Path, calls: int) -> int:
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        (folder / "original").mkdir()
        sys.stderr.write(f"making {PODS} pods on the original …\n")
        async with thousand(folder / "original") as kubeconfig:
            ours, whole = (_ours(folder / "state", kubeconfig, server) for server in ("kubernetes", "all"))
            theirs = StdioServerParameters(command=str(peer), args=["--kubeconfig", str(kubeconfig), "--read-only"])
            for figure in await _calls(ours, theirs, calls):
                _say(figure)
            for figure in await _starts(ours, theirs, whole):
                _say(figure)
    return Exit.OK


def _ours(state: Path, kubeconfig: Path, server: str) -> StdioServerParameters:
    state.mkdir(mode=0o700, exist_ok=True)
    words = ["-m", "midwatch_agents", "--state", str(state), "--kubeconfig", str(kubeconfig), "mcp", server]
    return StdioServerParameters(command=sys.executable, args=words)


async def _calls(ours: StdioServerParameters, theirs: StdioServerParameters, calls: int) -> Iterable[Figure]:
    async with AsyncExitStack() as stack:
        us, them = [await stack.enter_async_context(bare([one.command, *one.args])) for one in (ours, theirs)]
        listed: list[tuple[float, float]] = []
        got: list[tuple[float, float]] = []
        sizes = (0, 0)
        for number in range(_WARM_UP + calls):
            name = f"chat-{number * 17 % PODS:05}"
            one, mine, my_size = await _apart(us, "kube_list", _LIST)
            two, _, its_size = await _apart(them, "pods_list_in_namespace", {"namespace": NAMESPACE})
            listed.append((one, two))
            _check(mine)
            sizes = (my_size, its_size)
            one, _, _ = await _apart(us, "kube_get", {**_LIST, "name": name})
            two, _, _ = await _apart(them, "resources_get", {"apiVersion": "v1", **_LIST, "name": name})
            got.append((one, two))
    return [
        _median("kube_list_go_time", listed[_WARM_UP:]),
        _figure("kube_list_go_bytes", sizes[0], "bytes", sizes[1]),
        _median("kube_get_go_time", got[_WARM_UP:]),
    ]


async def _apart(server: Bare, tool: str, arguments: dict[str, Any]) -> tuple[float, dict[str, Any], int]:
    await asyncio.sleep(_APART_S)
    return await server.call(tool, arguments)


def _check(answer: dict[str, Any]) -> None:
    """Hold a list to what its reader needs: counts over all, every sick pod by name, a cursor for the rest."""
    structured = cast("dict[str, Any]", answer.get("structuredContent") or {})
    data = cast("dict[str, Any]", structured.get("data") or {})
    named = {str(row[0]) for row in data.get("rows", [])}
    lost = sorted(set(SICK) - named)
    counted = sum(data.get("states", {}).values())
    if lost or counted != PODS or data.get("total") != PODS or not structured["evidence"]["cursor"]:
        raise CommandError(f"kube_list leaves something out: not named {lost}, counted {counted}", Exit.INTERNAL)


async def _starts(
    ours: StdioServerParameters, theirs: StdioServerParameters, whole: StdioServerParameters
) -> Iterable[Figure]:
    times = [((await _started(ours))[0], (await _started(theirs))[0]) for _ in range(_STARTS)]
    surfaces = [_surface((await _started(server))[1]) for server in (whole, theirs)]
    return [_median("mcp_ready_stdio_ms", times), _figure("surface_bytes", surfaces[0], "bytes", surfaces[1])]


async def _started(server: StdioServerParameters) -> tuple[float, list[Tool]]:
    """Start a server; return the milliseconds until it has listed its tools, and the tools."""
    began = time.perf_counter()
    async with Client(server) as client:
        tools = (await client.list_tools()).tools
        return (time.perf_counter() - began) * 1000, tools


def _surface(tools: Iterable[Tool]) -> int:
    """Return the bytes of what a model is shown: names, descriptions, input schemas."""
    return sum(len(orjson.dumps([tool.name, tool.description, tool.input_schema])) for tool in tools)


def _median(name: str, pairs: list[tuple[float, float]]) -> Figure:
    value, baseline = (statistics.median(times) for times in zip(*pairs, strict=True))
    return _figure(name, value, "ms", baseline)


def _figure(name: str, value: float, unit: str, baseline: float) -> Figure:
    return Figure.beside(name, value, unit, baseline=baseline).model_copy(update={"command": COMMAND})


def _say(figure: Figure) -> None:
    sys.stdout.write(figure.model_dump_json() + "\n")
    sys.stdout.flush()
