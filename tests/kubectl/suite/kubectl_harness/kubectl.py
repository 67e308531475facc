"""A real kubectl, and what it printed."""

import os
import subprocess
import threading
import time
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import orjson

_DONE_WITHIN_S: Final = 90.0
_TRIED_FOR_S: Final = 30.0
_PAUSE_S: Final = 0.1


@dataclass(frozen=True)
class Done:
    """What a command printed, and the code it ended with."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Kubectl:
    """Runs the binary as the user of a kubeconfig, in a namespace."""

    binary: Path
    kubeconfig: Path
    """In a folder of its own, which is the home and the working folder too."""

    @classmethod
    def at(cls, binary: Path, folder: Path, server: str, token: str, namespace: str = "default") -> "Kubectl":
        """Return one for a server, with a kubeconfig in a folder."""
        folder.mkdir(exist_ok=True)
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "it",
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it", "namespace": namespace}}],
            "clusters": [{"name": "it", "cluster": {"server": server, "insecure-skip-tls-verify": True}}],
            "users": [{"name": "it", "user": {"token": token}}],
        }
        path = folder / "config"
        path.write_bytes(orjson.dumps(config))
        return cls(binary, path)

    @property
    def home(self) -> Path:
        """The folder in which it runs and keeps what it discovered."""
        return self.kubeconfig.parent

    @property
    def namespace(self) -> str:
        """The namespace of its context."""
        found: str = orjson.loads(self.kubeconfig.read_bytes())["contexts"][0]["context"]["namespace"]
        return found

    def within(self, namespace: str) -> "Kubectl":
        """Return the same in another namespace; what was discovered is known to both."""
        config = orjson.loads(self.kubeconfig.read_bytes())
        config["contexts"][0]["context"]["namespace"] = namespace
        path = self.home / f"{namespace}.config"
        path.write_bytes(orjson.dumps(config))
        return replace(self, kubeconfig=path)

    def command(self, *arguments: str) -> list[str]:
        """Return the command line."""
        return [str(self.binary), *arguments]

    def environ(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """Return the environment, little of our own."""
        own = {"HOME": str(self.home), "KUBECONFIG": str(self.kubeconfig), "PATH": os.environ["PATH"]}
        return {**own, **(more or {})}

    def run(self, *arguments: str, stdin: str = "", environment: Mapping[str, str] | None = None) -> Done:
        """Run it to its end."""
        done = subprocess.run(
            self.command(*arguments),
            input=stdin.encode(),
            capture_output=True,
            timeout=_DONE_WITHIN_S,
            check=False,
            env=self.environ(environment),
            cwd=self.home,
        )
        return Done(done.returncode, done.stdout.decode(), done.stderr.decode())

    def __call__(self, *arguments: str, stdin: str = "", environment: Mapping[str, str] | None = None) -> str:
        """Run it and return what it printed; a refusal fails the test."""
        done = self.run(*arguments, stdin=stdin, environment=environment)
        assert done.code == 0, f"kubectl {' '.join(arguments)}: {done.err}{done.out}"
        return done.out

    def refused(self, *arguments: str, stdin: str = "", code: int = 1) -> str:
        """Run what is to fail, and return what it said."""
        done = self.run(*arguments, stdin=stdin)
        assert done.code == code, f"kubectl {' '.join(arguments)} ended with {done.code}: {done.err}{done.out}"
        return done.err

    def json(self, *arguments: str) -> dict[str, Any]:
        """Return what `-o json` prints."""
        found: dict[str, Any] = orjson.loads(self(*arguments, "-o", "json"))
        return found

    @contextmanager
    def running(self, *arguments: str) -> Generator[subprocess.Popen[str]]:
        """Run it beside the test, both streams in one pipe; it is ended with the block."""
        with subprocess.Popen(
            self.command(*arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.environ(),
            cwd=self.home,
        ) as process:
            # Whoever reads a line that never comes is woken by the end of the stream.
            guard = threading.Timer(_TRIED_FOR_S, process.kill)
            guard.start()
            try:
                yield process
            finally:
                guard.cancel()
                process.kill()


def tried(kubectl: Kubectl, *arguments: str, until: str) -> str:
    """Run a command until it succeeds and prints these words."""
    deadline = time.monotonic() + _TRIED_FOR_S
    while True:
        done = kubectl.run(*arguments)
        if done.code == 0 and until in done.out:
            return done.out
        assert time.monotonic() < deadline, f"kubectl {' '.join(arguments)}: {done.err}{done.out}"
        time.sleep(_PAUSE_S)


def lines_until(stream: Iterable[str], words: str) -> list[str]:
    """Read lines up to the one with these words."""
    found: list[str] = []
    for line in stream:
        found.append(line.rstrip("\n"))
        if words in line:
            return found
    raise AssertionError(f"the output ended without {words!r}: {found}")
