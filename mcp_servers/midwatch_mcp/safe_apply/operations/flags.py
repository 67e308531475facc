"""Command-line flags in a container's `command` and `args`: found, rewritten in place, never re-ordered."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from midwatch_mcp.safe_apply.operations.base import refuse

ListName = Literal["command", "args"]

_SHELLS = frozenset({"sh", "bash", "ash", "dash", "zsh", "busybox"})


@dataclass(frozen=True)
class Flag:
    """Where a flag stands: `joined` is `--a=b`; otherwise its value, if it has one, is the next word."""

    name: str
    value: str | Literal[True]
    index: int
    joined: bool

    @property
    def words(self) -> int:
        """How many words of the list it takes."""
        return 1 if self.joined or self.value is True else 2


def find(words: Sequence[str], name: str) -> Flag | None:
    """Return the flag `name` in a list of words, or None.

    A word after `--a` that does not begin with a dash is taken as its value, as argparse and pflag would for a flag
    that takes one. What follows a lone `--` is no flag.

    Raises:
        RefusedChangeError: when the flag stands more than once, since then which one counts is the program's choice.
    """
    found: list[Flag] = []
    index = 0
    while index < len(words) and words[index] != "--":
        word = words[index]
        if word.startswith(name + "="):
            found.append(Flag(name, word[len(name) + 1 :], index, joined=True))
        elif word == name:
            value = words[index + 1] if index + 1 < len(words) and _is_value(words[index + 1]) else None
            found.append(Flag(name, True if value is None else value, index, joined=False))
            index += found[-1].words - 1
        index += 1
    if len(found) > 1:
        raise refuse(f"the flag {name} stands {len(found)} times: set_args rewrites a flag that stands once")
    return found[0] if found else None


def _is_value(word: str) -> bool:
    if not word.startswith("-") or word == "-":
        return True
    try:
        float(word)
    except ValueError:
        return False
    return True


def written(name: str, value: str | Literal[True], *, joined: bool) -> list[str]:
    """Return the words of a flag in one of its two forms.

    Raises:
        RefusedChangeError: when the value would be read as another flag.
    """
    if value is True:
        return [name]
    if joined:
        return [f"{name}={value}"]
    if not _is_value(value):
        raise refuse(f"the value {value!r} of {name} begins with a dash and would be read as a flag of its own")
    return [name, value]


def refuse_shell(command: Sequence[str], args: Sequence[str]) -> None:
    """Refuse a container that hands one line to a shell: its flags are not words of the list.

    Raises:
        RefusedChangeError: names the shell.
    """
    words = [*command, *args]
    program = words[0].rsplit("/", 1)[-1] if words else ""
    if program in _SHELLS and any(word.startswith("-") and word.endswith("c") for word in words[1:3]):
        raise refuse(f"the container runs {program} -c: its flags stand inside a shell line; use the operation patch")
