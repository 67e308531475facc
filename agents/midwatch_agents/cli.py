"""The `midwatch` command: reads the configuration, finds the sub-command, and is the one place where errors end.

A user's error is one line and its exit code. What nobody expected ends with exit 1, a short line, and a file with the
traceback in the state folder; `--debug` prints it too.
"""

import os
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from midwatch_agents import host
from midwatch_agents.config import load_settings, prepare_state
from midwatch_contracts.command import Command, CommandError, Settings
from midwatch_contracts.exit_codes import Exit


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    try:
        code = _guarded(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has gone (`midwatch runs list | head -1`). Python would complain once more at shutdown.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.INTERNAL
    return code


def _guarded(argv: Sequence[str]) -> int:  # noqa: PLR0911 (each way a command can end, in one place)
    flags: dict[str, Any] = {}
    settings: Settings | None = None
    try:
        line = host.split(argv, list(host.discovered()))
        flags = line.flags
        if flags.get("version"):
            return _print(f"midwatch {version('midwatch')}")
        if flags.get("help") or line.command is None:
            return _help(asked=bool(flags.get("help")))
        command = host.find(line.command)
        arguments = host.parser_for(line.command, command).parse_args(line.rest)
        flags = flags | host.global_flags(arguments)
        settings = load_settings(flags, os.environ, Path.cwd())
        prepare_state(settings.state)
        return _run(line.command, command, arguments, settings)
    except CommandError as error:
        return _complain(str(error), error.code)
    except KeyboardInterrupt:
        return _complain("interrupted", Exit.INTERRUPTED)
    except SystemExit as end:  # argparse ends so, with its message already printed
        if isinstance(end.code, str):
            return _complain(end.code, Exit.INTERNAL)
        return end.code or Exit.OK
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 (process boundary: this is where what nobody expected ends)
        return _crashed(error, settings, debug=bool(flags.get("debug")))


def _run(name: str, command: Command, arguments: Any, settings: Settings) -> int:
    try:
        return int(command.run(arguments, settings))
    except ModuleNotFoundError as error:
        missing = (error.name or "").split(".")[0]
        if not missing or missing.startswith("midwatch"):
            raise
        raise CommandError(
            f"`midwatch {name}` needs the package {missing!r}, which is not installed: pip install 'midwatch[lab]'"
        ) from error


def _help(*, asked: bool) -> int:
    text, broken = host.help_text()
    for entry in broken:
        sys.stderr.write(f"midwatch: the command {entry.name!r} of {entry.source} cannot be loaded: {entry.reason}\n")
    if asked:
        return _print(text.rstrip("\n"))
    sys.stderr.write(text)
    return Exit.BAD_INPUT


def _print(text: str) -> int:
    sys.stdout.write(text + "\n")
    return Exit.OK


def _complain(message: str, code: int) -> int:
    sys.stderr.write(f"midwatch: {message}\n")
    return int(code)


def _crashed(error: Exception, settings: Settings | None, *, debug: bool) -> int:
    text = "".join(traceback.format_exception(error))
    if debug:
        sys.stderr.write(text)
    first = (str(error).splitlines() or [""])[0]
    where = _traceback_file(text, settings)
    return _complain(f"unexpected {type(error).__name__}: {first[:300]} (traceback: {where})", Exit.INTERNAL)


def _traceback_file(text: str, settings: Settings | None) -> str:
    name = time.strftime("crash-%Y%m%dT%H%M%SZ-", time.gmtime())
    try:
        folder = None if settings is None else settings.state / "crashes"
        if folder is not None:
            folder.mkdir(mode=0o700, exist_ok=True)
        handle, path = tempfile.mkstemp(prefix=name, suffix=".txt", dir=folder)  # 0600
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as problem:
        return f"could not be written: {problem.strerror}"
    return path
