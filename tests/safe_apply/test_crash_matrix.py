"""A process that is killed by SIGKILL, anywhere, over real HTTP: the change is finished or undone, and never doubled.

A plan of six operations over two kinds of targets: a Deployment, two ConfigMaps (one is created) and an autoscaler
through the Kubernetes API, and the serving configuration of two replicas. A child process is killed at every step of
its journal and at every call of a target (before it is sent, while it is under way, once it is answered, and such that
the request arrives only after somebody else has taken the change to its end), on the way forward, while undoing, and
again in `recover`. Kills at a step are the process's own `kill -9`; kills at a request come from outside, by the proxy
that holds it. Then another process recovers, and a judge looks, who asks the platform's own audit (`GET /lab/audit`, or
the audit log of the original kube-apiserver), the objects, and how often each replica stored its configuration. The
judge reads no journal.

- doubled: the platform took more than one write of an object that ends as approved, or more than two (there and back)
  of one that ends as before, or a write of an object that is no target;
- lost: the change did not come to the end that its expectation asks for (`verified`, or `undone` where it fails), or
  what it says of its end is not what the objects show;
- half-applied: one target is as approved and another is as before, or one is neither.
"""

from pathlib import Path

import pytest

from crash_matrix import Kill, Matrix, kills_of
from crash_platforms import lab, original_server
from crash_proxy import KillingProxy
from crash_world import Platform

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def matrix(platform: Platform, folder: Path, *, every: int) -> Matrix:
    async with KillingProxy(platform.url).running() as proxy, Matrix(platform, proxy, folder).running() as made:
        for end in ("verified", "undone"):
            whole = await made.whole(end)
            for kill in kills_of(whole, end, every=every):
                await made.kill(kill)
            middle = [i for i, step in enumerate(whole.steps, 1) if step == "after write"][-3]
            recovery = await made.recovery_after(Kill(end, step=middle))
            for again in range(1, len(recovery) + 1, every):
                await made.kill(Kill(end, step=middle, again=again))
    return made


async def test_crash_matrix_on_the_lab(tmp_path: Path, one_kill_in: int, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "lab").mkdir()
    async with lab(tmp_path / "lab") as platform:
        done = await matrix(platform, tmp_path, every=one_kill_in)
    with capsys.disabled():
        print(f"\n{done.verdicts.line('crash matrix')}")  # noqa: T201 (the suite ends with this line)
    assert done.verdicts.clean, done.verdicts
    assert done.verdicts.kills * one_kill_in >= 300


@pytest.mark.original
async def test_crash_matrix_on_the_original(
    original_binaries: Path, tmp_path: Path, one_kill_in: int, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "original").mkdir()
    async with original_server(original_binaries, tmp_path / "original") as platform:
        done = await matrix(platform, tmp_path, every=one_kill_in)
    with capsys.disabled():
        print(f"\n{done.verdicts.line('crash matrix original')}")  # noqa: T201 (the suite ends with this line)
    assert done.verdicts.clean, done.verdicts
    assert done.verdicts.kills * one_kill_in >= 300
