"""`make bench-serving`: the engine beside OpenVINO GenAI and llama.cpp, and over HTTP; one JSON line a figure.

It ends with 1 when something could not be measured. A ratio below its goal is a measurement like any other.
"""

import argparse
import asyncio
import os
import sys
import time
from pathlib import Path

from midwatch_contracts.command import CommandError
from midwatch_contracts.exit_codes import Exit
from midwatch_contracts.figure import Figure
from midwatch_serving.peers.benchmark import Setup, run, say
from midwatch_serving.peers.environment import peers_python, pulled_model
from midwatch_serving.peers.figures import COMPARISONS, NAMES, PEERS
from midwatch_serving.peers.machine_load import MachineLoad

MODEL = "smollm2"
BUSY = 0.05
"""Share of a core that others may use without a word."""


def main(argv: list[str] | None = None) -> int:
    """Measure what is asked for; return the exit code."""
    try:
        return _main(_parser().parse_args(argv))
    except CommandError as error:
        say(f"bench-serving: {error}")
        return error.code
    except KeyboardInterrupt:
        return Exit.INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench-serving", description=__doc__)
    parser.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        choices=NAMES,
        help=f"measure this; may be repeated: {', '.join(NAMES)}",
    )
    parser.add_argument("--pairs", type=int, default=5, metavar="N", help="turns of each two (default: %(default)s)")
    parser.add_argument(
        "--model", metavar="FILE", help="a GGUF file, or tiny where no peer is compared (default: smollm2, pulled)"
    )
    parser.add_argument(
        "--folder", type=Path, default=Path(".bench"), metavar="DIR", help="keep what is needed here (default: .bench)"
    )
    return parser


def _main(arguments: argparse.Namespace) -> int:
    if arguments.pairs < 1:
        raise CommandError(f"--pairs {arguments.pairs}: give 1 or more")
    began = time.monotonic()
    folder: Path = arguments.folder.resolve()
    chosen = [one for one in COMPARISONS if arguments.only is None or one.name in arguments.only]
    with_peers = any(one.theirs in PEERS for one in chosen)
    if with_peers and arguments.model is not None and not Path(arguments.model).is_file():
        raise CommandError(f"--model {arguments.model}: the peers read a GGUF file, and this is none")
    failures: list[str] = []
    python = None
    if with_peers:
        try:
            python = peers_python(folder)
        except CommandError as error:
            failures.append(str(error))
    model = arguments.model or str(pulled_model(MODEL, folder))
    setup = Setup(model=model, folder=folder, pairs=arguments.pairs, python=python)
    setup.logs.mkdir(parents=True, exist_ok=True)
    measuring, before = time.monotonic(), MachineLoad.now()
    say(f"prepared in {measuring - began:.0f} s; {os.cpu_count()} cores here")
    failures += asyncio.run(run(setup, chosen, _emit))
    ended, after = time.monotonic(), MachineLoad.now()
    if before is not None and after is not None:
        others = after.others_since(before) / (ended - measuring)
        note = ": NOT A QUIET MACHINE, measure again when it is" if others > BUSY else ""
        say(f"others used {others:.2f} cores meanwhile{note}")
    say(f"done in {ended - began:.0f} s")
    for failure in failures:
        say(f"bench-serving: not measured: {failure}")
    return Exit.INTERNAL if failures else Exit.OK


def _emit(figure: Figure) -> None:
    sys.stdout.write(figure.model_dump_json() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
