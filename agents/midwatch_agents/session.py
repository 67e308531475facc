"""One person's (or script's) session: investigations with what they show. The chat, `investigate`, `resume` and the
demo all go through it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from rich.console import Console
from rich.text import Text

from midwatch_agents import render, report
from midwatch_agents.approver import Approver
from midwatch_agents.errors import RunError
from midwatch_agents.events import OnEvent, RunEvent, ignore
from midwatch_agents.findings import Findings
from midwatch_agents.intake import from_alert, from_question
from midwatch_agents.ledger import read_ledger
from midwatch_agents.live import LiveView
from midwatch_agents.result import RunResult
from midwatch_agents.runs import RunFolder, aliases_of, find_run, unfinished
from midwatch_agents.supervisor.nodes import AmendDraft
from midwatch_agents.supervisor.supervisor import Supervisor
from midwatch_agents.tools import ToolsOpener, open_tools
from midwatch_contracts.alert import Alert
from midwatch_contracts.clock import Clock
from midwatch_contracts.command import Settings


@dataclass
class Session:
    """Investigates, shows what happens on `console`, and returns what it came to."""

    settings: Settings
    console: Console
    approver: Approver
    clock: Clock
    on_event: OnEvent = ignore
    """Told of every event as well, after it was shown."""
    opener: ToolsOpener = open_tools
    amend_draft: AmendDraft | None = None
    """Changes a drafted plan before it is proposed, for example to an expectation that cannot be met."""
    last: RunFolder | None = field(default=None, init=False)
    """The run that was driven last, finished or not."""

    async def investigate(
        self, subject: Alert | str, *, guide: str | None = None, inputs: Mapping[str, str] | None = None
    ) -> RunResult:
        """Run one incident from an alert or a question to its end, or to an approval that is left for later.

        Raises:
            IntakeError: nothing fits what was asked.
            AgentError: a target cannot be reached; `resume` goes on.
        """
        found = from_alert(subject) if isinstance(subject, Alert) else from_question(subject)
        supervisor, view = self._supervisor()
        try:
            result = await supervisor.start(found, guide=guide, inputs=inputs)
        finally:
            view.close()
            self.last = supervisor.folder
        self._show_end(result)
        return result

    async def resume(self, run: str | None = None) -> RunResult:
        """Go on with a run; by default with the last one that is not over.

        Raises:
            RunError: there is none, it is over, or another process drives it.
        """
        folder = unfinished(self.settings.state) if run is None else find_run(self.settings.state, run)
        if folder is None:
            raise RunError("no run is open: midwatch runs list shows them all")
        self._show_plan(folder)
        supervisor, view = self._supervisor()
        try:
            result = await supervisor.resume(folder)
        finally:
            view.close()
            self.last = folder
        self._show_end(result)
        return result

    def _supervisor(self) -> tuple[Supervisor, LiveView]:
        view = LiveView(self.console, show_plan=lambda: not self.approver.shows_preview)

        def watch(event: RunEvent) -> None:
            view(event)
            if event.kind == "findings":
                # Before the plan and the approval: what the cause rests on has to stand there when a person decides.
                self._show_findings(event)
            self.on_event(event)

        return (
            Supervisor(
                self.settings,
                self.clock,
                self.approver,
                on_event=watch,
                opener=self.opener,
                amend_draft=self.amend_draft,
            ),
            view,
        )

    def _show_findings(self, event: RunEvent) -> None:
        entries = read_ledger(find_run(self.settings.state, event.run).ledger)
        findings, aliases = Findings.from_json(event.body), aliases_of(entries)
        if aliases:
            self.console.print(render.evidence_table(entries, aliases, findings.evidence))
        self.console.print(render.findings(findings, aliases), soft_wrap=True)

    def _show_plan(self, folder: RunFolder) -> None:
        """Show the plan that a resumed run waits with, unless the approver does."""
        plan = next((entry for entry in reversed(read_ledger(folder.ledger)) if entry.kind == "plan"), None)
        if plan is not None and not self.approver.shows_preview:
            self.console.print(render.preview(plan.body["plan"], plan.body["preview"]))

    def _show_end(self, result: RunResult) -> None:
        entries = read_ledger(result.ledger)
        drawn = next((entry for entry in reversed(entries) if entry.kind == "series"), None)
        if drawn is not None and drawn.body["points"]:
            self.console.print(report.chart_of(drawn.body))
        self.console.print(render.verdict(result))
        # Not wrapped, so that a path can be copied whole.
        self.console.print(Text(f"report  {result.report}\nledger  {result.ledger}"), soft_wrap=True)
