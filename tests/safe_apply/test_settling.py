"""A stuck change with an operation that nothing undoes is settled by the word of a person, which is no verification."""

import asyncio
import base64
import json
import sys

import pytest

from midwatch_contracts.command import CommandError
from midwatch_contracts.plan import Change, Settlement, settlement_payload
from midwatch_mcp import commands
from midwatch_mcp.safe_apply.audit_log import audit_path, entries
from midwatch_mcp.safe_apply.errors import RefusedChangeError
from midwatch_mcp.safe_apply.fake_world import QUERY
from midwatch_mcp.safe_apply.holds import hold, release
from midwatch_mcp.safe_apply.keys import approvers
from midwatch_mcp.safe_apply.preview import held_by
from safe_apply_desk import Desk, Terminal

EVICT = {"op": "evict", "target": {"kind": "Pod", "namespace": "llm", "name": "chat-1"}, "args": {}}


def stuck(desk: Desk) -> str:
    """Return a change whose eviction was carried out and whose expectation was not met."""

    async def run() -> Change:
        proposal = await desk.world.propose(EVICT)
        desk.world.approve(proposal)
        desk.world.metrics.constant(QUERY, 3.0)
        change = await desk.world.envelope.apply(proposal.plan.id)
        assert await desk.world.settle(change.change_id) == "stuck"
        (again,) = await desk.world.open().recover(change.change_id)
        return again

    change = asyncio.run(run())
    assert change.state == "stuck", "recovery alone never ends it"
    assert "was carried out and stays" in change.note
    return change.change_id


def settle(desk: Desk, change: str, *words: str, reason: str = "The pod runs elsewhere; I looked.") -> int:
    return desk.run(commands.change, "settle", change, "--as", "applied", "--reason", reason, *words)


def test_a_person_settles_a_stuck_change_and_it_stays_unverified(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    change_id = stuck(desk)
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    assert settle(desk, change_id, "--json") == 0
    out, err = capsys.readouterr()
    assert "was carried out and stays" in err
    assert "as applied, unverified, as alice? [y/n]" in err
    told = json.loads(out)["change"]
    assert (told["state"], told["settled"]["found"], told["settled"]["by"]) == ("stuck", "applied", "alice")
    settlement = Settlement.model_validate(told["settled"])
    alice = approvers(desk.state)["alice"]
    assert settlement.signature is not None
    assert alice.signed(settlement_payload(settlement), settlement.signature)
    assert len(base64.b64decode(settlement.signature)) == 64
    *_, last = entries(audit_path(desk.state))
    assert (last.kind, last.run) == ("settled", change_id)
    assert last.body["reason"] == "The pod runs elsewhere; I looked."
    assert last.body["signature"] == settlement.signature
    assert desk.world.envelope.journal.rows("SELECT * FROM holds") == []
    assert desk.run(commands.change, "list") == 0
    assert "(settled as applied by alice, unverified)" in capsys.readouterr().out
    with pytest.raises(RefusedChangeError, match="settled as applied: there is nothing to recover"):
        asyncio.run(desk.world.open().recover(change_id))
    with pytest.raises(CommandError, match="was settled as applied by alice already"):
        settle(desk, change_id)


def test_without_a_yes_a_reason_or_a_terminal_nothing_is_settled(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    change_id = stuck(desk)
    with pytest.raises(CommandError, match="it is empty"):
        settle(desk, change_id, reason="  ")
    with pytest.raises(CommandError, match="no terminal to ask on"):
        settle(desk, change_id)
    with pytest.raises(CommandError, match="--yes is for plans on a running lab"):
        settle(desk, change_id, "--yes")
    monkeypatch.setattr(sys, "stdin", Terminal("n\n"))
    assert settle(desk, change_id) == 4
    assert desk.world.envelope.journal.record(change_id).change.settled is None


def test_only_a_stuck_change_is_settled(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    async def verified() -> str:
        proposal = await desk.world.propose()
        desk.world.approve(proposal)
        change = await desk.world.envelope.apply(proposal.plan.id)
        assert await desk.world.settle(change.change_id) == "verified"
        return change.change_id

    change_id = asyncio.run(verified())
    monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
    with pytest.raises(CommandError, match="only a stuck change is settled"):
        settle(desk, change_id)


def test_a_stuck_change_is_not_taken_up_again_while_another_change_holds_its_object(desk: Desk) -> None:
    change_id = stuck(desk)
    envelope = desk.world.open()
    plan = envelope.journal.plan(envelope.journal.record(change_id).change.plan_id)
    with envelope.journal.transaction("another change") as db:
        hold(db, "chg-other", held_by(plan))
    with pytest.raises(RefusedChangeError, match="is held by chg-other"):
        asyncio.run(envelope.recover(change_id))
    assert envelope.journal.record(change_id).change.state == "stuck"
    with envelope.journal.transaction("its end") as db:
        release(db, "chg-other")
    (again,) = asyncio.run(envelope.recover(change_id))
    assert again.state == "stuck"
    assert envelope.journal.rows("SELECT * FROM holds") == []
