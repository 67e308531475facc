"""A worker as its commander sees it: a process that is asked and answers, and ends with the block that started it."""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from pathlib import Path
from typing import Any

from midwatch_serving.errors import WorkerError
from midwatch_serving.launch import THREAD_VARIABLES
from midwatch_serving.peers.worker import Measured

START_S = 300.0
"""Time to load and, for the engine's first start on a machine, to compile."""
MEASURE_S = 150.0
END_S = 20.0
TAIL = 12
"""Lines of a worker's log that are shown when it fails."""


class Process:
    """A child process whose standard output is read line by line; its standard error goes to a log."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self._process = process
        self._log = log

    async def line(self, patience: float) -> dict[str, Any]:
        """Return the next line, a JSON object.

        Raises:
            WorkerError: when none comes; with the end of its log.
        """
        stdout = self._process.stdout
        if stdout is None:
            raise WorkerError(f"{self.name} has no output")
        try:
            line = await asyncio.wait_for(stdout.readline(), patience)
        except TimeoutError as error:
            self._process.kill()  # what it computes would slow down the others
            raise WorkerError(f"{self.name} said nothing for {patience:g} s\n{self.tail()}") from error
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError as error:
            ended = "ended" if not line else f"said {line!r}"
            raise WorkerError(f"{self.name} {ended}\n{self.tail()}") from error
        return answer

    async def say(self, line: str) -> None:
        """Write a line to its standard input."""
        stdin = self._process.stdin
        if stdin is None:
            raise WorkerError(f"{self.name} has no input")
        try:
            stdin.write(line.encode() + b"\n")
            await stdin.drain()
        except ConnectionError as error:
            raise WorkerError(f"{self.name} ended\n{self.tail()}") from error

    def tail(self) -> str:
        """Return the end of its log."""
        lines = self._log.read_text("utf-8", errors="replace").splitlines()[-TAIL:]
        return "\n".join(f"  {line}" for line in lines)

    async def end(self) -> None:
        """Close its standard input, which ends it; kill it if it does not end."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), END_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


@contextlib.asynccontextmanager
async def started(
    name: str, command: Sequence[str | Path], logs: Path, environment: Mapping[str, str] | None = None
) -> AsyncGenerator[Process]:
    """Start a process for the length of the block; `environment` is added to ours, with one BLAS thread.

    Raises:
        WorkerError: when there is no such command.
    """
    log = logs / f"{name}.log"
    with log.open("wb") as errors:
        try:
            process = await asyncio.create_subprocess_exec(
                *map(str, command),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **dict.fromkeys(THREAD_VARIABLES, "1"), **(environment or {})},
            )
        except OSError as error:
            raise WorkerError(f"cannot run {command[0]}: {error.strerror or error}") from error
    child = Process(name, process, log)
    try:
        yield child
    finally:
        await child.end()


class Worker:
    """A loaded worker (`worker.run`)."""

    def __init__(self, process: Process, facts: Mapping[str, Any]) -> None:
        self.name = process.name
        self.facts = facts
        self._process = process

    @classmethod
    async def ready(cls, process: Process) -> "Worker":
        """Wait until a process is loaded.

        Raises:
            WorkerError: when it cannot be.
        """
        answer = await process.line(START_S)
        if "ready" not in answer:
            raise WorkerError(f"{process.name} cannot start: {answer.get('error', answer)}\n{process.tail()}")
        return cls(process, answer["ready"])

    async def measure(self, command: Mapping[str, Any]) -> Measured:
        """Have it measure, and wait.

        Raises:
            WorkerError: when it fails.
        """
        await self._process.say(json.dumps(dict(command)))
        answer = await self._process.line(MEASURE_S)
        if "error" in answer:
            raise WorkerError(f"{self.name} failed at {dict(command)}: {answer['error']}\n{self._process.tail()}")
        return Measured(**answer)
