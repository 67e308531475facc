"""What a sub-command is, so that every package can add its own through the entry-point group `midwatch.commands`.

Kept free of heavy imports: `midwatch --help` loads this module and the `commands` module of each package, nothing else.
"""

import argparse
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast


class CommandError(Exception):
    """A command cannot go on: the message is for the user and names the mend; `code` is the exit code."""

    def __init__(self, message: str, code: int = 2) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Settings:
    """The configuration, built once by the command line's host and passed down (CONTRACTS §10)."""

    state: Path
    """State folder (0700): runs, journal, evidence, keys."""
    kubeconfig: Path | None = None
    kube_context: str | None = None
    prometheus: str | None = None
    """Base URL of a Prometheus-compatible API, such as `http://127.0.0.1:9090`."""
    prometheus_http_config: Path | None = None
    """Credentials and certificates for it: a file in the form of promtool's `--http.config.file`."""
    lab: Path | None = None
    """Folder of a running lab; `kubeconfig` and `prometheus` then default to what its `lab.json` names."""
    policy: Path | None = None
    """Policy file of the safe-apply envelope; None: `<state>/policy.toml`, or a built-in one if that is missing."""
    guides: tuple[Path, ...] = ()
    """Folders of guides beside the built-in library."""
    origins: tuple[tuple[str, str], ...] = ()
    """Where each value came from, as (name, origin): `flag`, `MIDWATCH_STATE`, a file's path, or `default`."""


@dataclass(frozen=True)
class Command:
    """One sub-command: `summary` stands in `midwatch --help`; the rest is imported when the command is called."""

    summary: str
    target: str
    """`module:function`; the function takes (arguments, settings) and returns an exit code."""
    configure: Callable[[argparse.ArgumentParser], None]
    """Adds the command's own arguments."""

    def run(self, arguments: argparse.Namespace, settings: Settings) -> int:
        """Import the target and run it; its return value is the exit code."""
        module, _, name = self.target.partition(":")
        function = cast("Callable[[argparse.Namespace, Settings], int]", getattr(importlib.import_module(module), name))
        return function(arguments, settings)
