"""A process that is killed at any step of any operation leaves what a later one finishes, undoes, or calls stuck.

The judge is the cluster's own log of writes, the commands it ran and its objects, never the journal:

- doubled: an object has a write that does not lead from where the one before it led, or more writes than one there and
  one back; a pod went twice; a command ran twice;
- half-applied: at the end some objects are in their approved state and others are not, but for what has no undo, which
  the note of a stuck change must name;
- lost: the change is not in a terminal state, or its state does not tell what the objects show.
"""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from midwatch_contracts.plan import Change
from midwatch_mcp.safe_apply.errors import RefusedChangeError
from midwatch_mcp.safe_apply.fake_world import QUERY, World
from midwatch_mcp.safe_apply.fuse import Fuse, Killed
from midwatch_mcp.safe_apply.operations import OPERATIONS
from safe_apply_furniture import FINAL, REVERSIBLE, State, furnish, state_of

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

Drafts = tuple[dict[str, Any], ...]


def drafts(*names: str) -> Drafts:
    return tuple((REVERSIBLE | FINAL)[name] for name in names)


LEADING_BACK: dict[str, Drafts] = {
    "what is there and what is not": drafts("create", "delete", "cordon"),
    "one workload": drafts("set_env", "hpa_bounds", "serving.drain"),
    "fields and budgets": drafts("apply", "pdb", "serving.adapter"),
    "a restart": drafts("rollout_restart", "scale"),
}
"""Plans of operations that have an undo."""
OTHERS = ("set_image", "set_resources", "label", "annotate", "rollout_undo", "rollout_pause", "set_args", "patch")

ENDING: dict[str, Drafts] = {name: drafts("scale", name) for name in FINAL}
"""Plans that end with one that has none."""


def opened(folder: Path, *, good: bool) -> World:
    world = World(folder)
    furnish(world)
    names = ", ".join(f'"{name}"' for name in OPERATIONS)
    (world.state / "policy.toml").write_text(f"operations = [{names}]\n")
    if not good:
        world.metrics.constant(QUERY, 3.0)
    return world


async def run_until_killed(world: World, plan_id: str, fuse: Fuse) -> bool:
    envelope = world.open(fuse=fuse)
    try:
        change = await envelope.apply(plan_id)
        await envelope.join(plan_id)
        assert await world.settle(change.change_id, envelope)
    except Killed:
        return True
    return False


async def recovered(world: World, plan_id: str) -> Change:
    """Ask for the plan again as a person or a resumed run does, and let it come to its end."""
    fresh = world.open()
    try:
        change = await fresh.apply(plan_id)
    except RefusedChangeError as refusal:
        if refusal.reason != "replayed":
            raise
        change = fresh.changes()[-1].change
    await world.settle(change.change_id, fresh)
    assert not fresh.journal.under_way(), "lost"
    return fresh.journal.record(change.change_id).change


def changed(one: State, other: State) -> set[str]:
    objects = {name for name in one.objects | other.objects if one.objects.get(name) != other.objects.get(name)}
    return objects | {name for name in one.backends if one.backends[name] != other.backends[name]}


def judge(world: World, before: State, approved: State, end: Change, final: str | None) -> None:
    writes = world.cluster.writes
    for entity, count in Counter(write.entity for write in writes).items():
        log = [write for write in writes if write.entity == entity]
        assert [write.before_sha256 for write in log[1:]] == [write.after_sha256 for write in log[:-1]], "doubled"
        assert count <= (1 if final in ("drain", "evict") and entity.startswith("Pod/") else 2), "doubled"
    assert len(world.cluster.ran) <= 1, "a command ran twice"
    now = state_of(world)
    if end.state == "verified":
        assert now == approved, "half-applied"
        assert len(world.cluster.ran) == (final == "exec")
    elif end.state == "undone":
        assert now == before, "half-applied"
        assert not world.cluster.ran
    else:
        assert end.state == "stuck"
        assert final is not None, "nothing here is without an undo"
        assert f"the {FINAL[final]['op']} of" in end.note, "what stays is not named"
        assert not changed(before, now) & {"Deployment/llm/router"}, "half-applied"


async def one_run(folder: Path, plan: Drafts, at: int | None, *, good: bool, final: str | None) -> tuple[World, Fuse]:
    world = opened(folder, good=good)
    if final == "serving.reset_cache":
        world.cluster.backends["Pod/llm/chat-1"]["requests"] = {}
    proposal = await world.propose(*plan)
    world.approve(proposal)
    before = state_of(world)
    fuse = Fuse(at)
    died = await run_until_killed(world, proposal.plan.id, fuse)
    assert died == (at is not None), f"step {at} was never reached"
    approved = state_of(world)
    if at is not None:
        end = await recovered(world, proposal.plan.id)
        approved = APPROVED[folder.parent]
    else:
        end = world.envelope.changes()[-1].change
    judge(world, before, approved, end, final)
    if at is None and good:
        assert end.state == "verified", end.note
        APPROVED[folder.parent] = approved
    for envelope in world.envelopes:
        await envelope.aclose()
    return world, fuse


APPROVED: dict[Path, State] = {}
"""Where each plan leads when nobody is killed, by the folder of the test."""


async def all_kills(folder: Path, plan: Drafts, stride: int, *, final: str | None = None, ends: str = "both") -> int:
    kills = 0
    _, fuse = await one_run(folder / "whole", plan, None, good=True, final=final)
    for good in (True, False):
        if not good:
            if ends != "both":
                break
            _, fuse = await one_run(folder / "bad", plan, None, good=False, final=final)
        first = next(i for i, step in enumerate(fuse.steps) if "journal begin" in step)
        for at in range(first + 1 + stride // 2, len(fuse.steps) + 1, stride):
            await one_run(folder / f"{good}-{at}", plan, at, good=good, final=final)
            kills += 1
    return kills


@pytest.mark.parametrize("stride", [pytest.param(13, marks=pytest.mark.slow), 31])
@pytest.mark.parametrize("what", LEADING_BACK)
async def test_operations_with_an_undo_end_verified_or_undone(tmp_path: Path, what: str, stride: int) -> None:
    assert await all_kills(tmp_path, LEADING_BACK[what], stride) >= 40 // stride


@pytest.mark.parametrize("stride", [pytest.param(13, marks=pytest.mark.slow), 29])
@pytest.mark.parametrize("final", ENDING)
async def test_what_has_no_undo_is_done_once_or_not_at_all_or_said(tmp_path: Path, final: str, stride: int) -> None:
    assert await all_kills(tmp_path, ENDING[final], stride, final=final) >= 40 // stride


@pytest.mark.slow
@pytest.mark.parametrize("what", OTHERS)
async def test_every_other_operation_survives_kills_too(tmp_path: Path, what: str) -> None:
    assert await all_kills(tmp_path, drafts(what), 7) > 4
