"""Files of the state folder that others must not read: written whole, 0600, in folders of 0700."""

import fcntl
import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


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
