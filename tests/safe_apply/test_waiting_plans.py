"""What the list says of a plan that waits is what an attempt at it would find."""

import json
import time

import pytest

from midwatch_mcp import commands
from midwatch_mcp.safe_apply.envelope import Envelope, Proposal
from midwatch_mcp.safe_apply.fake_world import World, scale
from midwatch_mcp.safe_apply.keys import new_key, revoke
from midwatch_mcp.safe_apply.waiting import WaitingPlan
from safe_apply_desk import Desk

pytestmark = pytest.mark.anyio


def listed(world: World, proposal: Proposal) -> tuple[str, str]:
    (one,) = [one for one in world.envelope.plans() if one.plan.id == proposal.plan.id]
    return one.state, one.says


async def test_one_of_two_signatures_is_not_approved(world: World) -> None:
    (world.state / "policy.toml").write_text("[approvals.change]\npeople = 2\n")
    new_key(world.state, "bob")
    proposal = await world.propose()
    assert listed(world, proposal) == ("previewed", "")
    world.approve(proposal)
    assert listed(world, proposal) == ("previewed", "alice approved; 1 more must sign")
    world.approve(proposal, name="bob")
    state, says = listed(world, proposal)
    assert state == "approved"
    assert " and ".join(sorted(says.removeprefix("by ").partition(", until ")[0].split(", "))) == "alice and bob"


async def test_an_approval_that_is_over_is_expired(world: World) -> None:
    proposal = await world.propose()
    world.approve(proposal, expires_s=60.0)
    assert listed(world, proposal)[0] == "approved"
    await world.clock.sleep(61)
    assert listed(world, proposal) == ("expired", "the approval by alice expired 1 s ago: approve the plan again")


async def test_an_approval_of_somebody_revoked_or_for_another_preview_or_forged_approves_nothing(world: World) -> None:
    proposal = await world.propose()
    world.approve(proposal, preview_sha256="0" * 64)
    assert listed(world, proposal) == (
        "previewed",
        "the approval by alice is for another preview: approve it again",
    )
    other = await world.propose(scale())
    world.approve(other)
    revoke(world.state, "alice")
    assert listed(world, other) == ("previewed", "alice is no approver here; known: nobody")


async def test_under_a_policy_that_does_not_fit_nothing_is_approved_and_the_list_still_comes(world: World) -> None:
    proposal = await world.propose()
    world.approve(proposal)
    (world.state / "policy.toml").write_text("autonomi = 3\n")
    state, says = listed(world, proposal)
    assert state == "previewed"
    assert "do you mean autonomy?" in says


async def test_a_plan_that_was_undone_waits_again_once_it_is_approved_again(world: World) -> None:
    proposal = await world.propose()
    world.approve(proposal)
    change = await world.envelope.apply(proposal.plan.id)
    await world.settle(change.change_id)
    assert world.envelope.plans() == []
    world.approve(proposal)
    assert listed(world, proposal)[0] == "approved"


def test_the_command_and_the_server_say_the_same(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    (desk.state / "policy.toml").write_text("[approvals.change]\npeople = 2\n")
    proposal = desk.propose()
    desk.world.approve(proposal, now=time.time())

    async def plans(envelope: Envelope) -> list[WaitingPlan]:
        return envelope.plans()

    (held,) = desk.on_envelope(plans)
    assert held.says == "alice approved; 1 more must sign"
    assert desk.run(commands.change, "list", "--json") == 0
    (one,) = json.loads(capsys.readouterr().out)["plans"]
    assert (one["state"], one["says"]) == (held.state, held.says)
    assert desk.run(commands.change, "list") == 0
    assert f"({held.says})" in capsys.readouterr().out
