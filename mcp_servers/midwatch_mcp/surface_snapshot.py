"""The tool surface as reviewed data: writes `midwatch_contracts/surface.json` from what the servers offer.

`python -m midwatch_mcp.surface_snapshot --write` after a change of a tool; without `--write` it prints the snapshot. A
test holds the file equal to the servers, so that a changed word is a reviewed difference (CONTRACTS §12).
"""

import argparse
import sys
from pathlib import Path
from typing import Any

import orjson

import midwatch_contracts
from midwatch_contracts.surface import ToolSpec
from midwatch_mcp.evidence import EvidenceStore
from midwatch_mcp.server import Offer, evidence_offer
from midwatch_mcp.servers import build
from midwatch_mcp.settings import ServerSettings

FILE = Path(midwatch_contracts.__file__).parent / "surface.json"
_NOWHERE = ServerSettings(state=Path("never-written"))


def snapshot() -> list[dict[str, Any]]:
    """Return every tool of the four servers, `change_apply` too, and `evidence_read` once, in the servers' order."""
    servers = build(_NOWHERE, allow_write=True)
    specs = [_spec(name, offer) for name, server in servers.items() for offer in server.offers]
    reader = _spec("kubernetes", evidence_offer("kubernetes", EvidenceStore(_NOWHERE.state)))
    return [spec.model_dump(mode="json") for spec in [*specs, reader]]


def model_bytes() -> int:
    """Return the size of what a model sees of the default surface: names, descriptions and input schemas."""
    seen = [
        {"name": spec["name"], "description": spec["description"], "inputSchema": spec["input_schema"]}
        for spec in snapshot()
        if spec["read_only"]
    ]
    return len(orjson.dumps(seen))


def _spec(server: Any, offer: Offer) -> ToolSpec:
    declaration = offer.declaration
    return ToolSpec(
        name=declaration.name,
        server=server,
        title=declaration.title,
        description=declaration.description,
        input_schema=offer.tool.parameters,
        output_schema=offer.tool.output_schema or {},
        read_only=declaration.read_only,
        destructive=declaration.destructive,
        idempotent=declaration.idempotent,
        open_world=declaration.open_world,
        cost=declaration.cost,
    )


def main() -> int:
    """Write or print the snapshot."""
    parser = argparse.ArgumentParser(prog="python -m midwatch_mcp.surface_snapshot", description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"write {FILE.name} instead of printing it")
    content = orjson.dumps(snapshot(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    if parser.parse_args().write:
        FILE.write_bytes(content)
        sys.stderr.write(f"{FILE}: {len(snapshot())} tools, {model_bytes()} bytes as a model sees them\n")
    else:
        sys.stdout.write(content.decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
