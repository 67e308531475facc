"""Kill after kill: a plan in a fresh namespace, a process that dies, another that recovers, and the judge."""

import asyncio
import contextlib
import itertools
import json
import shutil
import signal
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from crash_child import ANY_SERVER
from crash_proxy import KillingProxy, Moment
from crash_world import NAMES, REPLICAS, Json, Platform, approved
from midwatch_contracts.clock import WallClock
from midwatch_mcp.kubernetes.client import KubeClient
from midwatch_mcp.metrics.client import PrometheusClient
from midwatch_mcp.safe_apply.approvals import put_approval, signed_approval
from midwatch_mcp.safe_apply.envelope import Envelope
from midwatch_mcp.safe_apply.keys import key_folder, new_key, private_key
from midwatch_mcp.safe_apply.targets import KubeTargets, LiveReader

End = Literal["verified", "undone"]


@dataclass(frozen=True)
class Kill:
    """One death: at a step of the process itself, or at a request, from outside. `again` kills the recovery too."""

    end: End
    step: int | None = None
    request: int | None = None
    moment: Moment = "sent"
    again: int | None = None

    def __str__(self) -> str:
        """Name it so that it can be run again."""
        first = f"step {self.step}" if self.request is None else f"request {self.request} {self.moment}"
        return f"{self.end}, killed at {first}" + (f", and in recovery at step {self.again}" if self.again else "")


@dataclass
class Verdicts:
    """What the judge found."""

    kills: int = 0
    doubled: list[str] = field(default_factory=list[str])
    lost: list[str] = field(default_factory=list[str])
    half: list[str] = field(default_factory=list[str])

    def line(self, name: str) -> str:
        counts = f"{len(self.doubled)} doubled, {len(self.lost)} lost, {len(self.half)} half-applied"
        return f"{name}: {self.kills} kills, {counts}"

    @property
    def clean(self) -> bool:
        return not (self.doubled or self.lost or self.half)


@dataclass
class Whole:
    """A run that nobody killed: its steps, and its requests as (method, path)."""

    steps: list[str]
    asked: list[tuple[str, str]]


class Matrix:
    """One platform, one zygote, one proxy."""

    def __init__(self, platform: Platform, proxy: KillingProxy, folder: Path) -> None:
        self.platform = platform
        self.proxy = proxy
        self.folder = folder
        self.verdicts = Verdicts()
        self._numbers = itertools.count(1)
        self._proxied = platform.kubeconfig_at(proxy.port, folder)
        self._zygote: asyncio.subprocess.Process | None = None

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator["Matrix"]:
        child = Path(__file__).with_name("crash_child.py")
        words = (sys.executable, str(child))
        self._zygote = await asyncio.create_subprocess_exec(
            *words, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        self._kube = KubeClient(self.platform.kubeconfig, bounds=ANY_SERVER)
        try:
            await self._warm()
            yield self
        finally:
            await self._kube.aclose()
            assert self._zygote.stdin is not None
            self._zygote.stdin.close()
            await self._zygote.wait()

    async def _warm(self) -> None:
        _, state, plan = await self._world("verified")
        out = await self._send(state, plan, "apply")
        assert await self._line() == 0
        assert json.loads(out.read_text("utf-8"))["state"] == "verified", out.read_text("utf-8")

    async def _send(self, state: Path, plan: str, do: str, *, at: int | None = None, proxied: bool = False) -> Path:
        assert self._zygote is not None
        assert self._zygote.stdin is not None
        out = state / "out.json"
        out.unlink(missing_ok=True)
        kubeconfig = self._proxied if proxied else self.platform.kubeconfig
        job = {"do": do, "plan": plan, "at": at, "state": str(state), "kubeconfig": str(kubeconfig), "out": str(out)}
        self._zygote.stdin.write(json.dumps(job).encode() + b"\n")
        return out

    async def _line(self) -> int:
        assert self._zygote is not None
        assert self._zygote.stdout is not None
        return int(await self._zygote.stdout.readline())

    async def job(
        self, state: Path, plan: str, do: str, *, at: int | None = None, proxied: bool = False
    ) -> Json | None:
        """Let a process carry the plan, and return what it says; None where it was killed."""
        out = await self._send(state, plan, do, at=at, proxied=proxied)
        pid = await self._line()
        if proxied:
            self.proxy.aim(pid)
        code = await self._line()
        if code == -signal.SIGKILL:
            return None
        assert code == 0, f"the process ended with {code}"
        return json.loads(out.read_text("utf-8"))

    async def proposed(self, state: Path, namespace: str, end: End) -> str:
        """Propose and approve the plan, and return its id."""
        targets = KubeTargets(self._kube)
        reader = LiveReader(targets, PrometheusClient(None))
        envelope = Envelope(state=state, api=targets, reader=reader, clock=WallClock())
        proposal = await envelope.propose(self.platform.draft(namespace, holds=end == "verified"))
        await envelope.aclose()
        new_key(state, "alice")
        key = private_key(key_folder(state) / "alice.key")
        put_approval(
            state,
            signed_approval(
                proposal.plan,
                proposal.preview_sha256,
                approver="alice",
                key=key,
                method="terminal",
                now=time.time(),
            ),
        )
        return proposal.plan.id

    async def whole(self, end: End) -> Whole:
        """Run the plan to its end, unharmed."""
        _, state, plan = await self._world(end)
        self.proxy.arm(None)
        said = await self.job(state, plan, "apply", proxied=True)
        assert said is not None
        assert said.get("state") == end, said
        return Whole(said["steps"], list(self.proxy.asked))

    async def recovery_after(self, kill: Kill) -> list[str]:
        """Return the steps that a recovery takes after a kill."""
        _, state, plan = await self._world(kill.end)
        assert await self.job(state, plan, "apply", at=kill.step) is None
        said = await self.job(state, plan, "recover")
        assert said is not None
        return said["steps"]

    async def _world(self, end: End) -> tuple[str, Path, str]:
        namespace = f"kill-{next(self._numbers)}"
        state = self.folder / namespace
        state.mkdir(mode=0o700)
        await self.platform.fill(namespace)
        return namespace, state, await self.proposed(state, namespace, end)

    async def kill(self, kill: Kill) -> None:
        """Kill, recover, and judge."""
        namespace, state, plan = await self._world(kill.end)
        await self.platform.mark()
        before, versions = await self.platform.seen(namespace), await self.platform.versions()
        self.proxy.arm(kill.request, kill.moment)
        died = await self.job(state, plan, "apply", at=kill.step, proxied=kill.request is not None)
        assert died is None, f"{kill}: it was never reached: {died.get('state', died)}"
        self.verdicts.kills += 1
        if kill.again is not None:
            assert await self.job(state, plan, "recover", at=kill.again) is None, f"{kill}: never reached"
            self.verdicts.kills += 1
        said = await self.job(state, plan, "recover")
        await self.proxy.quiet()
        assert said is not None
        await self._judge(kill, namespace, before, versions, said)
        shutil.rmtree(state)

    async def _judge(
        self, kill: Kill, namespace: str, before: dict[str, Any], versions: dict[str, int], said: Json
    ) -> None:
        now, taken = await self.platform.seen(namespace), await self.platform.taken(namespace)
        stored = {name: count - versions[name] for name, count in (await self.platform.versions()).items()}
        after = approved(before, namespace)
        writes = {name: stored[name] if name in REPLICAS else len(taken.get(name, [])) for name in NAMES}
        where = {name: "before" if now[name] == before[name] else _place(now[name], after[name]) for name in NAMES}
        ended = said.get("error") or f"{said['state']} {said['note']}".strip()
        told = f"{kill}: says {ended}; writes {writes}; is {where}"
        if len(set(where.values())) > 1 or "elsewhere" in where.values():
            self.verdicts.half.append(told)
        if set(taken) - set(NAMES) or any(
            count > (1 if where[name] == "after" else 2) for name, count in writes.items()
        ):
            self.verdicts.doubled.append(told)
        expected = "after" if said.get("state") == "verified" else "before"
        if said.get("state") != kill.end or set(where.values()) != {expected}:
            self.verdicts.lost.append(told)


def _place(now: Any, after: Any) -> str:
    return "after" if now == after else "elsewhere"


def kills_of(whole: Whole, end: End, *, every: int) -> list[Kill]:
    """Return the deaths of one plan: every step and every request of a run, or one in `every` of them.

    A plan that is undone runs forward as one that is verified does, so there the steps from `undoing` on are taken.
    """
    first = 0 if end == "verified" else next(i for i, step in enumerate(whole.steps) if "move:undoing" in step)
    steps = [Kill(end, step=number) for number in range(first + 1, len(whole.steps) + 1)]
    undone_from = len(whole.asked) if end == "verified" else _first_undo(whole.asked)
    requests = [
        Kill(end, request=number, moment=moment)
        for number, (method, path) in enumerate(whole.asked, 1)
        if end == "verified" or number >= undone_from
        for moment in _moments(method, path)
    ]
    return [*steps[::every], *requests[::every]]


def _first_undo(asked: Sequence[tuple[str, str]]) -> int:
    return next(number for number, (method, path) in enumerate(asked, 1) if method == "DELETE" and "dryRun" not in path)


def _moments(method: str, path: str) -> Sequence[Moment]:
    """A request that stores nothing is killed once, on its way; one that writes at every moment."""
    if method == "GET" or "dryRun" in path or "dry_run" in path:
        return ("sent",)
    return ("unsent", "sent", "answered", "late")
