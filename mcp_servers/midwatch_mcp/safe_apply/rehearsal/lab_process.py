"""The lab that a rehearsal runs in: a child process that has ended when the block has."""

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import yaml

from midwatch_mcp.errors import SettingsError
from midwatch_mcp.files import write_private

_UP_WITHIN_S = 60.0
_DOWN_WITHIN_S = 15.0
_LOG_TAIL = 1_500


class RehearsalLab:
    """`async with RehearsalLab(folder, manifests, arguments) as lab:` until it answers, and until it has ended.

    Args:
        folder: where it keeps its files.
        manifests: what it is handed.
        arguments: further arguments of `midwatch lab up`.
    """

    def __init__(self, folder: Path, manifests: Sequence[dict[str, Any]], arguments: Sequence[str]) -> None:
        self._folder = folder
        self._manifests = manifests
        self._arguments = arguments
        self._process: asyncio.subprocess.Process | None = None
        self.kubeconfig = Path()
        self.prometheus = ""
        self.cluster = ""

    async def __aenter__(self) -> Self:
        """Start it.

        Raises:
            SettingsError: it did not come up, or did not take the manifests; says why.
        """
        handed = self._written()
        place = ["--dir", str(self._folder / "lab"), "--port", "0", "--exit-with-stdin", "--json"]
        command = [sys.executable, "-m", "midwatch_lab", "up", *place, *handed]
        with (self._folder / "lab.log").open("wb") as log:
            # In a group of its own, so that Ctrl-C ends it by our hand, in order, and not beside us.
            self._process = await asyncio.create_subprocess_exec(
                *command,
                *self._arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                process_group=0,
            )
        try:
            await self._answered(self._process)
        except BaseException:
            await self.stop()
            raise
        return self

    def _written(self) -> list[str]:
        """Write the manifests, and return the arguments that hand them over."""
        export = self._folder / "export"
        export.mkdir(parents=True, mode=0o700)
        for number, manifest in enumerate(self._manifests):
            content = yaml.safe_dump(manifest, sort_keys=False).encode()
            write_private(export / f"{number:04}-{str(manifest['kind']).lower()}.yaml", content)
        return ["--from", str(export), "--keep-owners"] if self._manifests else []

    async def _answered(self, process: asyncio.subprocess.Process) -> None:
        output = cast("asyncio.StreamReader", process.stdout)
        try:
            line = await asyncio.wait_for(output.readline(), _UP_WITHIN_S)
        except TimeoutError as error:
            raise SettingsError(f"the lab did not come up within {_UP_WITHIN_S:g} s: {self._said()}") from error
        if not line:
            raise SettingsError(f"the lab did not take the copy: {self._said()}")
        found = cast("dict[str, Any]", json.loads(line))
        self.kubeconfig = Path(str(found["midwatch_kubeconfig"]))
        self.prometheus, self.cluster = str(found["prometheus"]), str(found["cluster"])

    def _said(self) -> str:
        text = (self._folder / "lab.log").read_text("utf-8", errors="replace")[-_LOG_TAIL:].strip()
        if "No module named 'midwatch_lab'" in text or "ModuleNotFoundError" in text:
            return f"it is not installed whole: pip install 'midwatch[lab]' ({text.splitlines()[-1]})"
        return text or "it said nothing"

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it, whatever happened."""
        await self.stop()

    async def stop(self) -> None:
        """End its standard input, at which it ends with its pods; kill it when it does not."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), _DOWN_WITHIN_S)
        except (TimeoutError, asyncio.CancelledError) as end:
            # Its pods end by themselves once their own standard input ends with it.
            process.kill()
            await process.wait()
            if isinstance(end, asyncio.CancelledError):
                raise
