import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from midwatch_agents.ledger import read_ledger
from midwatch_agents.runs import unfinished

pytestmark = pytest.mark.anyio
DRIVER = Path(__file__).with_name("kill_driver.py")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def _driven(state: Path, kind: str) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, str(DRIVER), str(state), kind]
    return subprocess.run(command, capture_output=True, timeout=120, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["guide", "step", "plan", "decision", "measured", "applying", "change"])
async def test_a_killed_supervisor_is_resumed_and_the_change_is_applied_exactly_once(
    world: Callable[..., Any], kind: str
) -> None:
    here = world()
    killed = _driven(here.state, kind)
    assert killed.returncode == -9, killed.stderr.decode()
    folder = unfinished(here.state)
    assert folder is not None
    before = here.changes.writes
    assert before == (1 if kind == "change" else 0)
    result = await here.supervisor().resume(folder)
    assert result.verified
    assert here.changes.writes == 1
    # Approved once: after a kill behind the approval nobody is asked again.
    assert len(here.signer.asked) == (1 if kind in ("guide", "step", "plan") else 0)
    assert [entry.kind for entry in read_ledger(result.ledger)].count("end") == 1
