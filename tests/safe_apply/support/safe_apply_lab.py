"""A lab as a process of its own."""

import json
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def running_lab(folder: Path, *arguments: str) -> Generator[dict[str, Any]]:
    """Start a lab in `folder`, lend the facts that it prints, and end it."""
    words = [sys.executable, "-m", "midwatch_lab", "up", "--dir", str(folder), "--json", "--exit-with-stdin"]
    words += arguments
    with (
        (folder / "stderr").open("wb") as errors,
        subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, (folder / "stderr").read_text("utf-8")
            yield json.loads(line)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(30)
            finally:
                process.kill()
