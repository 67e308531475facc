"""`midwatch bench`: the benchmarks of every package, found by the entry-point group `midwatch.benchmarks`.

One that takes arguments is a command of its own, `midwatch bench NAME`, from the group `midwatch.bench`.
A benchmark's entry-point name begins with the names of its figures, so that `--only` need not load the others.
"""

import argparse
import sys
from importlib.metadata import entry_points

from midwatch_contracts.command import Command, CommandError, Settings
from midwatch_contracts.exit_codes import Exit
from midwatch_contracts.figure import Benchmark

GROUP = "midwatch.benchmarks"


def bench(arguments: argparse.Namespace, settings: Settings) -> int:
    """Run the benchmark that was named, or all that take no arguments, and print one JSON line a figure."""
    named: Command | None = getattr(arguments, "benchmark", None)
    if named is not None:
        if arguments.only is not None:
            raise CommandError("--only picks figures of `midwatch bench` alone: leave it out", Exit.BAD_INPUT)
        return named.run(arguments, settings)
    found = sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
    only: str | None = arguments.only
    wanted = [entry for entry in found if only is None or entry.name in only or only in entry.name]
    if not wanted:
        names = ", ".join(entry.name for entry in found)
        raise CommandError(f"--only {arguments.only}: no benchmark of that name; there are {names}", Exit.BAD_INPUT)
    for entry in wanted:
        benchmark: Benchmark = entry.load()
        sys.stderr.write(f"{entry.name} …\n")
        try:
            for figure in benchmark():
                sys.stdout.write(figure.model_dump_json() + "\n")
                sys.stdout.flush()
        except CommandError as error:
            if only is not None:
                raise
            sys.stderr.write(f"{entry.name} was not measured: {error}\n")
    return Exit.OK
