"""Guides, runs and evidence as resources, through the gate."""

import json
import logging
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from mcp import MCPError
from mcp.types import TextResourceContents

from midwatch_contracts.command import Settings
from midwatch_contracts.errors import UnknownResourceError
from midwatch_contracts.resources import MARKDOWN, ResourceInfo, ResourceText, TemplateInfo
from midwatch_mcp import gate as gate_module
from midwatch_mcp.evidence import EvidenceStore
from midwatch_mcp.gate import Bound
from midwatch_mcp.server import mount
from midwatch_mcp.servers import build, build_all
from midwatch_mcp.settings import ServerSettings
from midwatch_mcp.shelf import Shelf, discover
from midwatch_mcp.testing.caller import Caller, Era

pytestmark = pytest.mark.anyio

GUIDE = """---
id: {id}
title: A guide of our own
applies_to: {{symptoms: [something odd]}}
---
## look: Look
```step
tool: kube_resources
with: {{}}
next: [{{else: done}}]
```
## done: Done
```step
outcome: healthy
says: Nothing is wrong.
```
"""
RUN = "run-20260101-000000000-abcd"


def audit(state: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (state / "mcp-audit.jsonl").read_text("utf-8").splitlines()]


@pytest.fixture
def settings(tmp_path: Path) -> ServerSettings:
    guides = tmp_path / "guides"
    guides.mkdir()
    (guides / "own.md").write_text(GUIDE.format(id="own-guide"), "utf-8")
    run = tmp_path / "state" / "runs" / RUN
    run.mkdir(parents=True)
    (run / "report.md").write_text("# What happened\n\ntoken=abcdefgh12345678 \u202eand more\n", "utf-8")
    return ServerSettings(state=tmp_path / "state", guides=(guides,))


async def read(server: Any, uri: str, era: Era = "auto") -> TextResourceContents:
    async with Caller(server, era).connect() as client:
        (content,) = (await client.read_resource(uri)).contents
    assert isinstance(content, TextResourceContents)
    return content


async def refused(server: Any, uri: str, era: Era = "auto") -> str:
    async with Caller(server, era).connect() as client:
        with pytest.raises(MCPError) as caught:
            await client.read_resource(uri)
    return caught.value.error.message


async def test_guides_and_runs_are_listed_read_and_bounded_by_the_gate(settings: ServerSettings, era: Era) -> None:
    server = build_all(settings, allow_write=False)
    async with Caller(server, era).connect() as client:
        listed = [resource.uri for resource in (await client.list_resources()).resources]
        templates = [found.uri_template for found in (await client.list_resource_templates()).resource_templates]
    async with Caller(server, era).connect() as client:
        assert [resource.uri for resource in (await client.list_resources()).resources] == listed
    assert {"midwatch://guides", "midwatch://guides/own-guide", "midwatch://runs", f"midwatch://runs/{RUN}"} <= set(
        listed
    )
    assert templates == [f"midwatch://{what}/{{id}}" for what in ("evidence", "guides", "runs")]
    guide = await read(server, "midwatch://guides/own-guide", era)
    assert (guide.mime_type, guide.text) == (MARKDOWN, GUIDE.format(id="own-guide"))
    assert "own-guide" in (await read(server, "midwatch://guides", era)).text
    lines = audit(settings.state)
    assert [line["method"] for line in lines] == [
        "resources/list",
        "resources/list",
        "resources/read",
        "resources/read",
    ]
    assert lines[2]["tool"] == "midwatch://guides/own-guide"


async def test_the_report_of_a_run_is_shown_redacted_and_without_hidden_characters(settings: ServerSettings) -> None:
    report = await read(build_all(settings, allow_write=False), f"midwatch://runs/{RUN}")
    assert report.text == "# What happened\n\ntoken=[redacted] and more\n"
    index = json.loads((await read(build_all(settings, allow_write=False), "midwatch://runs")).text)
    assert [run["run"] for run in index] == [RUN]


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("midwatch://guides/nothing", "midwatch://guides lists them"),
        ("midwatch://guides/../own-guide", "there is no such guide"),
        ("midwatch://guides/%2e%2e%2fown", "there is no such guide"),
        ("midwatch://guides/" + "a" * 100_000, "there is no such guide"),
        ("midwatch://runs/../../etc/passwd", "midwatch runs list"),
        ("midwatch://runs/" + "9" * 100_000, "midwatch runs list"),
        ("midwatch://runs/", "midwatch runs list"),
        ("midwatch://evidence/ev-0000000000000000", "no evidence ev-0000000000000000"),
        ("midwatch://evidence/" + "x" * 5_000, "is no evidence id"),
        ("midwatch://else", "Unknown resource"),
        ("file:///etc/passwd", "Unknown resource"),
    ],
)
async def test_what_is_not_there_is_told_in_a_short_error_and_noted(
    uri: str, told: str, settings: ServerSettings, era: Era
) -> None:
    text = await refused(build_all(settings, allow_write=False), uri, era)
    assert told in text
    assert len(text) < 2_100
    (line,) = audit(settings.state)
    assert (line["outcome"], len(line["tool"])) == ("error", min(len(uri), 200))


async def test_a_guide_that_does_not_parse_is_named_and_hides_no_other(settings: ServerSettings) -> None:
    (settings.guides[0] / "broken.md").write_text("no front matter", "utf-8")
    text = (await read(build_all(settings, allow_write=False), "midwatch://guides")).text
    assert "ttft-slo-burn" in text
    assert "own-guide" in text
    assert "broken.md" in text


async def test_a_guide_that_was_changed_is_read_again(settings: ServerSettings) -> None:
    server = build_all(settings, allow_write=False)
    await refused(server, "midwatch://guides/second")
    (settings.guides[0] / "second.md").write_text(GUIDE.format(id="second"), "utf-8")
    assert "id: second" in (await read(server, "midwatch://guides/second")).text


async def test_one_server_alone_shows_evidence_only(settings: ServerSettings) -> None:
    server = build(settings, allow_write=False, names=("metrics",))["metrics"]
    async with Caller(server).connect() as client:
        assert (await client.list_resources()).resources == []
    assert "Unknown resource" in await refused(server, "midwatch://guides")


class Notes:
    """A provider of another package."""

    root = "notes://all"

    def __init__(self, text: str = "a note") -> None:
        self.text = text

    def resources(self) -> Sequence[ResourceInfo]:
        return [ResourceInfo(uri=self.root, name="notes", title="Notes", description="All.", mime_type=MARKDOWN)]

    def templates(self) -> Sequence[TemplateInfo]:
        return []

    def read(self, uri: str) -> ResourceText:
        if uri != self.root:
            raise UnknownResourceError("there is no such note")
        return ResourceText(text=self.text, mime_type=MARKDOWN)

    def ids(self) -> Sequence[str]:
        return []


class Failing(Notes):
    root = "failing://all"

    def resources(self) -> Sequence[ResourceInfo]:
        raise RuntimeError("canary-of-a-crash")

    def read(self, uri: str) -> ResourceText:
        raise RuntimeError(f"canary-of-a-crash {uri}")


def shown(settings: ServerSettings, *providers: Notes) -> Any:
    evidence = EvidenceStore(settings.state)
    return mount("all", [], settings=settings, evidence=evidence, shelf=Shelf(lambda: providers))


async def test_a_provider_that_fails_takes_neither_the_server_nor_the_others_down(
    settings: ServerSettings, era: Era, caplog: pytest.LogCaptureFixture
) -> None:
    server = shown(settings, Failing(), Notes())
    async with Caller(server, era).connect() as client:
        assert [found.uri for found in (await client.list_resources()).resources] == ["notes://all"]
    with caplog.at_level(logging.CRITICAL):
        assert "canary" not in await refused(server, "failing://all", era)
    assert (await read(server, "notes://all", era)).text == "a note"


async def test_a_document_beyond_the_limit_is_refused_with_its_size(
    settings: ServerSettings, era: Era, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate_module, "BOUNDS", {"resources/read": Bound("medium", 5.0, 1_000)})
    assert "over the limit of 1000" in await refused(shown(settings, Notes("word " * 300)), "notes://all", era)
    assert audit(settings.state)[-1]["outcome"] == "too_large"


def test_a_package_whose_provider_cannot_be_loaded_or_takes_our_root_is_left_out_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    points = [
        EntryPoint("gone", "no_such_module:provide", "midwatch.resources"),
        EntryPoint("greedy", "midwatch_tsg.resources:provide", "midwatch.resources"),
        EntryPoint("guides", "midwatch_tsg.resources:provide", "midwatch.resources"),
    ]
    found = discover(Settings(state=tmp_path), points)
    assert [provider.root for provider in found] == ["midwatch://guides"]
    told = " ".join(record.getMessage() for record in caplog.records)
    assert "'gone'" in told
    assert "'guides'" in told
