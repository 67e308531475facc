"""How a lab plays containers, by their images: as the reference backend, by a stand-in, or as an image that is missing.

Rules are tried in order, the first whose glob fits the image decides; where none fits it is the reference backend.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, Literal, get_args

from midwatch_lab.errors import LabError
from midwatch_lab.kubelet.commands import (
    DEFAULT_PORT,
    ContainerContext,
    ImageMissingError,
    ProcessCommand,
    serving_command,
)

How = Literal["serving", "stand-in", "missing"]
_HOWS: Final[tuple[How, ...]] = get_args(How)


@dataclass(frozen=True)
class Rule:
    """Containers whose image fits a glob are played so."""

    images: str
    how: How

    @classmethod
    def read(cls, text: str) -> "Rule":
        """Read `GLOB=HOW`.

        Raises:
            LabError: it is something else.
        """
        images, _, wanted = text.rpartition("=")
        how: How | None = next((known for known in _HOWS if known == wanted), None)
        if not images or how is None:
            raise LabError(f"{text!r} says not how to play an image: GLOB=HOW is wanted, HOW one of {', '.join(_HOWS)}")
        return cls(images, how)


def stand_in_command(context: ContainerContext) -> Sequence[str]:
    """Run a process that listens on the container's ports, answers every request well and does nothing else."""
    ports = [str(port["containerPort"]) for port in context.container.get("ports", [])] or [str(DEFAULT_PORT)]
    return [sys.executable, "-m", "midwatch_lab.kubelet.stand_in", context.ip, *dict.fromkeys(ports)]


def playing(rules: Sequence[Rule]) -> ProcessCommand:
    """Return what plays containers by the rules."""

    def command(context: ContainerContext) -> Sequence[str]:
        image = str(context.container.get("image", ""))
        how = next((rule.how for rule in rules if fnmatchcase(image, rule.images)), "serving")
        if how == "missing":
            raise ImageMissingError(image)
        return stand_in_command(context) if how == "stand-in" else serving_command(context)

    return command
