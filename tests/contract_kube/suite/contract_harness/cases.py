"""What a case is, and how a file of cases collects its own."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from contract_harness.api import Api

Function: TypeAlias = Callable[[Api], Awaitable[None]]


@dataclass(frozen=True)
class Case:
    """One check: `id` is a sentence about what the original does, `run` asks for it."""

    id: str
    run: Function


@dataclass
class Cases:
    """The cases of one file. A file of cases names its own `CASES`."""

    found: list[Case] = field(default_factory=list[Case])

    def case(self, sentence: str) -> Callable[[Function], Function]:
        """Add the decorated function under its sentence."""

        def add(function: Function) -> Function:
            self.found.append(Case(sentence, function))
            return function

        return add

    def many(self, sentence: str, function: Function) -> None:
        """Add a function under a sentence: for cases that differ in a value and are made in a loop."""
        self.found.append(Case(sentence, function))


def objects(*given: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """Return objects of several shapes as one type, to loop over."""
    return given
