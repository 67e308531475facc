"""`python -m midwatch_lab`: `midwatch lab` without the command line's host, as tests and evals start it."""

import argparse
import os
import sys
from pathlib import Path

import platformdirs

from midwatch_contracts.command import CommandError, Settings
from midwatch_contracts.exit_codes import Exit
from midwatch_lab.commands import lab as command
from midwatch_lab.launch import main as run


def main() -> int:
    """Run an action; return the exit code."""
    parser = argparse.ArgumentParser(prog="midwatch lab", description=command.summary)
    command.configure(parser)
    arguments = parser.parse_args()
    state = os.environ.get("MIDWATCH_STATE") or platformdirs.user_state_path("midwatch")
    try:
        return run(arguments, Settings(state=Path(state)))
    except CommandError as error:
        print(f"midwatch: {error}", file=sys.stderr)  # noqa: T201 (a command line answers on its streams)
        return error.code
    except KeyboardInterrupt:
        return Exit.INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
