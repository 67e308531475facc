"""One round of each way: our three commands, our server over stdio, kubectl's two commands. All times in ms."""

import asyncio
import json
import os
import pty
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, cast

from mcp import Client, StdioServerParameters
from mcp.types import ElicitResult

from midwatch_contracts.command import CommandError
from midwatch_contracts.exit_codes import Exit
from midwatch_evals.beside_kubectl.objects import as_draft, as_file

_WITHIN_S: Final = 120.0
_KEY: Final = "bench"
_DIFFERS: Final = 1
"""What `kubectl diff` ends with when there is a difference."""


Part = Literal["whole", "look", "approve", "apply"]


@dataclass(frozen=True)
class Took:
    """One change: looking at it, saying yes, doing and verifying it."""

    look: float
    approve: float
    apply: float

    def part(self, part: Part) -> float:
        """Return one of them, or all together."""
        parts = {"look": self.look, "approve": self.approve, "apply": self.apply}
        return sum(parts.values()) if part == "whole" else parts[part]


class Commands:
    """Ours as a user runs them: propose, approve on a terminal, apply."""

    def __init__(self, folder: Path, kubeconfig: Path) -> None:
        self._folder = folder
        state = folder / "state"
        state.mkdir(mode=0o700)
        self._words = [sys.executable, "-m", "midwatch_agents", "--state", str(state), "--kubeconfig", str(kubeconfig)]

    async def prepare(self) -> None:
        """Make the key that signs."""
        await _run([*self._words, "keys", "new", _KEY])

    async def round(self, number: int) -> Took:
        """Change the five objects."""
        draft = self._folder / "draft.json"
        draft.write_text(json.dumps(as_draft(number)), "utf-8")
        look, out = await _timed([*self._words, "change", "propose", str(draft), "--json"])
        plan = str(json.loads(out)["plan_id"])
        terminal, ours = pty.openpty()
        try:
            os.write(terminal, b"y\n")
            approve, _ = await _timed([*self._words, "change", "approve", plan], stdin=ours)
        finally:
            os.close(terminal)
            os.close(ours)
        apply, _ = await _timed([*self._words, "change", "apply", plan])
        return Took(look, approve, apply)


class Served:
    """Ours through a server that runs, whose client shows each question to its user, who says yes."""

    def __init__(self, folder: Path, kubeconfig: Path) -> None:
        state = folder / "served"
        state.mkdir(mode=0o700)
        words = ["-m", "midwatch_agents", "--state", str(state), "--kubeconfig", str(kubeconfig)]
        server = StdioServerParameters(command=sys.executable, args=[*words, "mcp", "changes", "--allow-write"])
        self.client = Client(server, elicitation_callback=self._asked)
        self._asked_at = 0.0

    async def _asked(self, context: Any, params: Any) -> ElicitResult:
        del context
        self._asked_at = time.perf_counter()
        fields = cast("dict[str, Any]", params.requested_schema["properties"])
        return ElicitResult(action="accept", content=dict.fromkeys(fields, True))

    async def round(self, number: int) -> Took:
        """Change the five objects."""
        began = time.perf_counter()
        proposed = await self._call("change_propose", {"plan": as_draft(number)})
        looked = time.perf_counter()
        change = (await self._call("change_apply", {"plan_id": proposed["plan"]["id"]}))["change"]
        while change["state"] in ("applied", "verifying"):
            asked = {"change_id": change["change_id"], "wait_s": 10}
            change = (await self._call("change_status", asked))["change"]
        ended = time.perf_counter()
        if change["state"] != "verified":
            raise CommandError(f"round {number}: the change ended {change['state']}: {change['note']}", Exit.INTERNAL)
        return Took((looked - began) * 1000, (self._asked_at - looked) * 1000, (ended - self._asked_at) * 1000)

    async def _call(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        answer = await self.client.call_tool(tool, arguments)
        if answer.is_error:
            raise CommandError(f"{tool} failed: {answer.content}", Exit.INTERNAL)
        return cast("dict[str, Any]", cast("dict[str, Any]", answer.structured_content)["data"])


class Kubectl:
    """`kubectl diff` and `kubectl apply` of one file."""

    def __init__(self, program: Path, folder: Path, kubeconfig: Path) -> None:
        self._file = folder / "objects.yaml"
        self._words = [str(program), "--kubeconfig", str(kubeconfig), f"--cache-dir={folder / 'cache'}"]

    async def prepare(self) -> None:
        """Make the objects, as kubectl makes them."""
        self._file.write_text(as_file(0), "utf-8")
        await _run([*self._words, "apply", "-f", str(self._file)])

    async def round(self, number: int) -> Took:
        """Change the five objects. Nobody is asked."""
        self._file.write_text(as_file(number), "utf-8")
        look, _ = await _timed([*self._words, "diff", "-f", str(self._file)], good=(_DIFFERS,))
        apply, _ = await _timed([*self._words, "apply", "-f", str(self._file)])
        return Took(look, 0.0, apply)


async def _timed(command: Sequence[str], stdin: int | None = None, good: Sequence[int] = (0,)) -> tuple[float, str]:
    began = time.perf_counter()
    out = await _run(command, stdin, good)
    return (time.perf_counter() - began) * 1000, out


async def _run(command: Sequence[str], stdin: int | None = None, good: Sequence[int] = (0,)) -> str:
    """Run a command to its end and return what it printed.

    Raises:
        CommandError: it ended badly, or not at all.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as said:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL if stdin is None else stdin, stdout=out, stderr=said
        )
        try:
            code = await asyncio.wait_for(process.wait(), _WITHIN_S)
        except BaseException:
            process.kill()
            await process.wait()
            raise
        out.seek(0)
        said.seek(0)
        if code not in good:
            raise CommandError(f"{' '.join(command)} ended with {code}: {said.read().decode()[-2000:]}", Exit.INTERNAL)
        return out.read().decode()
