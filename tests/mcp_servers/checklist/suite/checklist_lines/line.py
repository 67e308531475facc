"""What a line is: a sentence, a check that raises AssertionError where it does not hold, and a defect."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.testing.caller import Caller
from midwatch_mcp.testing.world import World


@dataclass(frozen=True)
class Scene:
    """Where a check is made: a furnished world, settings that reach it, and an empty folder."""

    settings: ServerSettings
    world: World
    folder: Path

    def caller(self, server: str) -> Caller:
        """Return a caller of a server of this scene."""
        return Caller.of(server, self.settings)


Check = Callable[[Scene], Awaitable[None]]
Defect = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Line:
    """One line of the checklist."""

    number: int
    sentence: str
    check: Check
    defect: Defect
    """Takes the guard out of this process, until the test ends."""


LINES: dict[int, Line] = {}


def line(number: int, sentence: str, *, without: Defect) -> Callable[[Check], Check]:
    """Register the check below as a line."""

    def register(check: Check) -> Check:
        if number in LINES:
            raise ValueError(f"line {number} stands twice")
        LINES[number] = Line(number, sentence, check, without)
        return check

    return register
