"""`python -m midwatch_serving`: `midwatch serve` without the command line's host, as the lab starts its pods."""

import argparse
import sys

from midwatch_contracts.command import CommandError
from midwatch_contracts.exit_codes import Exit
from midwatch_serving.commands import serve as command
from midwatch_serving.launch import serve


def main() -> int:
    """Serve; return the exit code."""
    parser = argparse.ArgumentParser(prog="midwatch serve", description=command.summary)
    command.configure(parser)
    arguments = parser.parse_args()
    try:
        return serve(arguments)
    except CommandError as error:
        print(f"midwatch: {error}", file=sys.stderr)  # noqa: T201 (a command line answers on its streams)
        return error.code
    except KeyboardInterrupt:
        return Exit.INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
