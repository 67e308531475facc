"""The server that the conformance suite is run against: one of ours, by `mount`, with the fixtures as its tools."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from midwatch_mcp.completion import Ask
from midwatch_mcp.evidence import EvidenceStore
from midwatch_mcp.server import mount
from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.tool_server import Closer, Offer, ToolServer
from outside_programs.answering import answering
from outside_programs.asking import asking
from outside_programs.contents import PROMPTS, add_resources, places
from outside_programs.offers import SERVER


@dataclass(frozen=True)
class Fixtures:
    """What is mounted."""

    offers: tuple[Offer, ...]
    close: Closer | None = None
    instructions: str = "The fixtures of the conformance suite."
    completions: Mapping[str, Ask] = field(default_factory=lambda: {"arg1": places})


def conformance_server(state: Path) -> ToolServer:
    """Return the server; its audit and evidence go to `state`."""
    evidence = EvidenceStore(state)
    part = Fixtures((*answering(evidence), *asking()))
    server = mount(SERVER, [part], settings=ServerSettings(state=state), evidence=evidence)
    server.extras = replace(server.extras, prompts={prompt.name: prompt for prompt in PROMPTS})
    add_resources(server)
    return server
