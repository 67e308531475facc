"""Toolsets: parts of the surface that can be chosen by name, for hosts that carry few tools.

A name is that of a server (`metrics`) or of a group of tools (`logs`, the `cluster` of their declarations); where a
server and a group share a name, both are meant. `evidence_read` is always there.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import orjson

from midwatch_mcp.completion import Completions
from midwatch_mcp.errors import SettingsError
from midwatch_mcp.server import Closer, Offer, Part


@dataclass(frozen=True)
class Toolset:
    """What one name stands for. `bytes` is what a model sees: names, descriptions and input schemas as JSON."""

    name: str
    tools: tuple[str, ...]
    bytes: int


@dataclass(frozen=True)
class Narrowed:
    """A part with some of its tools left out."""

    offers: tuple[Offer, ...]
    close: Closer | None
    instructions: str | None
    completions: Completions


def toolsets(parts: Mapping[str, Part]) -> dict[str, Toolset]:
    """Return what can be chosen of these servers, by name: each server, and each group of tools, in their order."""
    found: dict[str, list[Offer]] = {name: list(part.offers) for name, part in parts.items() if part.offers}
    for part in parts.values():
        for offer in part.offers:
            members = found.setdefault(offer.declaration.cluster, [])
            if offer not in members:
                members.append(offer)
    return {
        name: Toolset(name, tuple(offer.declaration.name for offer in offers), _bytes(offers))
        for name, offers in found.items()
    }


def narrowed(parts: Mapping[str, Part], names: Sequence[str]) -> list[Part]:
    """Return the parts with the tools that the names stand for; a part that keeps none keeps no instructions.

    Raises:
        SettingsError: for a name that stands for nothing, with those that there are.
    """
    known = toolsets(parts)
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        said = f"no toolset {', '.join(map(repr, unknown))}" if unknown else "no toolset is named"
        raise SettingsError(f"--toolsets: {said}: there are {', '.join(known)}")
    kept = {tool for name in names for tool in known[name].tools}
    return [_narrow(part, kept) for part in parts.values()]


def _narrow(part: Part, kept: Iterable[str]) -> Part:
    offers = tuple(offer for offer in part.offers if offer.declaration.name in kept)
    return Narrowed(offers, part.close, part.instructions if offers else None, part.completions)


def _bytes(offers: Sequence[Offer]) -> int:
    seen = [
        {
            "name": offer.declaration.name,
            "description": offer.declaration.description,
            "inputSchema": offer.tool.parameters,
        }
        for offer in offers
    ]
    return len(orjson.dumps(seen))
