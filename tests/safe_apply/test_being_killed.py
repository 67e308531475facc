"""A process that is killed at any step leaves what a later one finishes or undoes.

The judge is the cluster's own log of writes and its objects, never the journal:

- doubled: an object has more than one write that leads from its first state to the approved one;
- half-applied: at the end one object is in its approved state and another is not;
- lost: the change is not in a terminal state, or its state does not tell what the objects show.
"""

import asyncio
import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from midwatch_contracts.clock import VirtualClock
from midwatch_contracts.plan import ChangeState, Target
from midwatch_mcp.safe_apply.envelope import Envelope
from midwatch_mcp.safe_apply.errors import RefusedChangeError
from midwatch_mcp.safe_apply.fake_world import QUERY, World, create_map, deployment, scale, set_blocks
from midwatch_mcp.safe_apply.fakes import Written, digest
from midwatch_mcp.safe_apply.fuse import Fuse, Killed
from midwatch_mcp.safe_apply.passing import PassingApi
from midwatch_mcp.safe_apply.ports import Snapshot, Write

pytestmark = pytest.mark.anyio

ENTITIES = ("Deployment/llm/chat", "Deployment/llm/router", "Pod/llm/chat-1")
CONFIG = {"op": "serving.config", "target": {"serving": "Pod/llm/chat-1"}, "args": {"values": {"max_num_seqs": 8}}}


def states(world: World) -> dict[str, str]:
    found = {entity: digest(world.cluster.objects_by_entity[entity]) for entity in ENTITIES[:2]}
    return found | {ENTITIES[2]: digest(world.cluster.configs[ENTITIES[2]])}


async def run_until_killed(world: World, plan_id: str, fuse: Fuse) -> bool:
    """Apply and follow the change in a process that dies when the fuse burns through; say whether it died."""
    envelope = world.open(fuse=fuse)
    try:
        change = await envelope.apply(plan_id)
        await envelope.join(plan_id)
        assert await world.settle(change.change_id, envelope)
    except Killed:
        return True
    return False


def approved_states() -> dict[str, str]:
    """Return what the plan leads to, written down by hand."""
    args = ["--model=tiny", "--num-gpu-blocks-override=256", "--max-num-seqs", "4"]
    config: dict[str, Any] = {"values": {"max_num_seqs": 8, "max_num_batched_tokens": 512}, "restart_required": []}
    return {
        ENTITIES[0]: digest(deployment(args=args, uid=f"uid-{ENTITIES[0]}")),
        ENTITIES[1]: digest(deployment("router", replicas=4, uid=f"uid-{ENTITIES[1]}")),
        ENTITIES[2]: digest(config),
    }


def judge(world: World, before: dict[str, str], end: ChangeState, approved: dict[str, str]) -> None:
    """Compare the end with the objects and with the cluster's log."""
    now = states(world)
    assert now in (before, approved), "half-applied"
    for entity in ENTITIES:
        forward = Written(entity, before[entity], approved[entity])
        backward = Written(entity, approved[entity], before[entity])
        log = [write for write in world.cluster.writes if write.entity == entity]
        assert all(write in (forward, backward) for write in log), "a write that nobody approved"
        # Each write leads from where the one before it led to: nothing was done twice over.
        assert [write.before_sha256 for write in log[1:]] == [write.after_sha256 for write in log[:-1]], "doubled"
        assert log.count(forward) <= 1, "doubled"
    expected = approved if end == "verified" else before
    assert now == expected, f"the change says {end} and the objects do not"
    assert world.open().audit.verify().entries


async def recovered(world: World, plan_id: str) -> ChangeState:
    """Do what a person or a resumed run does: ask for the plan again, and let it come to its end."""
    fresh = world.open()
    try:
        change = await fresh.apply(plan_id)
    except RefusedChangeError as refusal:
        if refusal.reason != "replayed":
            raise
        # Killed after the end was on disk: the approval is spent and the change stands in the list.
        change = fresh.changes()[-1].change
    return await world.settle(change.change_id, fresh)


async def one_run(folder: Path, at: int | None, *, good: bool) -> tuple[World, Fuse, bool]:
    world = World(folder)
    if not good:
        world.metrics.constant(QUERY, 3.0)
    proposal = await world.propose(set_blocks(), CONFIG, scale())
    world.approve(proposal)
    before = states(world)
    fuse = Fuse(at)
    died = await run_until_killed(world, proposal.plan.id, fuse)
    end = await recovered(world, proposal.plan.id)
    judge(world, before, end, approved_states())
    assert end == ("verified" if good else "undone")
    assert not world.open().journal.under_way()
    return world, fuse, died


@pytest.mark.parametrize("stride", [pytest.param(3, marks=pytest.mark.slow), 9])
@pytest.mark.parametrize("end", ["verified", "undone"])
async def test_killed_at_any_step_the_change_is_finished_or_undone(tmp_path: Path, end: str, stride: int) -> None:
    good = end == "verified"
    world, whole, died = await one_run(tmp_path / "whole", None, good=good)
    assert not died
    await close(world)
    assert {step.split()[1] for step in whole.steps} == {"journal", "read", "write", "dry"}
    kills = 0
    for at in range(1, len(whole.steps) + 1, stride):
        world, fuse, died = await one_run(tmp_path / str(at), at, good=good)
        assert died, f"step {at} was never reached"
        kills += 1
        assert len(fuse.steps) >= at
        await close(world)
    assert kills * stride >= len(whole.steps) > 60


async def test_killed_while_undoing_and_again_while_recovering_it_still_ends(tmp_path: Path) -> None:
    world, whole, _ = await one_run(tmp_path / "whole", None, good=False)
    await close(world)
    undoing = next(i for i, step in enumerate(whole.steps) if "move:undoing" in step)
    for first in range(undoing, len(whole.steps), 5):
        for second in (1, 4, 9):
            world = World(tmp_path / f"{first}-{second}")
            world.metrics.constant(QUERY, 3.0)
            proposal = await world.propose(set_blocks(), CONFIG, scale())
            world.approve(proposal)
            before = states(world)
            assert await run_until_killed(world, proposal.plan.id, Fuse(first + 1))
            with contextlib.suppress(Killed):
                await world.open(fuse=Fuse(second)).recover()
            changes = await world.open().recover()
            assert all(change.state == "undone" for change in changes)
            assert all("is not true of 3" in change.note for change in changes), "the reason was lost"
            assert states(world) == before
            await close(world)


async def test_a_change_that_was_cut_off_is_undone_once_its_approval_has_expired(tmp_path: Path) -> None:
    world = World(tmp_path)
    proposal = await world.propose(set_blocks(), scale())
    world.approve(proposal, expires_s=60)
    before = states(world)
    fuse = Fuse()
    dying = world.open(fuse=fuse)

    def die_after_first_write(phase: str, verb: str, _entity: str) -> None:
        if (phase, verb) == ("after", "write"):
            fuse.at = 1

    world.cluster.hook = die_after_first_write
    with pytest.raises(Killed):
        await dying.apply(proposal.plan.id)
    assert states(world) != before
    world.cluster.hook = lambda _phase, _verb, _entity: None
    await world.clock.advance(61)
    change = await world.open().apply(proposal.plan.id)
    assert change.state == "undone"
    assert "expired while the change was cut off" in change.note
    assert states(world) == before
    await close(world)


@dataclass
class LateApi(PassingApi):
    """Its process dies while the first write is under way, which arrives half a minute later."""

    clock: VirtualClock
    late: list[asyncio.Task[Snapshot]] = field(default_factory=list[asyncio.Task[Snapshot]])

    async def write(self, target: Target, write: Write, *, read: Snapshot, dry_run: bool) -> Snapshot:
        send = super().write
        if dry_run:
            return await send(target, write, read=read, dry_run=True)

        async def arrive() -> Snapshot:
            await self.clock.sleep(30)
            return await send(target, write, read=read, dry_run=False)

        self.late.append(asyncio.create_task(arrive()))
        raise Killed("write")


@pytest.mark.parametrize("operation", [set_blocks(), create_map(queue="8")], ids=["set_args", "create"])
async def test_a_write_that_arrives_after_its_process_died_does_not_outlive_the_undo(
    world: World, operation: dict[str, Any]
) -> None:
    proposal = await world.propose(operation)
    world.approve(proposal, expires_s=10)
    before = states(world)
    api = LateApi(world.cluster, world.clock)
    envelope = Envelope(state=world.state, api=api, reader=world.metrics, clock=world.clock, allow_write=True)
    with pytest.raises(Killed):
        await envelope.apply(proposal.plan.id)
    await envelope.aclose()
    await world.clock.advance(11)
    (change,) = await world.open().recover()
    await asyncio.gather(*api.late)
    assert change.state == "undone", change.note
    assert len(world.cluster.writes) == 2, "the late one was taken, and undone"
    assert states(world) == before
    assert "ConfigMap/llm/limits" not in world.cluster.objects_by_entity


async def test_verification_is_taken_up_again_by_a_status_call_in_another_process(tmp_path: Path) -> None:
    world = World(tmp_path)
    proposal = await world.propose()
    world.approve(proposal)
    first = world.open()
    change = await first.apply(proposal.plan.id)
    await first.aclose()
    world.envelopes.remove(first)
    reader = world.open(allow_write=False)
    record, _ = await reader.status(change.change_id, 60)
    assert record.change.state == "verifying"
    second = world.open()
    record, _ = await second.status(change.change_id, 60)
    assert record.change.state == "verified"
    assert len(world.cluster.writes) == 1
    await close(world)


async def close(world: World) -> None:
    for envelope in world.envelopes:
        await envelope.aclose()
