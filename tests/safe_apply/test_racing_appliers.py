"""Twenty appliers at once over five objects, and a controller that writes status all the while.

Each plan sets a number of two of the objects. Serial equivalence: the changes that say `verified` can be put in an
order in which each finds what the ones before it left, and which ends in what the cluster holds; the others leave
nothing. The witness is what the cluster took from whom, in its order. Appliers that share a state folder run freely,
with new plans after a defeat: the journal's holds keep them apart. Appliers with folders of their own meet only at the
cluster, where uid, touched values and resourceVersion decide.
"""

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from midwatch_contracts.clock import VirtualClock
from midwatch_contracts.plan import KubeTarget, Target
from midwatch_mcp.safe_apply.approvals import put_approval, signed_approval
from midwatch_mcp.safe_apply.envelope import Envelope
from midwatch_mcp.safe_apply.errors import ConflictError, RefusedChangeError
from midwatch_mcp.safe_apply.fake_world import EXPECT, QUERY, deployment, set_blocks
from midwatch_mcp.safe_apply.fakes import FakeCluster, FakeMetrics
from midwatch_mcp.safe_apply.keys import key_folder, new_key, private_key
from midwatch_mcp.safe_apply.passing import PassingApi
from midwatch_mcp.safe_apply.ports import Snapshot, View, Write
from race import NAMES, Taken, interleaved, judge

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

APPLIERS = 20


@dataclass
class Arena:
    """The cluster, its controller, and the record of who wrote what."""

    seed: int
    cluster: FakeCluster = field(default_factory=FakeCluster)
    clock: VirtualClock = field(default_factory=lambda: VirtualClock(auto=True))
    log: list[Taken] = field(default_factory=list[Taken])
    status_writes: int = 0

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)  # noqa: S311 (a seeded test)
        self.metrics = FakeMetrics(self.clock, self.cluster)
        self.metrics.constant(QUERY, 0.2)
        for name in NAMES:
            self.cluster.put(deployment(name))

    def value(self, name: str) -> str:
        found = self.cluster.objects_by_entity[f"Deployment/llm/{name}"]
        return found["spec"]["template"]["spec"]["containers"][1]["args"][1].partition("=")[2]

    def now(self) -> dict[str, str]:
        return {name: self.value(name) for name in NAMES}

    async def turn(self) -> None:
        """Take the time of a call, in which others go on."""
        await self.clock.sleep(self.rng.random() / 10)

    @asynccontextmanager
    async def controlled(self) -> AsyncGenerator[None]:
        """Let a controller write status all the while."""

        async def write_status() -> None:
            while True:
                await self.clock.sleep(0.05)
                name = self.rng.choice(NAMES)
                self.cluster.put_status(f"Deployment/llm/{name}", {"observedGeneration": self.rng.randint(1, 1_000)})
                self.status_writes += 1

        controller = asyncio.create_task(write_status())
        try:
            yield
        finally:
            controller.cancel()
            await asyncio.gather(controller, return_exceptions=True)


@dataclass
class Door(PassingApi):
    """One applier's way to the cluster: every read and write takes its time, and what is taken is written down."""

    who: str
    arena: Arena

    async def read(self, target: Target, view: View = "state") -> Snapshot:
        await self.arena.turn()
        return await super().read(target, view)

    async def write(self, target: Target, write: Write, *, read: Snapshot, dry_run: bool) -> Snapshot:
        await self.arena.turn()
        assert isinstance(target, KubeTarget)
        before = self.arena.value(target.name)
        found = await super().write(target, write, read=read, dry_run=dry_run)
        if not dry_run:
            self.arena.log.append(Taken(self.who, target.name, before, self.arena.value(target.name)))
        return found


@dataclass
class Applier:
    """An operator with a state folder, perhaps shared; `ends` is how its attempts ended, and what they say."""

    name: str
    arena: Arena
    state: Path
    ends: dict[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])

    async def propose(self, number: int) -> tuple[str, str]:
        """Return (name of the attempt, plan id), approved."""
        who = f"{self.name}-{number}"
        envelope = self._open(who)
        value = str(100 + number * 100 + int(self.name))
        wanted = [set_blocks(value, name) for name in self.arena.rng.sample(NAMES, 2)]
        draft = {"title": who, "cause": None, "evidence": [], "operations": wanted, "expect": [EXPECT]}
        while True:
            try:
                proposal = await envelope.propose(draft)
                break
            except ConflictError:
                continue  # others wrote between read and dry run, each time that it was tried
        await envelope.aclose()
        key = private_key(key_folder(self.state) / "alice.key")
        put_approval(
            self.state,
            signed_approval(
                proposal.plan,
                proposal.preview_sha256,
                approver="alice",
                key=key,
                method="cli",
                now=self.arena.clock.now(),
            ),
        )
        return who, proposal.plan.id

    async def apply(self, who: str, plan_id: str) -> str:
        """Apply it, once, and follow it to its end."""
        envelope = self._open(who)
        try:
            change = await envelope.apply(plan_id)
            await envelope.join(plan_id)
            change = envelope.journal.record(change.change_id).change
            self.ends[who] = change.state, change.note
        except RefusedChangeError as refusal:
            self.ends[who] = f"refused: {refusal.reason}", str(refusal)
        except ConflictError as error:
            self.ends[who] = "refused: conflict", str(error)
        finally:
            await envelope.aclose()
        return self.ends[who][0]

    def _open(self, who: str) -> Envelope:
        return Envelope(
            state=self.state,
            api=Door(self.arena.cluster, who, self.arena),
            reader=self.arena.metrics,
            clock=self.arena.clock,
            allow_write=True,
        )


@pytest.mark.parametrize("seed", [0, 1])
async def test_appliers_of_one_state_folder_never_interleave_on_an_object(tmp_path: Path, seed: int) -> None:
    arena = Arena(seed)
    new_key(tmp_path, "alice")
    appliers = [Applier(str(number), arena, tmp_path) for number in range(APPLIERS)]

    async def run(applier: Applier) -> None:
        for number in range(2):
            if await applier.apply(*await applier.propose(number)) == "verified":
                return

    async with arena.controlled():
        await asyncio.gather(*(run(applier) for applier in appliers))
    ends = {who: end for applier in appliers for who, end in applier.ends.items()}
    judge(arena.log, arena.now(), ends)
    assert not interleaved(arena.log)
    assert sum(state == "verified" for state, _ in ends.values()) >= 2
    assert arena.status_writes > 50


@pytest.mark.parametrize("seed", [0, 1])
async def test_appliers_who_share_nothing_but_the_cluster_are_serial_by_its_versions(tmp_path: Path, seed: int) -> None:
    arena = Arena(seed)
    appliers: list[Applier] = []
    for number in range(APPLIERS):
        appliers.append(Applier(str(number), arena, tmp_path / str(number)))
        new_key(appliers[-1].state, "alice")
    async with arena.controlled():
        for attempt in range(2):
            asked = await asyncio.gather(*(applier.propose(attempt) for applier in appliers))
            await asyncio.gather(*(applier.apply(*one) for applier, one in zip(appliers, asked, strict=True)))
    ends = {who: end for applier in appliers for who, end in applier.ends.items()}
    judge(arena.log, arena.now(), ends)
    states = [state for state, _ in ends.values()]
    assert states.count("verified") >= 2
    assert states.count("superseded") + states.count("undone") > 0


async def test_no_approval_goes_stale_from_status_writes_alone(tmp_path: Path) -> None:
    arena = Arena(1)
    new_key(tmp_path, "alice")
    alone = Applier("7", arena, tmp_path)
    async with arena.controlled():
        for number in range(5):
            who, plan_id = await alone.propose(number)
            await arena.clock.sleep(60)
            assert await alone.apply(who, plan_id) == "verified", alone.ends[who]
    assert arena.status_writes > 6_000
