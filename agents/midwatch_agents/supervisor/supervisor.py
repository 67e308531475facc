"""Drives the graph of one run: starts it, stops at its interrupt, asks the approver, goes on after a kill."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, cast

from langgraph.types import Command, Interrupt
from langsmith.run_helpers import tracing_context  # pyright: ignore[reportUnknownVariableType] (theirs)

from midwatch_agents import report
from midwatch_agents.approver import ApprovalRequest, Approver, Decision, DenyApprover
from midwatch_agents.errors import IntakeError, RunError
from midwatch_agents.events import OnEvent, Recorder, ignore
from midwatch_agents.guides import GuideShelf
from midwatch_agents.intake import Subject
from midwatch_agents.ledger import Ledger
from midwatch_agents.result import RunResult
from midwatch_agents.runs import RunFolder, locked, new_run
from midwatch_agents.supervisor.graph import checkpoints, compiled
from midwatch_agents.supervisor.nodes import AmendDraft, Nodes
from midwatch_agents.supervisor.state import State, Update
from midwatch_agents.tools import Caller, ToolsOpener, open_tools
from midwatch_contracts.clock import Clock
from midwatch_contracts.command import CommandError, Settings


@dataclass
class Supervisor:
    """Runs incidents for one state folder. One run at a time in a process; runs of other processes are left alone."""

    settings: Settings
    clock: Clock
    approver: Approver
    on_event: OnEvent = ignore
    opener: ToolsOpener = open_tools
    amend_draft: AmendDraft | None = None
    folder: RunFolder | None = field(default=None, init=False)
    """The folder of the last run that was started or resumed here."""

    async def start(
        self, subject: Subject, *, guide: str | None = None, inputs: Mapping[str, str] | None = None
    ) -> RunResult:
        """Run one incident from intake to report, or to an approval that is left for later.

        Raises:
            IntakeError: nothing fits what was asked; the run is over.
            AgentError: a target cannot be reached; the run can be resumed.
        """
        begin = {"subject": subject.as_json(), "wanted_guide": guide, "inputs": dict(inputs or {})}
        return await self._driven(None, begin)

    async def resume(self, folder: RunFolder) -> RunResult:
        """Go on with a run where it was.

        Raises:
            RunError: it is over, or another process drives it.
        """
        return await self._driven(folder, None)

    async def _driven(self, known: RunFolder | None, begin: Update | None) -> RunResult:
        async with AsyncExitStack() as stack:
            # First, so that settings which lead nowhere leave no run behind.
            toolbox = await stack.enter_async_context(self.opener(self.settings))
            shelf = GuideShelf.of(self.settings)
            folder = self.folder = known or new_run(self.settings.state, self.clock)
            stack.enter_context(locked(folder))
            # Tracing would send prompts and tool output to somebody else's machine, and an environment variable
            # suffices to switch it on; a context outranks the environment.
            stack.enter_context(tracing_context(enabled=False))
            ledger = Ledger(folder.ledger, folder.run, self.clock)
            stack.callback(ledger.close)
            recorder = Recorder(folder.run, ledger, self.on_event)
            begin = _begun(recorder, begin)
            caller = Caller(toolbox, recorder, self.clock)
            nodes = Nodes(self.settings, folder, caller, recorder, self.clock, shelf, amend_draft=self.amend_draft)
            graph = compiled(nodes, await stack.enter_async_context(checkpoints(folder.graph)))
            try:
                return await self._to_the_end(graph, nodes, recorder, begin)
            except IntakeError as error:
                recorder.record("end", {"error": str(error)})
                raise
            except CommandError as error:
                recorder.record("error", {"error": str(error)})
                raise

    async def _to_the_end(self, graph: Any, nodes: Nodes, recorder: Recorder, begin: Update) -> RunResult:
        config = {"configurable": {"thread_id": nodes.folder.run}}
        snapshot = await graph.aget_state(config)
        # A checkpoint means that the run goes on from it; its own state then holds what it was begun with.
        step: Any = None if snapshot.next else begin
        while True:
            pending = _interrupts(snapshot)
            if pending:
                decision = await self._decision(nodes, cast("State", snapshot.values))
                if decision.verdict == "later":
                    return self._waiting(nodes, recorder, cast("State", snapshot.values), decision)
                step = Command(resume=decision.as_json())
            await graph.ainvoke(step, config, durability="sync")
            snapshot = await graph.aget_state(config)
            step = None
            if not snapshot.next:
                return nodes.result(cast("State", snapshot.values))

    async def _decision(self, nodes: Nodes, state: State) -> Decision:
        """Ask, unless it was approved on another terminal or the policy approves it; a refusal here outranks both."""
        if not isinstance(self.approver, DenyApprover):
            if nodes.already_approved(state):
                return Decision("approved", "earlier", "it was approved from elsewhere")
            if await nodes.policy_approves(state):
                return Decision("approved", "policy", "the policy approves it without a person")
        return await self.approver.decide(
            ApprovalRequest(
                run=nodes.folder.run,
                plan_id=str(state.get("plan_id")),
                title=str(state.get("plan_title")),
                preview=state.get("preview") or {},
                preview_sha256=str(state.get("preview_sha256")),
            )
        )

    def _waiting(self, nodes: Nodes, recorder: Recorder, state: State, decision: Decision) -> RunResult:
        recorder.record("waiting", decision.as_json() | {"plan_id": state.get("plan_id")}, step="approve")
        result = nodes.result(cast("State", {**state, "note": decision.note}), waiting=True)
        report.write(nodes.folder, recorder.ledger, result)
        return result


def _begun(recorder: Recorder, begin: Update | None) -> Update:
    """Record what a new run was begun with; read it back for a run that was."""
    ledger = recorder.ledger
    if begin is not None:
        recorder.record("begun", begin)
        return {**begin, "run": recorder.run}
    if ledger.last("end") is not None:
        raise RunError(f"{recorder.run} is over: midwatch runs show {recorder.run}")
    first = ledger.last("begun")
    if first is None:
        raise RunError(f"{recorder.run} was killed before it was begun: start it again with midwatch investigate")
    recorder.record("resumed", {})
    return {**first.body, "run": recorder.run}


def _interrupts(snapshot: Any) -> list[Interrupt]:
    return [found for task in snapshot.tasks for found in task.interrupts]
