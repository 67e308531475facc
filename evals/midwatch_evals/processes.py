"""Counts what an incident has left running, from outside: by a mark in the environment that every child inherits."""

import os
from pathlib import Path

MARK = "MIDWATCH_INCIDENT"
"""The environment variable that the lab's process is started with, and that its pods inherit."""


def marked(value: str) -> list[int]:
    """Return the pids of living processes whose environment holds the mark with this value, this process excepted.

    Reads `/proc`; where a system has none, nothing can be counted from outside and the answer is empty.
    """
    needle = f"{MARK}={value}".encode()
    found: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
            state = (folder / "stat").read_text("utf-8").rpartition(")")[2].split()[0]
        except OSError:  # it has ended meanwhile, or belongs to somebody else
            continue
        if needle in environment and state != "Z" and int(folder.name) != os.getpid():
            found.append(int(folder.name))
    return found
