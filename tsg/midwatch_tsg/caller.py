"""How the runner reaches tools and people: protocols, and a scripted caller for tests, drills and replays."""

import fnmatch
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

from midwatch_contracts.canonical import sha256_hex
from midwatch_contracts.clock import Clock
from midwatch_contracts.evidence import ToolResult, evidence_ref
from midwatch_tsg.errors import ToolFailedError

Result = ToolResult[dict[str, Any]]


class ToolCaller(Protocol):
    """What calls a tool for a step."""

    async def call(self, tool: str, arguments: dict[str, Any], *, step: str) -> Result:
        """Call `tool` and return its result.

        Raises:
            ToolFailedError: the call failed; its `retry` says whether the same call may succeed later.
        """
        ...


class Asker(Protocol):
    """What asks a person."""

    async def ask(self, question: str, options: Sequence[str], *, step: str) -> str | None:
        """Return the chosen option, or None when nobody can be asked."""
        ...


@dataclass(frozen=True)
class Call:
    """One call that a scripted caller answered."""

    tool: str
    arguments: dict[str, Any]
    step: str


@dataclass
class ScriptedCaller:
    """Answers calls from a script: a recorded world.

    `answers` maps a step's id, a tool, or a pattern such as `metrics_*` to the `data` of the result, to an exception to
    raise, or to a function of the arguments. The step's id is looked up first, then the tool, then patterns in order.
    `delays` are seconds on `clock` that a step's call takes.
    """

    answers: Mapping[str, Any]
    clock: Clock | None = None
    delays: Mapping[str, float] = field(default_factory=dict[str, float])
    server: str = "scripted"
    calls: list[Call] = field(default_factory=list[Call])

    async def call(self, tool: str, arguments: dict[str, Any], *, step: str) -> Result:
        """Answer as the script says.

        Raises:
            ToolFailedError: the script has no answer, or says so.
        """
        self.calls.append(Call(tool, arguments, step))
        if self.clock is not None and step in self.delays:
            await self.clock.sleep(self.delays[step])
        answer = self._find(tool, step)
        if isinstance(answer, Exception):
            raise answer
        data: Any = answer(arguments) if callable(answer) else answer
        if inspect.isawaitable(data):
            data = await data
        full = cast("dict[str, Any]", dict(data))
        reference = evidence_ref(self.server, tool, arguments, full)
        return Result(summary=f"{tool} answered {sha256_hex(full)[:8]}", data=full, evidence=reference)

    def _find(self, tool: str, step: str) -> Any:
        for key in (step, tool):
            if key in self.answers:
                return self.answers[key]
        for pattern, answer in self.answers.items():
            if fnmatch.fnmatchcase(tool, pattern):
                return answer
        raise ToolFailedError(f"the script has no answer for step `{step}` ({tool})", retry=False)
