"""Files that others must not read: ours are written whole, 0600, in folders of 0700; a user's are checked."""

import fcntl
import os
import stat
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from midwatch_mcp.errors import SettingsError

_POD_MOUNTS = ("/var/run/secrets/", "/run/secrets/")
"""Where a container's secrets are mounted: their mode is the platform's, and nobody else is on that machine."""


def check_private(file: Path, flag: str) -> None:
    """Refuse a file of secrets that others on this machine can read; `flag` is how the user named it.

    Raises:
        SettingsError: when it is not there, or not private.
    """
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
    except OSError as error:
        raise SettingsError(f"{flag}: {file} cannot be read: {error.strerror}") from error
    if mode & 0o077 and not str(file).startswith(_POD_MOUNTS):
        raise SettingsError(f"{flag}: others can read {file} (mode {mode:04o}); run: chmod 600 {file}")


def write_private(path: Path, content: bytes, *, replace: bool = False) -> None:
    """Write a file of mode 0600, whole or not at all.

    Raises:
        FileExistsError: when it is there already and `replace` is not given.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        if replace:
            Path(name).replace(path)
        else:
            os.link(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


@contextmanager
def locked(path: Path, *, wait: bool) -> Generator[bool]:
    """Hold the lock that a file stands for; yields whether it is held (always true with `wait`).

    The lock is the kernel's: it ends with the process, however that ends, so none is ever left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)
