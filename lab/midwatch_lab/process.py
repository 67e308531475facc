"""A lab as a child process, for tests and evals: up on entering, gone with all its processes on leaving."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from midwatch_lab.errors import ClientError
from midwatch_lab.files import LabInfo

_UP_WITHIN_S: Final = 30.0
_DOWN_WITHIN_S: Final = 15.0
_LOG_TAIL: Final = 2000


class LabProcess:
    """`async with LabProcess(folder) as lab: lab.info …`

    Args:
        folder: where the lab keeps its files; its log goes to `lab.log` there.
        environment: variables added to ours.
        arguments: further arguments of `midwatch lab up`.
    """

    def __init__(
        self, folder: Path, *, environment: Mapping[str, str] | None = None, arguments: Sequence[str] = ()
    ) -> None:
        self.folder = folder
        self._environment = dict(environment or {})
        self._arguments = tuple(arguments)
        self._process: asyncio.subprocess.Process | None = None
        self._info: LabInfo | None = None

    @property
    def info(self) -> LabInfo:
        """Where the lab answers.

        Raises:
            ClientError: outside of `async with`.
        """
        if self._info is None:
            raise ClientError("the lab is not up: use LabProcess as an async context manager")
        return self._info

    async def __aenter__(self) -> Self:
        """Start the lab and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        place = ["--dir", str(self.folder), "--port", "0", "--exit-with-stdin", "--json"]
        command = [sys.executable, "-m", "midwatch_lab", "up", *place, *self._arguments]
        with (self.folder / "lab.log").open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**os.environ, **self._environment},
                process_group=0,
            )
        try:
            self._info = await self._answer(self._process)
        except BaseException:
            await self.stop()
            raise
        return self

    async def _answer(self, process: asyncio.subprocess.Process) -> LabInfo:
        line = b""
        if process.stdout is not None:
            try:
                line = await asyncio.wait_for(process.stdout.readline(), _UP_WITHIN_S)
            except TimeoutError as error:
                raise ClientError(f"the lab did not come up within {_UP_WITHIN_S:.0f} s: {self._log()}") from error
        if not line:
            raise ClientError(f"the lab ended before it was up: {self._log()}")
        return LabInfo.of(json.loads(line))

    def _log(self) -> str:
        return (self.folder / "lab.log").read_text("utf-8", errors="replace")[-_LOG_TAIL:].strip() or "it said nothing"

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the lab, whatever happened."""
        await self.stop()

    async def stop(self) -> None:
        """Close the lab's standard input, at which it ends; kill it when it does not."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), _DOWN_WITHIN_S)
        except TimeoutError:
            # Its pods end by themselves once their own standard input ends with it.
            process.kill()
            await process.wait()
