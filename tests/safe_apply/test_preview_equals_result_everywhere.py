"""For generated plans over every operation: the diff that was shown is the diff that an independent reader finds.

The reader has its own client and its own code; it reads the object before the change and after. In plain pytest over
the cluster in memory, and for 300 plans over the original API server.
"""

import asyncio
import itertools
import json
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from midwatch_mcp.safe_apply.envelope import Envelope
from midwatch_mcp.safe_apply.errors import RefusedChangeError, RejectedError
from midwatch_mcp.safe_apply.fake_world import EXPECT, World
from midwatch_mcp.safe_apply.ports import TargetApi
from midwatch_mcp.safe_apply.targets import KubeTargets
from safe_apply_drafts import Case, cases, difference, rebuilt, renamed, seen
from safe_apply_original import Original

Json = dict[str, Any]
Store = Callable[[Json], Awaitable[None]]
Read = Callable[[str, str], Awaitable[Json | None]]

PATHS = {
    "Deployment": "/apis/apps/v1/namespaces/llm/deployments",
    "HorizontalPodAutoscaler": "/apis/autoscaling/v2/namespaces/llm/horizontalpodautoscalers",
    "PodDisruptionBudget": "/apis/policy/v1/namespaces/llm/poddisruptionbudgets",
    "ConfigMap": "/api/v1/namespaces/llm/configmaps",
    "Service": "/api/v1/namespaces/llm/services",
    "Pod": "/api/v1/namespaces/llm/pods",
    "Node": "/api/v1/nodes",
}
CHECKS = (HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large, HealthCheck.large_base_example)
NO_PLAN = ("no_effect", "bad_draft", "not_understood", "forbidden")
"""Reasons for which a generated draft is no plan: it changes nothing, or the object has no such container or flag. An
apply of a field that its creator holds is refused by the server."""


@dataclass
class Bench:
    """An envelope, and the ways to put an object there and to read it without the envelope."""

    world: World
    envelope: Envelope
    store: Store
    read: Read
    drop: Callable[[str, str], Awaitable[None]]
    numbers: Iterator[int] = field(default_factory=itertools.count)
    applied: Counter[str] = field(default_factory=Counter[str])

    async def hold(self, case: Case) -> bool:
        """Carry one plan out, and hold what was shown against what is there; False for a draft that is no plan."""
        before_object, operation = renamed(list(case), f"s{next(self.numbers)}")
        kind, name = operation["target"]["kind"], operation["target"]["name"]
        if before_object is not None:
            await self.store(before_object)
        before = seen(await self.read(kind, name))
        plan = {"title": "A generated plan", "operations": [operation], "expect": [{**EXPECT, "hold_s": 0}]}
        try:
            proposal = await self.envelope.propose(plan)
        except (RefusedChangeError, RejectedError) as refusal:
            if isinstance(refusal, RefusedChangeError) and refusal.reason not in NO_PLAN:
                raise
            assert seen(await self.read(kind, name)) == before
            return False
        self.world.approve(proposal)
        change = await self.envelope.apply(proposal.plan.id)
        assert change.state in ("applied", "verifying", "verified"), change
        made = operation["op"] == "create"
        after = seen(await self.read(kind, name), made=made)
        (diff,) = proposal.preview.diffs
        found = difference(before, after)
        if operation["op"] == "evict":
            # What goes is shown by its name and uid, not whole: its controller makes it again.
            assert after == {}
            assert all(new is None for _, _, new in diff.changes)
        else:
            assert difference(rebuilt(before, diff.changes), after) == {}, (operation, diff.changes, found)
        assert bool(found) == bool(diff.changes)
        lines = [line for line in diff.unified.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
        assert bool(lines) == bool(found)
        await self.envelope.join(proposal.plan.id)
        if after:
            await self.drop(kind, name)
        self.applied[operation["op"]] += 1
        return True


# In memory


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Generator[tuple[Bench, asyncio.Runner]]:
    with asyncio.Runner() as runner:
        world = World(tmp_path_factory.mktemp("state"))

        async def store(value: Json) -> None:
            world.cluster.put(value)

        async def read(kind: str, name: str) -> Json | None:
            space = "" if kind == "Node" else "llm"
            return json.loads(json.dumps(world.cluster.objects_by_entity.get(f"{kind}/{space}/{name}")))

        async def drop(kind: str, name: str) -> None:
            del world.cluster.objects_by_entity[f"{kind}/{'' if kind == 'Node' else 'llm'}/{name}"]

        yield Bench(world, world.envelope, store, read, drop), runner
        runner.run(world.envelope.aclose())


@settings(max_examples=30, deadline=None, suppress_health_check=CHECKS)
@given(case=cases)
def test_what_is_shown_is_what_comes_of_it_in_memory(memory: tuple[Bench, asyncio.Runner], case: Case) -> None:
    held, runner = memory
    assume(runner.run(held.hold(case)))


# At the original

TOGETHER = 9
"""Drafts that are proposed and applied at once, as by several operators. Three of four make a plan."""


@pytest.fixture(scope="module")
def bench(original: Original) -> Generator[tuple[Bench, asyncio.Runner]]:
    with asyncio.Runner() as runner:
        config = json.loads((original.home / "admin.json").read_text("utf-8"))
        token = config["users"][0]["user"]["token"]
        http = httpx2.AsyncClient(
            base_url=config["clusters"][0]["cluster"]["server"],
            headers={"Authorization": f"Bearer {token}"},
            verify=False,
            trust_env=False,
        )

        async def store(value: Json) -> None:
            answer = await http.post(PATHS[value["kind"]], json=value)
            assert answer.status_code == 201, answer.text

        async def read(kind: str, name: str) -> Json | None:
            answer = await http.get(f"{PATHS[kind]}/{name}")
            return None if answer.status_code == 404 else answer.json()

        async def drop(kind: str, name: str) -> None:
            answer = await http.delete(f"{PATHS[kind]}/{name}")
            assert answer.status_code == 200, answer.text

        kube = original.client("midwatch")
        memory = Path("/dev/shm")
        state = tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)
        world = World(Path(state.name))
        api: TargetApi = KubeTargets(kube)
        envelope = Envelope(state=world.state, api=api, reader=world.metrics, clock=world.clock, allow_write=True)
        yield Bench(world, envelope, store, read, drop), runner
        for close in (envelope.aclose, world.envelope.aclose, kube.aclose, http.aclose):
            runner.run(close())
        state.cleanup()


@pytest.mark.slow
@pytest.mark.original
@settings(max_examples=50, deadline=None, suppress_health_check=CHECKS, database=None)
@given(batch=st.lists(cases, min_size=TOGETHER, max_size=TOGETHER))
def test_what_is_shown_is_what_comes_of_it_at_the_original(
    bench: tuple[Bench, asyncio.Runner], batch: list[Case]
) -> None:
    held, runner = bench

    async def together() -> None:
        await asyncio.gather(*map(held.hold, batch))

    runner.run(together())


@pytest.mark.slow
@pytest.mark.original
def test_there_were_300_such_plans_and_every_operation_among_them(bench: tuple[Bench, asyncio.Runner]) -> None:
    applied = bench[0].applied
    assert sum(applied.values()) >= 300, applied
    assert len(applied) >= 14, applied
