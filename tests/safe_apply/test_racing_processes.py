"""Twenty processes at once over five objects of one HTTP API, and a controller that writes status all the while.

As in `test_racing_appliers.py`, with nothing shared in memory: each applier is a process with its own client and its
own connection to a journal, half of them to one and the same, half each to one of its own. Each has a user of its own,
by which the API server's audit tells who wrote what. What was there before and after is read where it was stored.
"""

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pytest

import race_child
from crash_world import write_kubeconfig
from midwatch_lab.api.server import ApiServer
from midwatch_lab.api.users import bind_users, fresh_users
from midwatch_lab.kinds.resources import DEPLOYMENTS, NAMESPACES
from midwatch_lab.objects import Object
from midwatch_lab.plane import ControlPlane
from midwatch_lab.store.audit import Origin
from midwatch_lab.store.changes import Change
from midwatch_mcp.safe_apply.fake_world import deployment
from midwatch_mcp.safe_apply.keys import new_key
from race import NAMES, Taken, interleaved, judge
from race_child import APPLIER, Job
from storm import LateClock, Storm
from storm_wire import Sent, Wire
from storm_world import NoLogs

pytestmark = pytest.mark.slow

APPLIERS = 20
LIMIT_S = 120
CONTROLLER = Origin("system:deployment-controller", "update", "/status", manager="kcm", subresource="status")
FURNITURE = Origin("admin", "create", "/furniture", manager="kubectl")


@dataclass
class Arena:
    """An API server over five Deployments, and who wrote what of them, in its order."""

    log: list[Taken] = field(default_factory=list[Taken])
    status_writes: int = 0

    def __post_init__(self) -> None:
        self.plane = ControlPlane(LateClock())
        self.registry = self.plane.registry
        self.users, self.tokens = fresh_users()
        bind_users(self.registry)
        self.registry.create(NAMESPACES, "", {"metadata": {"name": "llm"}}, FURNITURE)
        for name in NAMES:
            self.registry.create(DEPLOYMENTS, "llm", deployment(name), FURNITURE)
        self.api = ApiServer(self.registry, self.plane.clock, self.users, NoLogs())
        self.plane.store.listen(self._heard)
        self._rng = random.Random(0)  # noqa: S311 (a seeded test)

    def _heard(self, change: Change) -> None:
        (entry,) = self.plane.store.audit.entries()[-1:]
        who = str(entry["principal"])
        if change.key == DEPLOYMENTS.key and change.old is not None and who.startswith(APPLIER):
            self.log.append(Taken(who, change.obj["metadata"]["name"], _value(change.old), _value(change.obj)))

    def write_status(self, sent: Sent) -> None:
        """Write status as a controller does, at every fifth request."""
        if sent.target and self._rng.random() > 0.2:
            return

        def observe(draft: Object) -> None:
            draft["status"] = {"observedGeneration": self._rng.randint(1, 1_000)}

        self.registry.modify(DEPLOYMENTS, "llm", self._rng.choice(NAMES), observe, CONTROLLER)
        self.status_writes += 1

    def now(self) -> dict[str, str]:
        return {name: _value(self.registry.read(DEPLOYMENTS, "llm", name)) for name in NAMES}


def _value(stored: Object) -> str:
    return stored["spec"]["template"]["spec"]["containers"][1]["args"][1].partition("=")[2]


async def race(arena: Arena, folder: Path, states: Sequence[Path]) -> dict[str, tuple[str, str]]:
    """Run a process for each state folder, all at once, and return how they ended."""
    for state in set(states):
        new_key(state, "alice")
    wire = Wire(LateClock())
    wire.serve(arena.api, Storm(0), arena.write_status)
    kubeconfig = folder / "kubeconfig"
    async with wire.running():
        write_kubeconfig(kubeconfig, f"http://127.0.0.1:{wire.port}", arena.tokens["midwatch"])
        jobs = [
            Job(number, str(kubeconfig), str(state), str(folder / f"{number}.json"))
            for number, state in enumerate(states)
        ]
        lines = "".join(f"{json.dumps(asdict(job))}\n" for job in jobs)
        zygote = await asyncio.create_subprocess_exec(sys.executable, race_child.__file__, stdin=subprocess.PIPE)
        async with asyncio.timeout(LIMIT_S):
            await zygote.communicate(lines.encode())
    assert zygote.returncode == 0
    return {job.who: told(job) for job in jobs}


def told(job: Job) -> tuple[str, str]:
    state, note = json.loads(Path(job.out).read_text("utf-8"))
    return state, note


def test_processes_are_serial_and_those_of_one_state_folder_never_interleave_on_an_object(tmp_path: Path) -> None:
    arena = Arena()
    shared = [tmp_path / "shared"] * (APPLIERS // 2)
    ends = asyncio.run(
        race(arena, tmp_path, [*shared, *(tmp_path / f"own-{number}" for number in range(10, APPLIERS))])
    )
    judge(arena.log, arena.now(), ends)
    together = {f"{APPLIER}{number}" for number in range(len(shared))}
    assert not interleaved([taken for taken in arena.log if taken.who in together])
    states = [state for state, _ in ends.values()]
    assert states.count("verified") >= 2
    assert any(state != "verified" for state in states), "nobody met anybody"
    assert arena.status_writes > 50
