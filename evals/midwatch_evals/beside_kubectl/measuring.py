"""`midwatch bench change`: the same five-object change by our commands, by our server and by kubectl, in turns.

All write to one original API server without controllers. After each round both sides' objects are read by a client of
neither and must be the same.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, cast

import httpx2

from midwatch_contracts.command import CommandError, Settings
from midwatch_contracts.exit_codes import Exit
from midwatch_contracts.figure import Figure
from midwatch_evals.beside_kubectl.objects import check, make
from midwatch_evals.beside_kubectl.rounds import Commands, Kubectl, Part, Served, Took
from midwatch_lab import original
from midwatch_lab.errors import OriginalError

COMMAND: Final = "make bench-change"


def main(arguments: argparse.Namespace, settings: Settings) -> int:
    """Print one JSON line a figure, kubectl being the baseline.

    Raises:
        CommandError: the original or kubectl is not there, or a round did not write what it should.
    """
    del settings
    if arguments.rounds < 1 or arguments.warm_up < 0:
        raise CommandError("--rounds takes 1 or more, --warm-up 0 or more", Exit.BAD_INPUT)
    try:
        programs = original.binaries()
        kubectl: Path = arguments.kubectl or programs / "kubectl"
        if not kubectl.is_file():
            raise CommandError(f"there is no {kubectl}: name one with --kubectl", Exit.BAD_INPUT)
        with tempfile.TemporaryDirectory() as text:
            folder = Path(text)
            (folder / "original").mkdir()
            with original.running(programs, folder / "original") as found:
                for figure in asyncio.run(_compare(found, folder, kubectl, arguments)):
                    sys.stdout.write(figure.model_dump_json() + "\n")
    except OriginalError as error:
        raise CommandError(str(error)) from error
    except BaseExceptionGroup as group:
        # The client of the server runs tasks of its own, and wraps what went wrong beside them.
        raise next(_leaves(group)) from group
    return Exit.OK


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for one in group.exceptions:
        yield from (
            _leaves(cast("BaseExceptionGroup[BaseException]", one)) if isinstance(one, BaseExceptionGroup) else (one,)
        )


async def _compare(
    found: original.Original, folder: Path, kubectl: Path, arguments: argparse.Namespace
) -> list[Figure]:
    kubeconfig = found.kubeconfig(folder / "kubeconfig")
    commands, served = Commands(folder, kubeconfig), Served(folder, kubeconfig)
    theirs = Kubectl(kubectl, folder, kubeconfig)
    took: list[tuple[Took, Took, Took]] = []
    headers = original.headers_of("admin")
    async with (
        httpx2.AsyncClient(base_url=found.url, trust_env=False, verify=original.unverified(), headers=headers) as http,
        served.client,
    ):
        await make(http)
        await commands.prepare()
        await theirs.prepare()
        total = arguments.warm_up + arguments.rounds
        for number in range(total):
            sys.stderr.write(f"round {number + 1} of {total} …\n")
            # Ours are one set of objects: each of our two ways has a value of its own to write.
            one = await commands.round(2 * number + 1)
            two = await served.round(2 * number + 2)
            three = await theirs.round(2 * number + 2)
            await check(http, 2 * number + 2)
            took.append((one, two, three))
    return list(_figures(took[arguments.warm_up :]))


_FIGURES: Final[tuple[tuple[str, int, Part, Part], ...]] = (
    ("change_five_kubectl_time", 0, "whole", "whole"),
    ("change_five_kubectl_time_served", 1, "whole", "whole"),
    ("change_five_propose_ms", 0, "look", "look"),
    ("change_five_approve_ms", 0, "approve", "look"),
    ("change_five_apply_ms", 0, "apply", "apply"),
    ("change_five_propose_served_ms", 1, "look", "look"),
    ("change_five_ask_served_ms", 1, "approve", "look"),
    ("change_five_apply_served_ms", 1, "apply", "apply"),
)
"""(name, which way of a round, its part, kubectl's part beside it); approving looks again, as `kubectl diff` does."""


def _figures(took: Sequence[tuple[Took, Took, Took]]) -> Iterable[Figure]:
    for name, way, part, its_part in _FIGURES:
        value = statistics.median(one[way].part(part) for one in took)
        baseline = statistics.median(one[2].part(its_part) for one in took)
        yield Figure.beside(name, value, "ms", baseline=baseline).model_copy(update={"command": COMMAND})
