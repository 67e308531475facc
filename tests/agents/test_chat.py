import asyncio
import io
import os
import signal
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from rich.console import Console

from midwatch_agents.approver import LaterApprover
from midwatch_agents.chat import Chat
from midwatch_agents.fakes import opener_of

pytestmark = pytest.mark.anyio

WHY = "why is time to first token high on chat?"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Lines:
    """A person who says one line after the other."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = list(lines)

    async def read(self) -> str | None:
        return self._lines.pop(0) if self._lines else None


async def talk(world: Any, *lines: str, approver: Any = None) -> tuple[int, str]:
    """Say the lines and return (exit code, what stood on the screen)."""
    screen = io.StringIO()
    console = Console(file=screen, width=160)
    chat = Chat(
        world.settings,
        console,
        approver or world.signer,
        Lines(lines),
        world.clock,
        opener_of([world.reads, world.writes]),
    )
    return await chat.talk(), screen.getvalue()


async def test_a_question_is_answered_by_running_the_guide_and_asking_on_the_diff(world: Callable[..., Any]) -> None:
    here = world()
    code, screen = await talk(here, WHY)
    assert code == 0
    assert len(here.signer.asked) == 1
    order = [
        "triage 1. ttft-slo-burn",
        "ttft:",
        "Evidence",
        "Cause: serving.kv_cache_too_small",
        "+256",
        "approval: approved",
    ]
    places = [screen.index(text) for text in [*order, "verified", "▲", "Fixed and verified: 6.00 s", "report.md"]]
    assert places == sorted(places)


async def test_a_sentence_that_matches_nothing_gets_an_honest_answer(world: Callable[..., Any]) -> None:
    here = world()
    code, screen = await talk(here, "what is the weather in Berlin?")
    assert code == 2
    assert "names no service" in screen
    assert "Time to first token is over its objective (ttft-slo-burn)" in screen
    assert here.called("kube_rollout") == 0


async def test_a_plan_that_waits_is_shown_denied_and_stays_denied(world: Callable[..., Any]) -> None:
    here = world()
    code, screen = await talk(here, WHY, "/plan", "/deny", "/runs", approver=LaterApprover())
    assert code == 4
    assert screen.count("+256") == 3
    assert "not approved, and nothing was changed" in screen
    assert "over" in screen
    assert here.changes.writes == 0


async def test_evidence_is_read_back_by_its_alias(world: Callable[..., Any]) -> None:
    here = world()
    here.reads.answers = {**here.reads.answers, "evidence_read": _read_back}
    _, screen = await talk(here, WHY, "/evidence", "/evidence e3 /series", "/evidence E99", "/show")
    assert "the whole" in screen
    assert '"path": "/series"' in screen
    assert "no evidence E99" in screen
    assert "Steps of the guide" in screen


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("/help", "/approve"),
        ("/guides", "ttft-slo-burn: Time to first token"),
        ("/runs", "no runs yet"),
        ("/nonsense", "there is no /nonsense; there are /help"),
        ("/show", "no runs in"),
        ("/plan", "no runs in"),
        ("/resume", "no run is open"),
        ("/run", "needs the id of a guide"),
        ("/run no-such namespace=llm service=chat", "there is no guide `no-such`"),
        ("/run ttft-slo-burn namespace", "write it as NAME=VALUE"),
        ("/evidence 'x", "close the quotation"),
    ],
)
async def test_every_command_answers_and_none_ends_the_conversation(
    world: Callable[..., Any], line: str, says: str
) -> None:
    _, screen = await talk(world(), line, "/guides")
    assert says in screen
    assert screen.rstrip().endswith("(inputs namespace, service, objective, window)")


async def test_a_guide_can_be_run_by_its_id(world: Callable[..., Any]) -> None:
    code, screen = await talk(world(slow=0.2), "/run ttft-slo-burn namespace=llm service=chat objective=1s")
    assert code == 0
    assert "Healthy" in screen


async def test_an_interrupt_cancels_the_investigation_and_keeps_the_conversation(world: Callable[..., Any]) -> None:
    here = world()
    here.reads.answers = {**here.reads.answers, "kube_rollout": _interrupted}
    code, screen = await talk(here, WHY, "/runs")
    assert code == 130
    assert "cancelled; /resume goes on with it" in screen
    assert "  open  " in screen
    again = world()
    code, screen = await talk(again, "/resume")
    assert code == 0
    assert "Fixed and verified" in screen


def _read_back(arguments: dict[str, Any]) -> dict[str, Any]:
    return {"id": arguments["id"], "path": arguments["path"], "value": "the whole"}


async def _interrupted(_arguments: dict[str, Any]) -> Any:
    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.Event().wait()
