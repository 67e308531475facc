"""A plan on its copy: proposed, approved by a key that lives as long as the copy, applied, verified, undone, proved."""

import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from midwatch_contracts.clock import Clock
from midwatch_contracts.entity import Entity
from midwatch_contracts.expectations import Reader
from midwatch_contracts.plan import Change, Operation, Plan
from midwatch_mcp.errors import ServersError
from midwatch_mcp.safe_apply.approvals import put_approval, signed_approval
from midwatch_mcp.safe_apply.drafting import Draft
from midwatch_mcp.safe_apply.envelope import Envelope, Proposal
from midwatch_mcp.safe_apply.errors import RefusedChangeError
from midwatch_mcp.safe_apply.keys import key_folder, new_key, private_key
from midwatch_mcp.safe_apply.pods import is_ready
from midwatch_mcp.safe_apply.policy import ASSIST, ApprovalRules, Policy
from midwatch_mcp.safe_apply.ports import TargetApi
from midwatch_mcp.safe_apply.rehearsal.copying import World, copied
from midwatch_mcp.safe_apply.rehearsal.outcome import Ended, Rehearsal, Undone
from midwatch_mcp.safe_apply.rehearsal.redrafting import not_met, redrafted
from midwatch_mcp.safe_apply.rehearsal.watching import PodWatch, pods_of, why_not_ready

_READY_WITHIN_S = 90.0
_LOOK_S = 0.5
_KEY = "rehearsal"
_ALWAYS = (
    "there is no traffic, and the stand-ins do no work",
    "admission webhooks and controllers of custom kinds did not look",
)


@dataclass(frozen=True)
class Copy:
    """A cluster that is a copy of what a plan touches."""

    api: TargetApi
    reader: Reader


Stage = Callable[[World, Path], AbstractAsyncContextManager[Copy]]
"""Makes a copy, with its files in a folder."""


@dataclass(frozen=True)
class _Result:
    ended: Ended
    undo: Undone = "none"
    failed: tuple[str, ...] = ()


@dataclass
class Rehearsing:
    """One rehearsal of one previewed plan. `say` is told of its progress."""

    proposal: Proposal
    live: TargetApi
    policy: Policy
    stage: Stage
    clock: Clock
    max_pods: int
    within_s: float
    """How long the copy has to settle after the change, in seconds."""
    say: Callable[[str], None]

    async def run(self) -> Rehearsal:
        """Rehearse the plan. The real cluster is only read, and nothing of the copy stays."""
        began = self.clock.now()
        world, watch = World(), None
        try:
            world = await copied(self.proposal.plan, self.live)
            if world.replicas > self.max_pods:
                raise RefusedChangeError(
                    "state", f"the copy would run {world.replicas} pods, more than {self.max_pods}: raise --max-pods"
                )
            with tempfile.TemporaryDirectory(prefix="midwatch-rehearsal-") as text:
                folder = Path(text)
                self.say(f"copying {len(world.manifests)} objects into a lab")
                async with self.stage(world, folder / "stage") as copy:
                    watch = PodWatch(copy.api, world.workloads, self.clock)
                    result = await self._on(copy, world, watch, folder / "state")
        except ServersError as error:
            result = _Result("not_run", failed=(str(error),))
        now = self.clock.now()
        return Rehearsal(
            plan_id=self.proposal.plan.id,
            preview_sha256=self.proposal.preview_sha256,
            at=now,
            seconds=round(now - began, 1),
            ended=result.ended,
            undo=result.undo,
            failed=result.failed,
            pods=() if watch is None else watch.courses(),
            differences=(*sorted(world.cuts), *_untried(self.proposal.plan, world), *_ALWAYS),
        )

    async def _on(self, copy: Copy, world: World, watch: PodWatch, state: Path) -> _Result:
        missing = await self._settled(copy.api, world)
        if missing:
            return _Result("not_run", failed=missing)
        try:
            draft = redrafted(self.proposal.plan, await _pods(copy.api, world), self.within_s, world.cuts)
        except RefusedChangeError as refusal:
            return _Result("refused", failed=(str(refusal),))
        new_key(state, _KEY)
        policy = self.policy.model_copy(
            update={"frozen": None, "freeze": (), "autonomy": ASSIST, "approvals": ApprovalRules()}
        )
        envelope = Envelope(
            state=state,
            api=copy.api,
            reader=copy.reader,
            clock=self.clock,
            policy=policy,
            allow_write=True,
            poll_s=_LOOK_S,
        )
        try:
            return await self._tried(envelope, draft, watch)
        finally:
            await envelope.aclose()

    async def _tried(self, envelope: Envelope, draft: Draft, watch: PodWatch) -> _Result:
        self.say("previewing and applying the plan on the copy")
        try:
            async with watch:
                change = await self._carried(envelope, await envelope.propose(draft))
        except ServersError as error:
            return _Result("refused", failed=(str(error),))
        if change.state != "verified":
            why = [f"pods of {name}: {'; '.join(whys)}" for name, whys in watch.reasons.items()]
            failed = (*_unmet(envelope, change), *why)
            return _Result("failed", "proved" if change.state == "undone" else "failed", failed)
        if any(not isinstance(one.undo, Operation) for one in envelope.journal.plan(change.plan_id).operations):
            return _Result("verified")
        self.say("verified; undoing it again")
        try:
            back = await self._carried(envelope, await envelope.draft_undo(change.change_id))
        except ServersError as error:
            return _Result("verified", "failed", (f"the undo was refused: {error}",))
        if back.state == "verified":
            return _Result("verified", "proved")
        return _Result("verified", "failed", (f"the undo ended {back.state}: {back.note}",))

    async def _carried(self, envelope: Envelope, proposal: Proposal) -> Change:
        """Approve and apply a plan of the copy, and return its change at its end."""
        key = private_key(key_folder(envelope.state) / f"{_KEY}.key")
        approval = signed_approval(
            proposal.plan, proposal.preview_sha256, approver=_KEY, key=key, method="cli", now=self.clock.now()
        )
        put_approval(envelope.state, approval)
        change = await envelope.apply(proposal.plan.id)
        await envelope.join(proposal.plan.id)
        return (await envelope.status(change.change_id))[0].change

    async def _settled(self, api: TargetApi, world: World) -> tuple[str, ...]:
        """Wait until the copy runs what the real cluster runs; returns what of it does not come up."""
        deadline = self.clock.now() + _READY_WITHIN_S
        while True:
            pods = await pods_of(api, world.workloads)
            counts = {name: sum(map(is_ready, found)) for name, found in pods.items()}
            short = [name for name, count in counts.items() if count < world.ready.get(name, 0)]
            if not short:
                self.say(f"the copy runs: {sum(counts.values())} ready pods")
                return ()
            if self.clock.now() > deadline:
                return tuple(
                    f"before the change, {name} has {counts[name]} of {world.ready[name]} ready pods in the copy: "
                    f"{'; '.join(dict.fromkeys(why_not_ready(pods[name]))) or 'they do not get ready'}"
                    for name in short
                )
            await self.clock.sleep(_LOOK_S)


def _unmet(envelope: Envelope, change: Change) -> tuple[str, ...]:
    """Return what was not met of what was expected of the copy, or why else the change did not stay."""
    expected = envelope.journal.plan(change.plan_id).expect
    seen = envelope.journal.observations(change.change_id)
    failed = dict.fromkeys(one.expectation for one in seen if one.state == "failed")
    said = tuple(not_met(expected[number]) for number in failed)
    return said if said and change.state == "undone" else (*said, f"the change ended {change.state}: {change.note}")


async def _pods(api: TargetApi, world: World) -> dict[str, str]:
    """Return the copy's pod for each pod that the plan names: one of the same workload, each another."""
    there = await pods_of(api, world.workloads)
    taken: dict[str, int] = {}
    found: dict[str, str] = {}
    for pod, workload in world.pods.items():
        number = taken.get(workload, 0)
        taken[workload] = number + 1
        if number < len(there[workload]):
            metadata = cast("Mapping[str, Any]", there[workload][number]["metadata"])
            found[pod] = str(Entity("Pod", str(metadata["namespace"]), str(metadata["name"])))
    alone = [one["metadata"] for one in world.manifests if one["kind"] == "Pod"]
    names = [str(Entity("Pod", str(one["namespace"]), str(one["name"]))) for one in alone]
    return found | dict(zip(names, names, strict=True))


def _untried(plan: Plan, world: World) -> tuple[str, ...]:
    """Return a sentence on images that the plan brings in and that nothing around runs."""
    known = world.images | world.missing_images
    new = sorted(
        {str(after) for operation in plan.operations for after in _images(operation.args) if after not in known}
    )
    return (f"no pod around runs {', '.join(new)}: whether it can be pulled and starts was not tried",) if new else ()


def _images(args: Any) -> set[str]:
    """Return the images that arguments name, at any depth."""
    if isinstance(args, dict):
        found = cast("dict[str, Any]", args)
        own = {found["image"]} if isinstance(found.get("image"), str) else set[str]()
        given = found.get("images")
        many = set(cast("dict[str, Any]", given).values()) if isinstance(given, dict) else set[Any]()
        return own | {one for one in many if isinstance(one, str)} | {i for one in found.values() for i in _images(one)}
    if isinstance(args, list):
        return {image for one in cast("list[Any]", args) for image in _images(one)}
    return set()
