"""Lines 3 and 7 of the checklist, and the reviewed snapshot of the surface."""

import json
import re
from pathlib import Path

import pytest

from midwatch_contracts.surface import surface
from midwatch_mcp.schemas import spelled_out
from midwatch_mcp.servers import NAMES, build, build_all
from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.surface_snapshot import FILE, model_bytes, snapshot
from midwatch_mcp.testing.caller import Caller, Era

pytestmark = pytest.mark.anyio
MAX_BYTES = 24_000
MAX_TOOLS = 32
MAX_TOOLS_A_SERVER = 12
HOSTED_NAME = re.compile(r"[a-zA-Z0-9_-]{1,63}")
"""Names as OpenAI and Anthropic take them, with the prefix that hosts such as Claude Code put before them."""


@pytest.fixture
def settings(tmp_path: Path) -> ServerSettings:
    return ServerSettings(state=tmp_path)


def test_the_snapshot_in_contracts_is_what_the_servers_offer() -> None:
    assert json.loads(FILE.read_text("utf-8")) == snapshot(), (
        "the tools changed: review the difference, then run: python -m midwatch_mcp.surface_snapshot --write"
    )


def test_the_reviewed_surface_holds_every_tool_once() -> None:
    assert {spec.server for spec in surface().values()} == set(NAMES)
    assert "evidence_read" in surface()
    assert "change_apply" in surface()


def test_the_surface_stays_within_what_a_model_can_carry(settings: ServerSettings) -> None:
    servers = build(settings, allow_write=True)
    assert sum(len(server.offers) for server in servers.values()) + 1 <= MAX_TOOLS
    assert all(len(server.offers) + 1 <= MAX_TOOLS_A_SERVER for server in servers.values())
    assert model_bytes() <= MAX_BYTES


def test_every_name_fits_once_a_host_has_put_its_prefix_before_it(settings: ServerSettings) -> None:
    names = {offer.declaration.name for offer in build_all(settings, allow_write=True).offers} | {"evidence_read"}
    assert [name for name in names if not HOSTED_NAME.fullmatch(f"mcp__midwatch__{name}")] == []


def test_a_schema_of_an_answer_says_what_every_value_is() -> None:
    anything = {"x-untrusted": True, "title": "Value"}
    nested = {"type": "object", "properties": {"value": anything}, "additionalProperties": {}}
    found = spelled_out(nested)
    assert [kind["type"] for kind in found["properties"]["value"]["anyOf"]] == [
        *("object", "array", "string", "number", "boolean", "null")
    ]
    assert found["properties"]["value"] | anything == found["properties"]["value"]
    assert len(found["additionalProperties"]["anyOf"]) == 6
    assert spelled_out({"type": "array", "items": {"$ref": "#/$defs/A"}}) == {
        "type": "array",
        "items": {"$ref": "#/$defs/A"},
    }


def test_instructions_fit_where_hosts_cut_them(settings: ServerSettings) -> None:
    servers = build(settings, allow_write=True)
    for server in servers.values():
        assert server.instructions
        assert len(server.instructions) <= 2_000
    assert len(build_all(settings, allow_write=True).instructions or "") <= 2_000


@pytest.mark.parametrize("name", NAMES)
async def test_a_read_only_server_offers_only_tools_that_read_and_each_says_all_hints(
    name: str, settings: ServerSettings, era: Era
) -> None:
    async with Caller.of(name, settings, era).connect() as client:
        tools = (await client.list_tools()).tools
    assert tools
    for tool in tools:
        assert tool.annotations is not None
        assert tool.annotations.read_only_hint is True, tool.name
        hints = (tool.annotations.destructive_hint, tool.annotations.idempotent_hint, tool.annotations.open_world_hint)
        assert None not in hints, tool.name
        assert tool.title
        assert tool.description
        assert tool.output_schema
    assert "change_apply" not in {tool.name for tool in tools}


async def test_with_write_allowed_the_one_tool_more_is_change_apply(settings: ServerSettings) -> None:
    names: list[set[str]] = []
    for allow_write in (False, True):
        async with Caller(build_all(settings, allow_write=allow_write)).connect() as client:
            names.append({tool.name for tool in (await client.list_tools()).tools})
    assert names[1] - names[0] == {"change_apply"}
    assert names[0] < names[1]
