"""The MCP conformance suite against a server of our own factory, in both revisions."""

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mcp.server.transport_security import TransportSecuritySettings

from midwatch_mcp.http.app import build_app
from midwatch_mcp.http.listening import PATH, Listen
from midwatch_mcp.testing.world import served
from outside_programs.node import CONFORMANCE, FOLDER, Node
from outside_programs.server import conformance_server
from outside_programs.verdict import Expected, judge, read_expected, read_required, read_results

REVISIONS = ("2025-11-25", "2026-07-28")
SUITE = CONFORMANCE / "dist" / "index.js"


def expected_file(revision: str) -> Path:
    return FOLDER / "expected" / f"{revision}.yaml"


def expected(revision: str) -> Expected:
    return read_expected(expected_file(revision).read_text("utf-8"))


@contextmanager
def conforming(state: Path, *, guarded: bool = True) -> Generator[str]:
    """Serve the fixtures as `midwatch mcp --http` serves; not guarded: without the check of Host and Origin."""
    server = conformance_server(state)
    if guarded:
        app = build_app(server, Listen("127.0.0.1", 0))
    else:
        unguarded = TransportSecuritySettings(enable_dns_rebinding_protection=False)
        app = server.streamable_http_app(streamable_http_path=PATH, transport_security=unguarded)
    with served(app, lifespan="on") as port:
        yield f"http://127.0.0.1:{port}{PATH}"


@pytest.mark.outside
@pytest.mark.parametrize("revision", REVISIONS)
def test_a_server_of_our_factory_conforms_but_for_what_is_listed(
    revision: str, node: Node, tmp_path: Path, last_lines: list[str]
) -> None:
    entries, required = expected(revision), read_required(CONFORMANCE / "requirements" / f"{revision}.yaml")
    words = ("--requirements", revision, "--expected-failures", expected_file(revision), "-o", tmp_path / "results")
    with conforming(tmp_path / "state") as url:
        done = node.run(SUITE, "server", "--url", url, *words)
    checks = read_results(tmp_path / "results")
    scored = judge({name: checks[name] for name in required.scored}, entries.scored)
    beside = judge({name: checks[name] for name in required.not_scored}, entries.not_scored)
    unexpected = [*scored.unexpected, *beside.unexpected, *scored.stale, *beside.stale]
    passed, failed = scored.passed + beside.passed, len(scored.expected) + len(beside.expected)
    last_lines.append(
        f"conformance: {revision} {passed} passed, {len(unexpected)} unexpected, {failed} expected failures"
    )
    assert unexpected == []
    assert set(checks) == required.scored | required.not_scored
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    assert passed > 70


@pytest.mark.outside
def test_every_tool_call_of_the_suite_passed_the_gate(node: Node, tmp_path: Path) -> None:
    with conforming(tmp_path) as url:
        words = ("server", "--url", url, "--scenario", "tools-call-image", "-o", tmp_path / "results")
        assert node.run(SUITE, *words).returncode == 0
    lines = [json.loads(line) for line in (tmp_path / "mcp-audit.jsonl").read_text("utf-8").splitlines()]
    assert {(line["server"], line["tool"], line["outcome"]) for line in lines} == {
        ("conformance", "test_image_content", "ok")
    }


@pytest.mark.outside
@pytest.mark.parametrize(
    ("scenario", "entries", "told"),
    [("ping", ["ping"], "Stale baseline"), ("resources-subscribe", [], "Unexpected failures")],
)
def test_the_suite_fails_on_a_stale_entry_and_on_a_failure_that_is_not_listed(
    scenario: str, entries: list[str], told: str, node: Node, tmp_path: Path
) -> None:
    listed = tmp_path / "listed.yaml"
    listed.write_text(json.dumps({"server": entries}), "utf-8")
    with conforming(tmp_path / "state") as url:
        words = ("--scenario", scenario, "--expected-failures", listed, "-o", tmp_path / "results")
        done = node.run(SUITE, "server", "--url", url, *words)
    assert done.returncode == 1
    assert told in done.stdout


@pytest.mark.outside
@pytest.mark.parametrize("guarded", [True, False])
def test_the_suite_sees_a_server_that_answers_any_host(guarded: bool, node: Node, tmp_path: Path) -> None:  # noqa: FBT001
    with conforming(tmp_path / "state", guarded=guarded) as url:
        words = ("--scenario", "dns-rebinding-protection", "-o", tmp_path / "results")
        done = node.run(SUITE, "server", "--url", url, *words)
    assert done.returncode == (0 if guarded else 1)


@pytest.mark.parametrize("revision", REVISIONS)
def test_every_expected_failure_has_a_reason(revision: str) -> None:
    entries = expected(revision)
    assert not entries.scored & entries.not_scored
    assert len(entries.scored) <= 4


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("server:\n  - ping\nnot_scored: []\n", "line 2"),
        ("server:\n  - ping # todo\nnot_scored: []\n", "line 2"),
        ("server: [ping]\nnot_scored: []\n", "line 1"),
        ("server: []\n", "two lists"),
        (
            "server:\n" + "  - ping # this line stands in the list twice, once too often\n" * 2 + "not_scored: []\n",
            "twice",
        ),
    ],
)
def test_a_list_with_a_line_that_gives_no_reason_is_refused(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        read_expected(text)


def test_a_failure_that_is_not_listed_and_an_entry_that_passes_are_both_found() -> None:
    checks = {
        "ping": [{"id": "ping", "status": "SUCCESS"}],
        "caching": [{"id": "ttl", "status": "WARNING", "errorMessage": "no ttl"}, {"id": "scope", "status": "FAILURE"}],
    }
    found = judge(checks, ["ping", "caching:scope"])
    assert (found.passed, found.expected, found.stale) == (1, ["caching:scope"], ["ping"])
    assert found.unexpected == ["caching:ttl: no ttl"]
    assert judge(checks, ["caching"]).expected == ["caching:ttl", "caching:scope"]
