"""How the command line finds sub-commands and reads arguments.

Sub-commands come from the entry-point group `midwatch.commands`, so every package, also a third party's, can add one.
Only the command that is called is loaded; `--help` loads the light `commands` module of each package. An entry point
that cannot be loaded is named with its reason and stops nothing else.
"""

import argparse
import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from midwatch_agents.config import LAB_HERE
from midwatch_contracts.command import Command, CommandError

GROUP = "midwatch.commands"
OWN = "midwatch"
"""Our own distribution: where two offer one name, ours is taken."""

_VALUED: dict[str, tuple[str, str]] = {
    "--state": ("DIR", "state folder: runs, evidence, journal, keys"),
    "--kubeconfig": ("FILE", "kubeconfig of the cluster"),
    "--context": ("NAME", "context within the kubeconfig"),
    "--prometheus": ("URL", "base URL of a Prometheus-compatible API"),
    "--prometheus-http-config": ("FILE", "credentials for it: what promtool takes as --http.config.file"),
    "--lab": ("[DIR]", "use a running lab (default: <state>/lab)"),
    "--policy": ("FILE", "policy file of the changes server"),
    "--guides": ("DIR", "a folder of guides beside the library (may be repeated)"),
}
_PLAIN: dict[str, str] = {
    "--debug": "print the traceback of an unexpected error",
    "--version": "print the version",
    "--help": "print this help, or the help of a command",
}


@dataclass(frozen=True)
class Broken:
    """An entry point that could not be loaded."""

    name: str
    source: str
    reason: str


@dataclass(frozen=True)
class CommandLine:
    """What was typed: the global flags, the command's name (None: none given), and the rest for the command."""

    flags: dict[str, Any]
    command: str | None
    rest: tuple[str, ...]


class CommandParser(argparse.ArgumentParser):
    """A parser that also takes the global flags, at every depth; a command's own flag of that name wins.

    `add_subparsers` makes parsers of the same class, so `midwatch change approve ID --state DIR` works too.
    """

    def __init__(self, **options: Any) -> None:
        options |= {"conflict_handler": "resolve", "allow_abbrev": False}
        super().__init__(**options)
        add_global_flags(self)


def add_global_flags(parser: argparse.ArgumentParser) -> None:
    """Add the global flags, unset by default and left out of the command's help."""
    for flag in _VALUED:
        options: dict[str, Any] = {"default": argparse.SUPPRESS, "help": argparse.SUPPRESS}
        options["dest"] = "global_" + flag.strip("-").replace("-", "_")
        if flag == "--lab":
            options |= {"nargs": "?", "const": LAB_HERE}
        if flag == "--guides":
            options |= {"action": "append"}
        parser.add_argument(flag, **options)
    parser.add_argument(
        "--debug", action="store_true", dest="global_debug", default=argparse.SUPPRESS, help=argparse.SUPPRESS
    )


def global_flags(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the global flags that were given, by key."""
    prefix = "global_"
    return {name.removeprefix(prefix): value for name, value in vars(arguments).items() if name.startswith(prefix)}


def split(argv: Sequence[str], names: Sequence[str]) -> CommandLine:
    """Part the global flags before the command from the command and its own arguments.

    `--lab DIR` takes the word after it unless that word is a command's name (`--lab=DIR` is always the folder).
    """
    words = list(argv)
    end = 0
    while end < len(words) and words[end].startswith("-"):
        if words[end] == "--lab" and words[end + 1 : end + 2] and words[end + 1] in names:
            words[end] = f"--lab={LAB_HERE}"
        takes_next = words[end] in _VALUED and end + 1 < len(words) and not words[end + 1].startswith("-")
        end += 2 if takes_next else 1
    parser = argparse.ArgumentParser(prog="midwatch", add_help=False, allow_abbrev=False, usage=_USAGE)
    add_global_flags(parser)
    parser.add_argument("-h", "--help", action="store_true", dest="global_help", default=argparse.SUPPRESS)
    parser.add_argument("--version", action="store_true", dest="global_version", default=argparse.SUPPRESS)
    given = parser.parse_args(words[:end])
    return CommandLine(global_flags(given), words[end] if end < len(words) else None, tuple(words[end + 1 :]))


_USAGE = "midwatch [global options] COMMAND [options]"


def discovered() -> dict[str, EntryPoint]:
    """Return the entry points by name, in the order of the alphabet; nothing is loaded yet."""
    found: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda point: (point.name, _source(point) != OWN)):
        found.setdefault(point.name, point)
    return found


def _source(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else "unknown distribution"


def load(point: EntryPoint) -> Command | Broken:
    """Load one entry point."""
    try:
        loaded = point.load()
    except Exception as error:  # noqa: BLE001 (boundary: somebody else's module runs here, and must not take us down)
        return Broken(point.name, _source(point), f"{type(error).__name__}: {error}")
    if not isinstance(loaded, Command):
        return Broken(point.name, _source(point), f"{point.value} is a {type(loaded).__name__}, not a Command")
    return loaded


def find(name: str) -> Command:
    """Return the command of that name.

    Raises:
        CommandError: there is none (the nearest names are given), or it cannot be loaded.
    """
    points = discovered()
    if name not in points:
        near = difflib.get_close_matches(name, points, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "midwatch --help lists the commands"
        raise CommandError(f"unknown command {name!r}: {hint}")
    found = load(points[name])
    if isinstance(found, Broken):
        raise CommandError(f"the command {name!r} of {found.source} cannot be loaded: {found.reason}", 1)
    return found


def parser_for(name: str, command: Command) -> argparse.ArgumentParser:
    """Return the parser of one command's arguments."""
    parser = CommandParser(
        prog=f"midwatch {name}",
        description=command.summary[:1].upper() + command.summary[1:] + ".",
        epilog="Global options (--state, --kubeconfig, --lab, …) are listed by: midwatch --help",
    )
    command.configure(parser)
    return parser


def help_text() -> tuple[str, list[Broken]]:
    """Return the text of `midwatch --help`, and the entry points that could not be loaded."""
    loaded = {name: load(point) for name, point in discovered().items()}
    good = {name: command for name, command in loaded.items() if isinstance(command, Command)}
    broken = [entry for entry in loaded.values() if isinstance(entry, Broken)]
    lines = [f"usage: {_USAGE}", "", "The night watch over an LLM-serving platform on Kubernetes.", "", "commands:"]
    lines += [f"  {name:<13} {command.summary[:1].lower()}{command.summary[1:]}" for name, command in good.items()]
    lines += ["", "global options:"]
    lines += [f"  {flag + ' ' + value:<29} {says}" for flag, (value, says) in _VALUED.items()]
    lines += [f"  {flag:<29} {says}" for flag, says in _PLAIN.items()]
    lines += [
        "",
        "Every setting may also stand in MIDWATCH_<NAME>, ./midwatch.toml or the user's midwatch/config.toml",
        "(midwatch config show --origin). Exit codes: 0 done or healthy, 1 our fault, 2 bad input or a target out of",
        "reach, 3 not settled, 4 not approved, 5 undone, 6 stuck, 7 a replay differs, 130 interrupted.",
    ]
    return "\n".join(lines) + "\n", broken
