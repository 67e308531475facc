"""Faults at random, over HTTP: whatever happens, a change ends verified, undone and proved, or stuck and said.

Every seed is a plan of four operations (two Deployments, a serving configuration, a ConfigMap that is created) that the
product's own client carries to a lab's API server over a wire with a storm of its own: 409, 429 with `Retry-After` (as
a Status, and as the plain text of priority and fairness), 500, 504, the page of a gateway, resets before and after the
write was taken, answers that end in the middle, that are no JSON or no object, that never come while the write is
carried out up to a minute later, and a port on which nobody listens; webhooks that change or deny the write; what is
followed while verifying (metrics, and an object) stops, hangs or breaks off; a controller writes status before every
request, and a person writes the same values. A client's time-out is on a clock that jumps, so nothing here waits.

The judge (`storm_world.py`) reads the API server's own audit and its store:

- verified: every target is as approved, by exactly one write each;
- undone: every target has its values from before, and so many writes back as forward;
- stuck: whatever is not as it was before is named in the note.

In all three nothing else was written. An attempt that ended before its first write (`superseded`) counts as undone: the
judge asks the same of it. An apply that is refused before it has begun is asked for again, as a person would, and must
have written nothing.
"""

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from midwatch_contracts.plan import Change
from midwatch_mcp.kubernetes.client import KubeClient
from midwatch_mcp.metrics.client import PrometheusClient
from midwatch_mcp.safe_apply.approvals import put_approval, signed_approval
from midwatch_mcp.safe_apply.envelope import Envelope, Proposal
from midwatch_mcp.safe_apply.errors import RefusedChangeError, TargetError
from midwatch_mcp.safe_apply.fake_world import EXPECT, create_map, scale, set_blocks
from midwatch_mcp.safe_apply.keys import key_folder, new_key, private_key
from midwatch_mcp.safe_apply.targets import KubeTargets, LiveReader
from storm import KINDS, JumpingLoop, LateClock, Storm
from storm_wire import Wire
from storm_world import CHAT, CREATED, PERSONS, REPLICA, ROUTER, StormWorld

TOGETHER = 25
"""Tries of one plan in one state folder."""
DRAFT: dict[str, Any] = {
    "title": "Change four things at once",
    "cause": None,
    "evidence": [],
    "operations": [
        set_blocks(),
        {"op": "serving.config", "target": {"serving": REPLICA}, "args": {"values": {"max_num_seqs": 8}}},
        scale(),
        create_map(queue="8"),
    ],
    "expect": [
        EXPECT | {"within_s": 8, "hold_s": 2},
        {"object": CHAT, "cel": "object.spec.replicas == 3.0", "within_s": 8, "hold_s": 0},
    ],
}
BEFORE: dict[str, Any] = {CHAT: "14", ROUTER: 3, REPLICA: 4, CREATED: None}
AFTER: dict[str, Any] = {CHAT: "256", ROUTER: 4, REPLICA: 8, CREATED: {"queue": "8"}}
ASKED_UNDER_FAULTS, ASKED = 4, 30
"""How often an apply that is refused is asked for: status writes may refuse it on a quiet wire too."""


@dataclass
class Operator:
    """Somebody who applies one plan again and again, each time on the cluster as it first was."""

    world: StormWorld
    state: Path
    kube: KubeClient
    proposal: Proposal
    prometheus: PrometheusClient

    @classmethod
    @asynccontextmanager
    async def at(cls, wire: Wire, clock: LateClock, folder: Path) -> AsyncGenerator["Operator"]:
        world = StormWorld(clock, wire)
        kube = KubeClient(world.kubeconfig(folder))
        prometheus = PrometheusClient(f"http://127.0.0.1:{wire.port}/prometheus")
        targets = KubeTargets(kube)
        envelope = Envelope(state=folder, api=targets, reader=LiveReader(targets, prometheus), clock=clock)
        proposal = await envelope.propose(DRAFT)
        await envelope.aclose()
        new_key(folder, "alice")
        try:
            yield cls(world, folder, kube, proposal, prometheus)
        finally:
            await prometheus.aclose()
            await kube.aclose()

    async def apply(self, seed: int) -> tuple[Change, Storm]:
        """Apply the plan under the storm of a seed, to its end."""
        storm = Storm(seed)
        self.world.enter(storm)
        self.world.metrics.value = 3.0 if storm.rng.random() < 0.3 else 0.2
        self._approve()
        targets = KubeTargets(self.kube)
        envelope = Envelope(
            state=self.state,
            api=targets,
            reader=LiveReader(targets, self.prometheus),
            clock=self.world.clock,
            allow_write=True,
            poll_s=2.0,
        )
        begin = envelope.journal.begin

        def begun(*args: Any, **named: Any) -> None:
            begin(*args, **named)
            storm.raging = storm.begun = True

        envelope.journal.begin = begun
        try:
            change = await self._carried(envelope, storm)
            envelope.audit.verify()
            return change, storm
        finally:
            await self.world.clock.quiet()
            await envelope.aclose()

    async def _carried(self, envelope: Envelope, storm: Storm) -> Change:
        plan_id, refusal = self.proposal.plan.id, None
        for asked in range(ASKED):
            storm.raging = storm.begun or asked < ASKED_UNDER_FAULTS
            try:
                change = await envelope.apply(plan_id)
            except (TargetError, RefusedChangeError) as error:
                refusal = error
            else:
                await envelope.join(plan_id)
                return envelope.journal.record(change.change_id).change
            assert not storm.begun, f"it had begun, and says {refusal!r}"
            assert not self.world.taken(), f"refused, and wrote: {refusal!r}"
            await self.world.clock.sleep(1)
        raise AssertionError(f"it never began, on a quiet wire: {refusal!r}")

    def _approve(self) -> None:
        approval = signed_approval(
            self.proposal.plan,
            self.proposal.preview_sha256,
            approver="alice",
            key=private_key(key_folder(self.state) / "alice.key"),
            method="terminal",
            now=self.world.clock.now(),
            expires_s=900.0,
        )
        put_approval(self.state, approval)


def strange(now: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Return what is not as wanted and not by the decision of the person, whose numbers are no others'."""
    return [one for one in wanted if now[one] != wanted[one] and not (one == ROUTER and now[one] in PERSONS)]


def wrong(world: StormWorld, change: Change) -> str:
    """Say what the server contradicts, or nothing."""
    now, log = world.touched(), world.taken()
    right = False
    match change.state:
        case "verified":
            right = not strange(now, AFTER) and all(log[entity] == 1 for entity in AFTER)
        case "undone" | "superseded":
            there_and_back = all(log[entity] % 2 == 0 for entity in BEFORE if now[entity] == BEFORE[entity])
            right = not strange(now, BEFORE) and there_and_back
        case "stuck":
            unsaid = [one for one in strange(now, BEFORE) if one.rpartition("/")[2] not in change.note]
            right = not unsaid and "A person must look: " in change.note
        case _:
            right = False
    if right and set(log) <= set(BEFORE):
        return ""
    return f"{change.state}, and there is {now} by {dict(log)}: {change.note}"


@dataclass
class Tally:
    """How the tries ended, which faults there were, and what went otherwise."""

    ends: Counter[str]
    faults: Counter[str]
    other: list[str]


async def tries(seeds: Sequence[int], folder: Path) -> Tally:
    tally = Tally(Counter(), Counter(), [])
    clock = LateClock()
    async with Wire(clock).running() as wire:
        for start in range(0, len(seeds), TOGETHER):
            async with Operator.at(wire, clock, Path(tempfile.mkdtemp(dir=folder))) as operator:
                for seed in seeds[start : start + TOGETHER]:
                    rest = operator.world.rest()
                    change, storm = await operator.apply(seed)
                    fault = wrong(operator.world, change)
                    if operator.world.rest() != rest:
                        fault = fault or f"{change.state}, and something else changed"
                    tally.faults.update(storm.told)
                    tally.ends["undone" if change.state == "superseded" else change.state] += not fault
                    if fault:
                        tally.other.append(f"seed {seed} ({dict(Counter(storm.told))}): {fault}")
    return tally


@pytest.mark.slow
def test_under_any_faults_a_change_ends_verified_undone_or_stuck_and_said(
    tmp_path: Path, one_apply_in: int, capsys: pytest.CaptureFixture[str]
) -> None:
    seeds = range(0, 1000, one_apply_in)
    with asyncio.Runner(loop_factory=JumpingLoop) as runner:
        tally = runner.run(tries(seeds, tmp_path))
    ends = {end: tally.ends[end] for end in ("verified", "undone", "stuck")}
    told = ", ".join(f"{number} {end}" for end, number in ends.items())
    with capsys.disabled():
        print(f"\nfaults: {len(seeds)} applies: {told}, {len(tally.other)} else")  # noqa: T201 (the figure of this test)
    assert not tally.other, "\n".join(tally.other[:10])
    assert min(ends.values()) > 0, "a storm that never changes the end is none"
    assert one_apply_in > 1 or set(tally.faults) == set(KINDS), tally.faults
