"""Pins: what a person has seen of a foreign server, by hash (checklist lines 22 and 30).

A server may change a tool's description after it was looked at, and a description steers a model as a prompt does (tool
poisoning, "rug pull"). So a tool is offered only while its name, texts, schemas and hints are those that were pinned.
"""

from collections.abc import Iterable
from pathlib import Path

from mcp.types import Tool
from pydantic import Field, ValidationError

from midwatch_contracts.canonical import canonical_bytes, sha256_hex
from midwatch_contracts.model import Model
from midwatch_mcp.errors import SettingsError
from midwatch_mcp.files import write_private


class PinnedServer(Model):
    """One server: how it is started or reached, and its tools."""

    launch_sha256: str
    tools: dict[str, str] = Field(default_factory=dict)
    """SHA-256 of the manifest by name."""


class Pins(Model):
    """All servers that were pinned, by name."""

    servers: dict[str, PinnedServer] = Field(default_factory=dict)


def pins_file(state: Path) -> Path:
    """Return where pins are kept."""
    return state / "mcp-pins.json"


def load_pins(state: Path) -> Pins:
    """Read the pins; none where there is no file.

    Raises:
        SettingsError: the file is damaged.
    """
    file = pins_file(state)
    try:
        return Pins.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return Pins()
    except (OSError, ValidationError) as error:
        raise SettingsError(
            f"{file} cannot be used: {error}; remove it and pin again with: midwatch mcp pin"
        ) from error


def save_pins(state: Path, pins: Pins) -> Path:
    """Write the pins, 0600, whole or not at all."""
    write_private(pins_file(state), canonical_bytes(pins), replace=True)
    return pins_file(state)


def tool_sha256(tool: Tool) -> str:
    """Return the hash over all that a model or a host sees of a tool."""
    return sha256_hex(
        {
            "name": tool.name,
            "title": tool.title,
            "description": tool.description,
            "input_schema": tool.input_schema,
            "output_schema": tool.output_schema,
            "annotations": None if tool.annotations is None else tool.annotations.model_dump(mode="json"),
        }
    )


def pinned(launch_sha256: str, tools: Iterable[Tool]) -> PinnedServer:
    """Return the pin of a server as it is now."""
    return PinnedServer(launch_sha256=launch_sha256, tools={tool.name: tool_sha256(tool) for tool in tools})


def changes(pin: PinnedServer, tools: Iterable[Tool]) -> dict[str, str]:
    """Return what differs from the pin: `new`, `changed` or `gone`, by name of the tool."""
    now = {tool.name: tool_sha256(tool) for tool in tools}
    found = {name: "new" if name not in pin.tools else "changed" for name in now if pin.tools.get(name) != now[name]}
    return found | dict.fromkeys((name for name in pin.tools if name not in now), "gone")
