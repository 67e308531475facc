"""The approvers that start `midwatch change approve`, against the real one and its journal."""

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from midwatch_agents.approver import ApprovalRequest, DenyApprover, LaterApprover, YesApprover
from midwatch_contracts.command import Settings
from midwatch_contracts.plan import Plan, Preview, preview_sha256
from midwatch_mcp.safe_apply.approvals import approvals_for
from midwatch_mcp.safe_apply.journal import Journal
from midwatch_mcp.safe_apply.keys import new_key

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

TARGET = {"cluster": "c-1", "apiVersion": "apps/v1", "kind": "Deployment", "namespace": "llm", "name": "chat"}
ASK = """
import asyncio, sys
from pathlib import Path
from midwatch_agents.approver import ApprovalRequest, TerminalApprover
from midwatch_contracts.command import Settings
approver = TerminalApprover(Settings(state=Path(sys.argv[1])))
decision = asyncio.run(approver.decide(ApprovalRequest("run-1", sys.argv[2], "t", {}, "")))
Path(sys.argv[3]).write_text(f"{decision.verdict} {decision.by}")
"""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """A plan with its preview in the journal of the state folder `tmp_path`."""
    found = Plan.sealed(
        title="Scale chat to 3",
        cause=None,
        evidence=(),
        operations=[{"id": "op1", "op": "scale", "target": TARGET, "args": {"replicas": 3}}],
        expect=[{"promql": "up", "holds": "value > 0.0", "within_s": 10, "hold_s": 2}],
        created="2026-01-01T00:00:00.000Z",
    )
    diff = {"operation": "op1", "target": "Deployment/llm/chat", "unified": "-1\n+3\n", "changes": [["/spec", 1, 3]]}
    blast = {"objects": 1, "pods_restarted": 0, "pods_total": 1, "note": "none"}
    preview = Preview.model_validate(
        {"plan_id": found.id, "diffs": [diff], "owners": [], "risk": "change", "blast": blast}
    )
    journal = Journal(tmp_path / "changes.sqlite")
    journal.put_plan(found, 0.0)
    journal.put_preview(preview, 0.0)
    journal.close()
    return found


def request_for(plan: Plan) -> ApprovalRequest:
    return ApprovalRequest("run-1", plan.id, plan.title, {}, "")


async def test_yes_is_refused_outside_a_lab_and_leaves_the_run_open(tmp_path: Path, plan: Plan) -> None:
    decision = await YesApprover(Settings(state=tmp_path)).decide(request_for(plan))
    assert decision.verdict == "later"
    assert "--yes is for plans on a running lab" in decision.note
    assert approvals_for(tmp_path, plan.id) == []


async def test_deny_is_kept_in_the_journal_of_changes(tmp_path: Path, plan: Plan) -> None:
    decision = await DenyApprover(Settings(state=tmp_path)).decide(request_for(plan))
    assert (decision.verdict, "not withdrawn" in decision.note) == ("denied", False)
    (record,) = Journal(tmp_path / "changes.sqlite").records()
    assert record.change.state == "rejected"


async def test_later_says_the_two_commands(plan: Plan) -> None:
    decision = await LaterApprover().decide(request_for(plan))
    assert f"midwatch change approve {plan.id}" in decision.note
    assert "midwatch resume run-1" in decision.note


@pytest.mark.parametrize(("typed", "verdict", "signed"), [(b"y\n", "approved", 1), (b"n\n", "denied", 0)])
async def test_the_terminal_is_asked_by_the_child_on_the_diff(
    tmp_path: Path, plan: Plan, typed: bytes, verdict: str, signed: int
) -> None:
    new_key(tmp_path, "me")
    ours, theirs = pty.openpty()
    told = tmp_path / "told"
    command = [sys.executable, "-c", ASK, str(tmp_path), plan.id, str(told)]
    asking = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)  # noqa: ASYNC220 (nothing else runs meanwhile)
    os.close(theirs)
    try:
        screen = _read_until(ours, b"[y/n]")
        assert b"+3" in screen
        os.write(ours, typed)
        assert asking.wait(timeout=60) == 0
    finally:
        asking.kill()
        asking.wait()
        os.close(ours)
    assert told.read_text() == f"{verdict} terminal"
    found = approvals_for(tmp_path, plan.id)
    assert len(found) == signed
    for approval in found:
        kept = Journal(tmp_path / "changes.sqlite").preview(plan.id)
        assert kept is not None
        assert (approval.approver, approval.preview_sha256) == ("me", preview_sha256(kept[0]))


def _read_until(handle: int, wanted: bytes) -> bytes:
    screen, deadline = b"", time.monotonic() + 60
    while wanted not in screen:
        assert time.monotonic() < deadline, screen
        if select.select([handle], [], [], 0.5)[0]:
            screen += os.read(handle, 4096)
    return screen
