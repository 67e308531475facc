"""Files whose name fixes their content, written whole or not at all, and made ahead of the call that fills them.

To make a file costs more than all else that a call does on disk, so the next one is made once the answer is out. It
has no name until it is whole (`O_TMPFILE` and `linkat`, open(2)): a process that ends leaves none behind. Where the
filesystem cannot do that, a draft is renamed.
"""

import asyncio
import os
import secrets
import weakref
from pathlib import Path

_MODE = 0o600
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_UNNAMED = os.O_WRONLY | os.O_CLOEXEC | getattr(os, "O_TMPFILE", 0)
_IDLE_S = 0.02


class Drafts:
    """Writes files into one folder: 0600 in 0700."""

    def __init__(self, folder: Path, *, unnamed: bool = hasattr(os, "O_TMPFILE"), idle_s: float = _IDLE_S) -> None:
        """`idle_s`: how long after a file the next one is made, in a running event loop."""
        self._folder = str(folder)
        self._unnamed = unnamed
        self._idle_s = idle_s
        self._ready: list[int] = []
        weakref.finalize(self, _close, self._ready)

    def write(self, name: str, content: bytes) -> None:
        """Write a file; one that is there already is left alone, since its name says what is in it.

        Raises:
            OSError: it cannot be written; nothing is left of it.
        """
        file = f"{self._folder}/{name}"
        if os.path.exists(file):  # noqa: PTH110 (a Path costs more than the question)
            return
        handle = self._draft()
        if handle is None or not _named(handle, file, content):
            self._renamed(file, content)
        self._make_later()

    def _draft(self) -> int | None:
        """Return an open file without a name; None where there is no folder, or its filesystem has none."""
        if not self._ready:
            self._make()
        return self._ready.pop() if self._ready else None

    def _make(self) -> None:
        if not self._unnamed or self._ready:
            return
        try:
            self._ready.append(os.open(self._folder, _UNNAMED, _MODE))
        except FileNotFoundError:  # no folder yet, or none any more: a write makes it, a timer does not
            return
        except OSError:
            self._unnamed = False

    def _make_later(self) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # nobody waits for an answer
            return
        loop.call_later(self._idle_s, self._make)

    def _renamed(self, file: str, content: bytes) -> None:
        Path(self._folder).mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = f"{self._folder}/.{secrets.token_hex(8)}"
        handle = os.open(draft, _NEW, _MODE)
        try:
            try:
                _fill(handle, content)
            finally:
                os.close(handle)
            Path(draft).replace(file)
        except OSError:
            Path(draft).unlink(missing_ok=True)
            raise


def _fill(handle: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(handle, rest) :]


def _named(handle: int, file: str, content: bytes) -> bool:
    """Fill an open file, give it its name, and close it; say whether that name is taken now."""
    try:
        _fill(handle, content)
        # A folder to start from makes Python call linkat, the one call that follows the link.
        os.link(f"/proc/self/fd/{handle}", file, src_dir_fd=handle, follow_symlinks=True)
    except FileExistsError:  # another process was first, with the same content
        return True
    except OSError:  # the folder was taken away, or no /proc is mounted
        return False
    finally:
        os.close(handle)
    return True


def _close(handles: list[int]) -> None:
    for handle in handles:
        os.close(handle)
