"""The Inspector's command line, one process a request."""

import json
from dataclasses import dataclass
from typing import Any, Literal

from outside_programs.node import INSPECTOR, Node

Era = Literal["legacy", "modern"]
ERAS: tuple[Era, ...] = ("legacy", "modern")


@dataclass(frozen=True)
class Said:
    """What one run of it said."""

    code: int
    """0; 5: the tool failed; 6: a schema that some hosts do not take; others: the request failed."""
    result: dict[str, Any]
    errors: str


@dataclass(frozen=True)
class Inspector:
    """Asks a server over HTTP, with a bearer token, or one of a host's configuration file."""

    node: Node
    where: tuple[str, ...]

    @classmethod
    def over_http(cls, node: Node, url: str, token: str) -> "Inspector":
        """Return one that asks the server at `url`."""
        return cls(node, ("--server-url", url, "--transport", "http", "--header", f"Authorization: Bearer {token}"))

    def ask(self, method: str, *words: str, era: Era = "modern") -> Said:
        """Make one request."""
        asked = ("--cli", *self.where, "--protocol-era", era, "--method", method, "--format", "json", *words)
        done = self.node.run(INSPECTOR, *asked)
        result: dict[str, Any] = json.loads(done.stdout)["result"] if done.stdout.strip() else {}
        return Said(done.returncode, result, done.stderr)

    def call(self, tool: str, arguments: dict[str, Any], *, era: Era = "modern") -> Said:
        """Call a tool."""
        return self.ask("tools/call", "--tool-name", tool, "--tool-args-json", json.dumps(arguments), era=era)
