"""`midwatch bench lab`, and its figure `lab_table_5000_ratio` among those of `midwatch bench`."""

import argparse
import asyncio
import sys
from collections.abc import Iterable

from midwatch_contracts.command import CommandError, Settings
from midwatch_contracts.exit_codes import Exit
from midwatch_contracts.figure import Figure
from midwatch_lab.bench.lists import COMMAND, TABLE, compare
from midwatch_lab.bench.sides import Side, both, fill
from midwatch_lab.bench.watchers import measure, percentile
from midwatch_lab.errors import LabError, OriginalError

PODS = 5000


def table_ratio() -> Iterable[Figure]:
    """Measure a Table of 5,000 pods from the lab ÷ that from the original, both over TLS, in the same run.

    Raises:
        CommandError: when the original is not there.
    """

    async def run() -> Figure:
        async with both() as (ours, theirs):
            await asyncio.gather(fill(ours, PODS), fill(theirs, PODS))
            found = [figure async for figure in compare(ours, theirs, PODS, (TABLE,))]
            return _ratio(found[0])

    try:
        return [asyncio.run(run())]
    except OriginalError as error:
        raise CommandError(str(error)) from error


def _ratio(table: Figure) -> Figure:
    """Return the ratio of two times as a figure of its own: the original is 1."""
    return Figure.beside(f"lab_table_{PODS}_ratio", table.ratio, "of the original's time", baseline=1.0)


def main(arguments: argparse.Namespace, settings: Settings) -> int:
    """Print one JSON line a figure: lists, memory, and how soon watchers hear of a write."""
    del settings
    try:
        return asyncio.run(_compare(arguments.pods, arguments.watchers, arguments.writes))
    except LabError as error:
        raise CommandError(str(error)) from error


async def _compare(pods: int, watchers: int, writes: int) -> int:
    async with both() as sides:
        sys.stderr.write(f"making {pods} pods on both sides …\n")
        await asyncio.gather(*(fill(side, pods) for side in sides))
        async for figure in compare(*sides, pods):
            _say(figure)
            if figure.name == f"lab_table_{PODS}_ms":
                _say(_ratio(figure))
        ours, theirs = sides
        memory = Figure.beside(f"lab_memory_{pods}_mb", ours.resident_mb(), "MB", baseline=theirs.resident_mb())
        _say(_of_command(memory))
        return await _watch(ours, theirs, watchers, writes)


async def _watch(ours: Side, theirs: Side, watchers: int, writes: int) -> int:
    seen, baseline = await measure(ours, watchers, writes), await measure(theirs, watchers, writes)
    for which in ("first", "last"):
        for name, share in (("p50", 0.5), ("p99", 0.99)):
            value, base = (percentile(getattr(found, f"{which}_ms"), share) for found in (seen, baseline))
            figure = Figure.beside(f"lab_watch_{watchers}_{which}_{name}_ms", value, "ms", baseline=base)
            _say(_of_command(figure))
    lost = f"{seen.lost} of {watchers * writes} events lost by the lab, {baseline.lost} by the original"
    sys.stderr.write(lost + "\n")
    return Exit.OK if seen.lost == 0 else Exit.INTERNAL


def _of_command(figure: Figure) -> Figure:
    return figure.model_copy(update={"command": COMMAND})


def _say(figure: Figure) -> None:
    sys.stdout.write(figure.model_dump_json() + "\n")
    sys.stdout.flush()
