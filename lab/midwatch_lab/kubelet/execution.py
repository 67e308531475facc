"""A further process inside a container, as `exec` starts it: its streams, its terminal, its exit code.

It has the environment of the container's own process and leads a session or group of its own, so that ending it ends
all that it started.
"""

import asyncio
import fcntl
import os
import pty
import shutil
import signal
import struct
import sys
import termios
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from midwatch_lab.errors import LabError

_ON_TERMINAL: Final = (
    "import fcntl, os, signal, sys, termios\n"
    "for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTSTP):\n"
    "    signal.signal(number, signal.SIG_DFL)\n"
    "os.setsid()\n"
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
    "os.execvp(sys.argv[1], sys.argv[1:])\n"
)
"""Makes its terminal the controlling one, which only the child itself can do, then becomes the command.

The keys of a terminal are heard also where the lab runs in the background of a script, which ignores them.
"""
_END_OF_INPUT: Final = b"\x04"
_CHUNK: Final = 32 * 1024
_TERM: Final = "xterm"


class ExecutionError(LabError):
    """The command cannot be started; the words are those of a container runtime."""


@dataclass
class Execution:
    """A running command. `stdout` carries both streams where there is a terminal; `stderr` is then None."""

    process: asyncio.subprocess.Process
    stdout: asyncio.StreamReader
    stderr: asyncio.StreamReader | None
    terminal: int | None = None
    """The master's file descriptor."""
    _reading: asyncio.ReadTransport | None = field(default=None, repr=False)

    async def write(self, data: bytes) -> None:
        """Send input; what the command no longer reads is lost, as on any pipe."""
        if self.terminal is not None:
            await self._type(data)
        elif self.process.stdin is not None:
            with suppress(ConnectionError):
                self.process.stdin.write(data)
                await self.process.stdin.drain()

    async def _type(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        while data and self.terminal is not None:
            try:
                data = data[os.write(self.terminal, data) :]
            except BlockingIOError:
                room = loop.create_future()
                loop.add_writer(self.terminal, lambda room=room: room.done() or room.set_result(None))
                try:
                    await room
                finally:
                    loop.remove_writer(self.terminal)
            except OSError:
                return

    async def end_input(self) -> None:
        """Say that no more input comes."""
        if self.terminal is not None:
            await self._type(_END_OF_INPUT)
        elif self.process.stdin is not None:
            self.process.stdin.close()

    def resize(self, width: int, height: int) -> None:
        """Tell the terminal its size; its foreground processes get SIGWINCH."""
        if self.terminal is not None and width and height:
            with suppress(OSError, struct.error):
                fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    async def wait(self) -> int:
        """Return the exit code, 128 and the signal's number for one that a signal ended."""
        code = await self.process.wait()
        return code if code >= 0 else 128 - code

    def kill(self) -> None:
        """End the command and all that it started."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    async def close(self) -> None:
        """End it, where it still runs, and let go of its streams."""
        self.kill()
        await self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()
        if self._reading is not None:
            self._reading.close()
            self.terminal = None


async def read_some(stream: asyncio.StreamReader) -> bytes:
    """Return the next piece of output, empty at its end (a terminal ends with EIO)."""
    try:
        return await stream.read(_CHUNK)
    except OSError:
        return b""


async def start(command: Sequence[str], environment: Mapping[str, str], *, stdin: bool, tty: bool) -> Execution:
    """Start a command.

    Raises:
        ExecutionError: when there is no such program, or it cannot be run.
    """
    if shutil.which(command[0], path=environment.get("PATH")) is None:
        missing = "no such file or directory" if "/" in command[0] else "executable file not found in $PATH"
        raise ExecutionError(
            f'exec: "{command[0]}": {"stat " + command[0] + ": " if "/" in command[0] else ""}{missing}'
        )
    try:
        return await (_on_terminal(command, environment) if tty else _on_pipes(command, environment, stdin=stdin))
    except OSError as error:
        raise ExecutionError(f'exec: "{command[0]}": {error.strerror}') from error
    except ValueError as error:  # a NUL byte, which no argument can hold
        raise ExecutionError(f'exec: "{command[0]!a}": invalid argument') from error


async def _on_pipes(command: Sequence[str], environment: Mapping[str, str], *, stdin: bool) -> Execution:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
        cwd="/",
        start_new_session=True,
    )
    if process.stdout is None:
        raise ExecutionError("the command's output cannot be read")
    return Execution(process, process.stdout, process.stderr)


async def _on_terminal(command: Sequence[str], environment: Mapping[str, str]) -> Execution:
    master, slave = pty.openpty()
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", "-c", _ON_TERMINAL, *command,
            stdin=slave, stdout=slave, stderr=slave, env={"TERM": _TERM, **environment}, cwd="/",
        )  # fmt: skip
    except BaseException:  # cancelled too: nobody else would close the descriptor
        os.close(master)
        raise
    finally:
        os.close(slave)
    reader = asyncio.StreamReader()
    file = os.fdopen(master, "rb", buffering=0)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), file
    )
    return Execution(process, reader, None, master, transport)
