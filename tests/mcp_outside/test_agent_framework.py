"""An agent of the AI SDK, whose MCP client is its own: it reads with our tools, over stdio and HTTP, in both eras."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from midwatch_contracts.surface import surface
from outside_programs.node import AGENT, Node
from outside_programs.platform import NAME, NAMESPACE, TOKEN, Platform

SLOW_START_S = 2
"""Longer than the client waits for an answer to its probe (1 s)."""


def over_http(platform: Platform) -> dict[str, Any]:
    return {"url": platform.url, "token": TOKEN}


def over_stdio(platform: Platform) -> dict[str, Any]:
    command, *words = platform.midwatch("mcp", "all")
    return {"command": command, "args": words}


def over_slow_stdio(platform: Platform) -> dict[str, Any]:
    return {"command": "sh", "args": ["-c", f'sleep {SLOW_START_S}; exec "$@"', "sh", *platform.midwatch("mcp", "all")]}


WAYS: dict[str, tuple[Callable[[Platform], dict[str, Any]], bool, set[str]]] = {
    "http-modern": (over_http, True, {"2026-07-28"}),
    "http-legacy": (over_http, False, {"2025-11-25"}),
    # Whether the probe is answered in time depends on how fast the machine starts a process.
    "stdio-probing": (over_stdio, True, {"2026-07-28", "2025-11-25"}),
    "stdio-slow-start": (over_slow_stdio, True, {"2025-11-25"}),
    "stdio-legacy": (over_stdio, False, {"2025-11-25"}),
}


@pytest.mark.outside
@pytest.mark.parametrize("way", WAYS)
def test_an_agent_reads_with_what_it_was_offered_and_what_each_step_found(
    way: str, node: Node, lab_server: Platform, last_lines: list[str]
) -> None:
    reach, discover, protocols = WAYS[way]
    transport = reach(lab_server)
    asked = {"transport": transport, "discover": discover, "namespace": NAMESPACE, "service": NAME}
    done = node.run(AGENT, json.dumps(asked))
    assert done.returncode == 0, done.stderr[-2000:]
    told: dict[str, Any] = json.loads(done.stdout)
    reads = {name for name, spec in surface().items() if spec.read_only}
    # Over HTTP the server also offers what writes; the one that the agent starts over stdio does not.
    assert set(told["offered"]) == (set(surface()) if "url" in transport else reads)
    assert told["protocol"] in protocols
    assert told["instructions"]
    topology, described, measured, refused, evidence = told["read"]
    assert topology["data"]["ready"] >= 1
    assert NAME in described["summary"]
    assert measured["data"]["series"][0]["value"] >= 1
    assert "unknown arguments of kube_list: kinds" in refused["refused"]
    assert evidence["data"]["value"] == topology["data"]["pods"]
    last_lines.append(f"ai-sdk: {way}, {told['protocol']}, {len(told['offered'])} tools, {told['steps']} steps")


@pytest.mark.outside
def test_an_agent_without_a_token_is_told_401(node: Node, lab_server: Platform) -> None:
    asked = {"transport": {"url": lab_server.url}, "discover": True, "namespace": NAMESPACE, "service": NAME}
    done = node.run(AGENT, json.dumps(asked))
    assert done.returncode == 1
    assert "HTTP 401" in done.stderr
