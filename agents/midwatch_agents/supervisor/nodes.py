"""The stations of an incident, each a node of the graph (DESIGN §3).

A node's body may run again from its top (after an interrupt, or after a kill), so reads are repeated, `change_apply` is
idempotent, the guide's runner has its own journal, and the nodes that write never raise: what went wrong is recorded
and ends in the report.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from langgraph.types import interrupt

from midwatch_agents import intake, measure, report
from midwatch_agents.errors import ToolCallError
from midwatch_agents.events import Recorder
from midwatch_agents.findings import Findings
from midwatch_agents.guides import GuideShelf
from midwatch_agents.result import RunResult
from midwatch_agents.runs import RunFolder
from midwatch_agents.supervisor.state import State, Update
from midwatch_agents.tools import Caller
from midwatch_agents.triage import Triage
from midwatch_contracts.clock import Clock
from midwatch_contracts.command import Settings
from midwatch_contracts.plan import TERMINAL_STATES
from midwatch_contracts.times import rfc3339, unix_seconds
from midwatch_mcp.safe_apply.approvals import approvals_for

AmendDraft = Callable[[dict[str, Any]], dict[str, Any]]

STATUS_WAIT_S = 5.0
"""How long one `change_status` waits on the server's side."""


@dataclass
class Nodes:
    """The stations of one run in one process."""

    settings: Settings
    folder: RunFolder
    caller: Caller
    recorder: Recorder
    clock: Clock
    shelf: GuideShelf
    amend_draft: AmendDraft | None = None
    """Changes the drafted plan before it is proposed; the demo asks for an expectation that cannot be met so."""
    _applied_here: set[str] = field(default_factory=set[str])

    async def intake(self, state: State) -> Update:
        """Find the service that a question names; an alert names its own."""
        subject = intake.Subject.from_json(state["subject"])
        if subject.kind == "question" and not {"namespace", "service"} <= state["inputs"].keys():
            listing = await self.caller.call("kube_list", {"kind": "Service", "limit": 500}, step="intake")
            subject = intake.located(subject, intake.services(listing.data))
        self.recorder.record("subject", subject.as_json(), step="intake")
        return {"subject": subject.as_json()}

    async def triage(self, state: State) -> Update:
        """Rank the guides, and say why the first is first."""
        subject = intake.Subject.from_json(state["subject"])
        ranking = await Triage(self.shelf, self.caller).rank(subject, state["inputs"], wanted=state["wanted_guide"])
        self.recorder.record("triage", {"ranked": [item.as_json() for item in ranking]}, step="triage")
        return {"guide": ranking[0].guide}

    async def guide(self, state: State) -> Update:
        """Run the guide; finished steps are read from its journal when this is a second time."""
        subject = intake.Subject.from_json(state["subject"])
        findings = await self.shelf.run(
            state["guide"],
            subject,
            state["inputs"],
            caller=self.caller,
            recorder=self.recorder,
            clock=self.clock,
            journal=self.folder.journal,
        )
        self.recorder.record("findings", findings.as_json(), step="guide")
        return {"findings": findings.as_json()}

    async def propose(self, state: State) -> Update:
        """Have the plan made and previewed; a refusal by policy ends in the report, with its reason."""
        findings = Findings.from_json(state["findings"])
        draft = cast("dict[str, Any]", findings.draft)
        if self.amend_draft is not None:
            draft = self.amend_draft(draft)
        elif findings.by_code and not _filled_by_hand(state):
            self.caller.toolbox.vouched.vouch(draft)
        try:
            proposed = await self.caller.call("change_propose", {"plan": draft}, step="propose")
            plan = cast("dict[str, Any]", proposed.data["plan"])
            previewed = await self.caller.call("change_preview", {"plan_id": plan["id"]}, step="propose")
        except ToolCallError as error:
            self.recorder.record("note", {"says": f"no plan: {error}"}, step="propose")
            return {"plan_id": None, "note": f"no plan: {error}"}
        preview, sha256 = previewed.data["preview"], str(previewed.data["preview_sha256"])
        self.recorder.record("plan", {"plan": plan, "preview": preview, "preview_sha256": sha256}, step="propose")
        return {
            "plan_id": str(plan["id"]),
            "plan_title": str(plan["title"]),
            "operations": [str(operation["op"]) for operation in plan["operations"]],
            "preview": preview,
            "preview_sha256": sha256,
            "needs_person": _needs_person(previewed.data),
            "promql": measure.first_query(plan),
        }

    async def approve(self, state: State) -> Update:
        """Stop until somebody has decided. Nothing may come before the interrupt: this body runs again after it."""
        decision = cast("dict[str, str]", interrupt({"plan_id": state.get("plan_id")}))
        self.recorder.record("decision", decision | {"plan_id": state.get("plan_id")}, step="approve")
        return {"decision": decision}

    async def baseline(self, state: State) -> Update:
        """Read the plan's first query just before the change."""
        at = self.clock.now()
        value = await measure.now(self.caller, self.recorder, state.get("promql"), name="before", step="baseline")
        return {"before": value, "before_at": at}

    async def apply(self, state: State) -> Update:
        """Apply the plan: idempotent for a plan whose change is under way, so a second time never doubles."""
        plan_id = str(state.get("plan_id"))
        self.recorder.record("applying", {"plan_id": plan_id}, step="apply")
        try:
            answer = await self.caller.call("change_apply", {"plan_id": plan_id}, step="apply")
        except ToolCallError as error:
            return await self._unanswered(plan_id, error)
        self._applied_here.add(plan_id)
        return self._change(answer.data, "apply")

    def already_approved(self, state: State) -> bool:
        """Say whether somebody has put a valid-looking approval of this plan and preview into the state folder.

        The changes server judges it; this only saves a person from being asked twice.
        """
        now = rfc3339(self.clock.now())
        return any(
            approval.preview_sha256 == state.get("preview_sha256") and approval.expires > now
            for approval in approvals_for(self.settings.state, str(state.get("plan_id")))
        )

    async def policy_approves(self, state: State) -> bool:
        """Say whether the policy approves this plan and preview without a person, as things are now.

        Level 4 of autonomy means that nobody is asked then (CONTRACTS §6). The changes server judges it again.
        """
        if state.get("needs_person", _UNKNOWN) is not None:
            return False
        try:
            now = await self.caller.call("change_preview", {"plan_id": str(state.get("plan_id"))}, step="approve")
        except ToolCallError:
            # The caller has recorded the failure; a person is asked.
            return False
        return _needs_person(now.data) is None and now.data.get("preview_sha256") == state.get("preview_sha256")

    async def _unanswered(self, plan_id: str, error: ToolCallError) -> Update:
        """Find out what became of an apply that gave no answer: unknown is neither success nor failure."""
        self.recorder.record("note", {"says": str(error)}, step="apply")
        known = await self._known_change(plan_id)
        if known is None:
            return {"change_id": None, "change_state": None, "applied": False, "note": str(error)}
        return self._change({"change": known}, "apply")

    async def _known_change(self, plan_id: str) -> dict[str, Any] | None:
        try:
            listing = await self.caller.call("change_list", {}, step="apply")
        except ToolCallError:
            # The caller has recorded the failure; with no list there is nothing more to know.
            return None
        changes = cast("list[dict[str, Any]]", listing.data.get("changes", []))
        return next((change for change in reversed(changes) if self._is_of_this_run(change, plan_id)), None)

    def _is_of_this_run(self, change: Mapping[str, Any], plan_id: str) -> bool:
        """Say whether a change is this run's attempt: an earlier run may have tried the very same plan."""
        approval = cast("Mapping[str, Any]", change.get("approval") or {})
        issued = approval.get("issued")
        begun = self.recorder.ledger.began_at
        return change.get("plan_id") == plan_id and isinstance(issued, str) and unix_seconds(issued) >= begun

    async def verify(self, state: State) -> Update:
        """Follow the change to its end; a change that no process is driving any more is taken up again.

        Raises:
            ToolCallError: the change cannot be followed; the run stays open and can be resumed.
        """
        plan_id, change_id = str(state.get("plan_id")), state.get("change_id")
        found: Update = {"change_state": state.get("change_state")}
        while found.get("change_state") not in TERMINAL_STATES:
            wait_s = STATUS_WAIT_S if plan_id in self._applied_here else 0.0
            status = await self.caller.call("change_status", {"change_id": change_id, "wait_s": wait_s}, step="verify")
            previous = found.get("change_state")
            found |= self._change(status.data, "verify")
            if found.get("change_state") in TERMINAL_STATES:
                break
            if plan_id not in self._applied_here:
                await self.caller.call("change_apply", {"plan_id": plan_id}, step="verify")
                self._applied_here.add(plan_id)
            elif found.get("change_state") == previous:
                await self.clock.sleep(1.0)
        promql = state.get("promql")
        if found.get("change_state") == "verified":
            found["after"] = await measure.now(self.caller, self.recorder, promql, name="after", step="verify")
        since = state.get("before_at")
        await measure.series(self.caller, self.recorder, promql, since=since, now=self.clock.now())
        return found

    def _change(self, data: dict[str, Any], step: str) -> Update:
        change = cast("dict[str, Any]", data["change"])
        self.recorder.record("change", {"change": change, "observations": _newest(data)}, step=step)
        states = [operation.get("state") for operation in change.get("operations", [])]
        return {
            "change_id": str(change["change_id"]),
            "change_state": str(change["state"]),
            "applied": any(word in ("applied", "undoing", "undone") for word in states),
            "note": str(change.get("note", "")),
        }

    async def report(self, state: State) -> Update:
        """Write the report and say how the run ended."""
        result = self.result(state)
        report.write(self.folder, self.recorder.ledger, result)
        self.recorder.record("end", result.as_json(), step="report")
        return {"result": result.as_json()}

    def result(self, state: State, *, waiting: bool = False) -> RunResult:
        """Return what the state amounts to."""
        findings = Findings.from_json(state["findings"])
        change_state = state.get("change_state")
        begun = self.recorder.ledger.began_at
        return RunResult(
            run=self.folder.run,
            guide=state.get("guide"),
            outcome=findings.outcome,
            cause=findings.cause,
            evidence=findings.cause.evidence if findings.cause else findings.evidence,
            plan_id=state.get("plan_id"),
            operations=tuple(state.get("operations", ())) if state.get("applied") else (),
            approved=(state.get("decision") or {}).get("verdict") == "approved",
            applied=bool(state.get("applied")),
            verified=change_state == "verified",
            undone=change_state == "undone",
            change_state=change_state,
            ttft_p95_before_s=state.get("before") if state.get("applied") else None,
            ttft_p95_after_s=state.get("after"),
            steps=findings.steps_run,
            seconds=round(self.clock.now() - begun, 3),
            report=self.folder.report,
            ledger=self.folder.ledger,
            note=state.get("note", ""),
            says=findings.says,
            waiting=waiting,
        )


_UNKNOWN = "the changes server does not say that the policy approves it"


def _needs_person(data: Mapping[str, Any]) -> str | None:
    """Return why a person must approve a plan; a server that does not tell is one where a person must."""
    said = data.get("needs_person", _UNKNOWN)
    return None if said is None else str(said)


def _filled_by_hand(state: State) -> bool:
    """Say whether a person filled in what a draft may hold: an input of the guide, or the service by a question."""
    return bool(state["inputs"]) or intake.Subject.from_json(state["subject"]).kind != "alert"


def _newest(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the newest observation of each expectation: all of them stand behind the call's evidence id."""
    observed = cast("list[dict[str, Any]]", data.get("observations") or [])
    return list({item["expectation"]: item for item in observed}.values())
