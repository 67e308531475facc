"""`midwatch lab samples`: what a running lab's Prometheus holds, as OpenMetrics."""

import argparse
import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import httpx2

from midwatch_contracts.command import CommandError
from midwatch_contracts.exit_codes import Exit
from midwatch_lab.errors import LabError
from midwatch_lab.files import LabInfo

_TIMEOUT_S: Final = 60.0
_OK: Final = 200


def main(arguments: argparse.Namespace, folder: Path) -> int:
    """Write the samples to a file or to standard output."""
    try:
        info = LabInfo.read(folder)
        written = _write(info, arguments)
    except (LabError, OSError) as error:
        raise CommandError(str(error)) from error
    except httpx2.HTTPError as error:
        raise CommandError(f"the lab's samples cannot be read: {error or type(error).__name__}") from error
    if arguments.output is not None:
        text = f"{written} samples written to {arguments.output}"
        told = json.dumps({"to": str(arguments.output), "samples": written}) if arguments.json else text
        print(told)  # noqa: T201 (the answer)
    return Exit.OK


def _write(info: LabInfo, arguments: argparse.Namespace) -> int:
    times = {"start": arguments.start, "end": arguments.end}
    asked: dict[str, Any] = {"match[]": arguments.match, **{name: at for name, at in times.items() if at is not None}}
    with ExitStack() as stack:
        answer = stack.enter_context(
            httpx2.stream("GET", f"{info.prometheus}/samples", params=asked, timeout=_TIMEOUT_S, trust_env=False)
        )
        if answer.status_code != _OK:
            raise CommandError(answer.read().decode(errors="replace").strip())
        output: Path | None = arguments.output
        to = sys.stdout.buffer if output is None else stack.enter_context(output.open("wb"))
        lines = 0
        for piece in answer.iter_bytes():
            lines += piece.count(b"\n")
            to.write(piece)
        to.flush()
        return lines - 1  # the last line is the mark of the end
