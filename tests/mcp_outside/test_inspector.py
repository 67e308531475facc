"""The Inspector's command line against `midwatch mcp all` over a lab: lists it strictly, and calls all that reads."""

import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from midwatch_contracts.surface import surface
from outside_programs.calls import CALLS, WHO, Known, plan
from outside_programs.inspector import ERAS, Era, Inspector, Said
from outside_programs.node import FOLDER, Node
from outside_programs.platform import TOKEN, Platform

READS = {name for name, spec in surface().items() if spec.read_only}


@pytest.fixture(scope="module")
def inspector(node: Node, lab_server: Platform) -> Inspector:
    return Inspector.over_http(node, lab_server.url, TOKEN)


@pytest.fixture(scope="module")
def known(inspector: Inspector, lab_server: Platform) -> Known:
    """A change that the Inspector drafted and applied, which a person approved in between; and one that waits."""
    proposed = succeeded(inspector.call("change_propose", {"plan": plan(2)}))
    named = {"plan_id": proposed["data"]["plan"]["id"]}
    refused = inspector.call("change_apply", named, era="legacy")
    assert (refused.code, refused.result["isError"]) == (5, True)
    lab_server.approve(named["plan_id"])
    change = succeeded(inspector.call("change_apply", named))["data"]["change"]
    ended = succeeded(inspector.call("change_status", {"change_id": change["change_id"], "wait_s": 20}))
    assert ended["data"]["change"]["state"] == "verified"
    waiting = succeeded(inspector.call("change_propose", {"plan": plan(3)}))["data"]["plan"]["id"]
    return Known(lab_server.pod, waiting, change["change_id"], proposed["evidence"]["id"])


def host_configurations() -> list[str]:
    """Return what docs/mcp.md says a host is given: a command, and a URL with a token."""
    page = (FOLDER.parents[1] / "docs" / "mcp.md").read_text("utf-8")
    return re.findall(r"```json\n(.*?)```", page.partition("## Hosts")[2].partition("\n## ")[0], re.DOTALL)


def succeeded(said: Said) -> dict[str, Any]:
    assert said.code == 0, (said.result.get("content"), said.errors)
    assert said.result["isError"] is False
    return said.result["structuredContent"]


def test_there_is_a_call_for_every_tool_that_reads() -> None:
    assert set(CALLS) == READS, "a tool came or went: say in outside_programs/calls.py how other programs call it"


@pytest.mark.outside
@pytest.mark.parametrize("era", ERAS)
def test_the_surface_is_listed_and_no_schema_is_one_that_hosts_refuse(era: Era, inspector: Inspector) -> None:
    listed = inspector.ask("tools/list", "--strict", era=era)
    assert (listed.code, listed.errors.splitlines()[-1:]) == (0, []), listed.errors
    tools = {tool["name"]: tool for tool in listed.result["tools"]}
    assert set(tools) == set(surface())
    assert {name for name, tool in tools.items() if tool["annotations"]["readOnlyHint"]} == READS
    assert all(tool["inputSchema"] == surface()[name].input_schema for name, tool in tools.items())


@pytest.mark.outside
def test_every_tool_that_reads_is_called_and_answers_by_its_schema(
    inspector: Inspector, known: Known, last_lines: list[str]
) -> None:
    def answer(name: str, era: Era) -> Said:
        return inspector.call(name, CALLS[name].arguments(known), era=era)

    names = sorted(CALLS)
    with ThreadPoolExecutor(2) as workers:
        said = dict(zip(names, workers.map(answer, names, ERAS * len(names)), strict=False))
    for name in names:
        structured = succeeded(said[name])
        jsonschema.validate(structured, surface()[name].output_schema)
        assert CALLS[name].holds(structured["data"], known), (name, structured)
    last_lines.append(f"inspector: {len(surface())} tools listed, {len(names)} called")


@pytest.mark.outside
@pytest.mark.parametrize("number", [0, 1], ids=["command", "url"])
def test_the_configuration_that_the_documentation_gives_to_hosts_works(
    number: int, node: Node, lab_server: Platform, tmp_path: Path
) -> None:
    text = host_configurations()[number]
    for written, here in (
        ("/path/to/.venv/bin/midwatch", str(Path(sys.executable).parent / "midwatch")),
        ("/home/me/.kube/config", str(lab_server.kubeconfig)),
        ("http://127.0.0.1:9090", lab_server.prometheus),
        ("http://127.0.0.1:8765/mcp", lab_server.url),
        ("Bearer TOKEN", f"Bearer {TOKEN}"),
    ):
        text = text.replace(written, here)
    file = tmp_path / "mcp.json"
    file.write_text(text, "utf-8")
    found = succeeded(Inspector(node, ("--config", str(file), "--server", "midwatch")).call("kube_topology", dict(WHO)))
    assert found["data"]["total"] >= 1
