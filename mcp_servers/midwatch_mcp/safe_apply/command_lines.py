"""Command lines of containers: which program runs at the end, and which of its words are code rather than settings."""

import re
from collections.abc import Sequence

_PYTHON = re.compile(r"(python|pypy)[0-9.]*([-.].*)?")
_WRAPPERS: dict[str, int] = {
    "tini": 0,
    "tini-static": 0,
    "dumb-init": 0,
    "docker-init": 0,
    "catatonit": 0,
    "gosu": 1,
    "su-exec": 1,
}
"""Programs that do nothing but run the words after theirs, and how many words of their own come before those."""
_TAKES_VALUE = "WX"
_NAMES_CODE = "cm"
_SHORT = re.compile(r"-[A-Za-z].*")


def unwrapped(line: Sequence[str]) -> list[str]:
    """Return the words that a wrapper such as `tini --` runs in the end."""
    words = list(line)
    while words and program(words) in _WRAPPERS:
        own = _WRAPPERS[program(words)]
        if "--" in words:
            words = words[words.index("--") + 1 :]
        else:
            rest = words[1:]
            while rest and rest[0].startswith("-"):
                rest = rest[1:]
            words = rest[own:]
    return words


def program(line: Sequence[str]) -> str:
    """Return the name of the program, without its folder; empty where there is none."""
    return line[0].rsplit("/", 1)[-1] if line else ""


def is_python(name: str) -> bool:
    """Say whether a program runs Python code that its words name."""
    return _PYTHON.fullmatch(name) is not None


def python_code(line: Sequence[str]) -> list[str]:
    """Return the words of a Python command line up to its code: `-c TEXT`, `-m MODULE`, a file, or standard input.

    What comes after them are the program's own arguments. Short options may stand together (`-Im MODULE`) and hold
    their value (`-mMODULE`): https://docs.python.org/3/using/cmdline.html.
    """
    end = 1
    while end < len(line):
        word = line[end]
        end += 1
        if not _SHORT.fullmatch(word):
            if word.startswith("--"):
                continue
            break
        at = next((i for i, letter in enumerate(word[1:], 1) if letter in _TAKES_VALUE + _NAMES_CODE), None)
        if at is None:
            continue
        end += at == len(word) - 1  # its value is the next word
        if word[at] in _NAMES_CODE:
            break
    return list(line[:end])


def may_be_code(word: str) -> bool:
    """Say whether a word would be code, or name it, if the program that is not known were an interpreter."""
    return bool(re.fullmatch(r"-[A-Za-z]*[cm]", word))
