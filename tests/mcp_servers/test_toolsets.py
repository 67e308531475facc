"""`--toolsets`: parts of the surface by name."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from midwatch_mcp.errors import SettingsError
from midwatch_mcp.servers import build_all, parts_of
from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.surface_snapshot import model_bytes
from midwatch_mcp.testing.caller import Caller, Era
from midwatch_mcp.toolsets import toolsets

pytestmark = pytest.mark.anyio


@pytest.fixture
def settings(tmp_path: Path) -> ServerSettings:
    return ServerSettings(state=tmp_path)


async def offered(settings: ServerSettings, era: Era, *names: str, allow_write: bool = False) -> set[str]:
    server = build_all(settings, allow_write=allow_write, toolsets=names)
    async with Caller(server, era).connect() as client:
        return {tool.name for tool in (await client.list_tools()).tools}


async def test_a_group_of_tools_and_a_server_can_be_chosen_together(settings: ServerSettings, era: Era) -> None:
    names = await offered(settings, era, "logs", "metrics")
    assert {"kube_logs", "kube_events", "metrics_query", "evidence_read"} <= names
    assert not any(name.startswith(("serving_", "change_")) for name in names)
    assert "kube_list" not in names


async def test_choosing_changes_does_not_allow_writing(settings: ServerSettings, era: Era) -> None:
    assert "change_apply" not in await offered(settings, era, "changes")
    assert "change_apply" in await offered(settings, era, "changes", allow_write=True)


@pytest.mark.parametrize("names", [["logs", "kubernets"], []])
def test_an_unknown_toolset_is_refused_with_those_that_there_are(names: list[str], settings: ServerSettings) -> None:
    with pytest.raises(SettingsError, match="there are kubernetes, metrics, serving, changes, cluster-state, logs"):
        build_all(settings, allow_write=False, toolsets=names)


def test_instructions_are_those_of_the_servers_that_keep_a_tool(settings: ServerSettings) -> None:
    told = build_all(settings, allow_write=False, toolsets=["logs"]).instructions or ""
    assert "Kubernetes" in told
    assert "PromQL" not in told


def test_every_tool_is_in_a_server_and_in_a_group_and_the_servers_are_the_surface(settings: ServerSettings) -> None:
    found = toolsets(parts_of(settings, allow_write=False))
    tools = {tool for name in ("kubernetes", "metrics", "serving", "changes") for tool in found[name].tools}
    assert {tool for name in ("cluster-state", "logs", "metrics", "serving", "changes") for tool in found[name].tools}
    assert set(found["cluster-state"].tools) | set(found["logs"].tools) == set(found["kubernetes"].tools)
    assert "evidence_read" not in tools
    assert sum(found[name].bytes for name in ("kubernetes", "metrics", "serving", "changes")) < model_bytes()


def test_the_command_lists_them_with_their_bytes(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "midwatch_agents", "--state", str(tmp_path), "mcp", "toolsets", "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    found = {entry["name"]: entry for entry in json.loads(done.stdout)}
    assert found["logs"]["tools"] == ["kube_logs", "kube_events"]
    assert all(entry["bytes"] > 0 for entry in found.values())
