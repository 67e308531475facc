"""Runs as documents for MCP clients: `midwatch://runs`, and each run's report (`midwatch.resources`)."""

import json
from collections.abc import Sequence
from pathlib import Path

from midwatch_agents.runs import RUN_ID, RunFolder, all_runs
from midwatch_agents.runs_show import summary
from midwatch_contracts.command import Settings
from midwatch_contracts.errors import UnknownResourceError
from midwatch_contracts.resources import JSON, MARKDOWN, ResourceInfo, ResourceText, TemplateInfo, id_of

LISTED = 20
"""Runs that are listed by name, and that the index describes; older ones are read by their id."""


class RunResources:
    """The runs of one state folder."""

    root = "midwatch://runs"

    def __init__(self, state: Path) -> None:
        self._state = state

    def resources(self) -> Sequence[ResourceInfo]:
        """Return the index, then the newest runs."""
        index = ResourceInfo(
            uri=self.root,
            name="runs",
            title="Runs",
            description=f"The newest {LISTED} runs of the assistant: what was asked, the cause, and what became of it.",
            mime_type=JSON,
        )
        return [index, *(_info(self.root, folder) for folder in all_runs(self._state)[:LISTED])]

    def templates(self) -> Sequence[TemplateInfo]:
        """Return the form of a run's URI."""
        return [
            TemplateInfo(
                uri_template=f"{self.root}/{{id}}",
                name="run",
                title="Report of a run",
                description="What a run found, by which evidence, and what was changed, as Markdown.",
                mime_type=MARKDOWN,
            )
        ]

    def read(self, uri: str) -> ResourceText:
        """Return the newest runs in a few fields each, or the report of one.

        Raises:
            UnknownResourceError: there is no such run.
        """
        if uri == self.root:
            newest = [summary(folder) for folder in all_runs(self._state)[:LISTED]]
            return ResourceText(text=json.dumps(newest, indent=2), mime_type=JSON)
        run = id_of(self.root, uri) or ""
        folder = RunFolder(run, self._state / "runs" / run) if RUN_ID.fullmatch(run) else None
        if folder is None or not folder.path.is_dir():
            raise UnknownResourceError(f"there is no such run: {self.root} lists the newest, midwatch runs list all")
        if folder.report.is_file():
            return ResourceText(text=folder.report.read_text("utf-8"), mime_type=MARKDOWN)
        state = json.dumps(summary(folder), indent=2)
        text = f"# {run}\n\nNo report yet: `midwatch resume {run}` goes on with it.\n\n```json\n{state}\n```\n"
        return ResourceText(text=text, mime_type=MARKDOWN)

    def ids(self) -> Sequence[str]:
        """Return the ids of the runs, newest first."""
        return [folder.run for folder in all_runs(self._state)]


def provide(settings: Settings) -> RunResources:
    """Return the runs of the state folder."""
    return RunResources(settings.state)


def _info(root: str, folder: RunFolder) -> ResourceInfo:
    return ResourceInfo(
        uri=f"{root}/{folder.run}",
        name=folder.run,
        title=f"Report of {folder.run}",
        description="What the run found and what became of it.",
        mime_type=MARKDOWN,
    )
