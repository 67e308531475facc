import io
from typing import Any

import pytest
from rich.console import Console

from midwatch_agents.events import RunEvent
from midwatch_agents.live import LiveView


def event(kind: str, step: str | None = None, **body: Any) -> RunEvent:
    return RunEvent("run-1", kind, step, None, body)


EVENTS = [
    event("guide", guide="ttft-slo-burn", title="Late [bold]first[/bold] token"),
    event("step_started", "ttft", title="Is it late?"),
    event("step", "ttft", title="Is it late?", state="done", says="p95 is 6 s [red]![/red]"),
    event("step", "rollout", title="Changed?", state="skipped", says="not reached"),
    event("findings", outcome="healthy"),
]


@pytest.mark.parametrize("terminal", [True, False])
def test_each_step_is_shown_with_its_state_and_text_is_never_markup(terminal: bool) -> None:  # noqa: FBT001 (parametrized)
    screen = io.StringIO()
    console = Console(file=screen, width=100, force_terminal=terminal, color_system=None, legacy_windows=False)
    view = LiveView(console)
    for item in EVENTS:
        view(item)
    view.close()
    shown = screen.getvalue()
    assert "Late [bold]first[/bold] token (ttft-slo-burn)" in shown
    assert "p95 is 6 s [red]![/red]" in shown
    assert "✓" in shown
    assert "· 1 not reached" in shown
    assert ("\x1b[" in shown) == terminal


def test_a_change_is_told_once_a_state() -> None:
    screen = io.StringIO()
    view = LiveView(Console(file=screen, width=100))
    for state in ("applying", "verifying", "verifying", "verified"):
        view(event("change", change={"change_id": "chg-1", "state": state, "operations": []}))
    assert [line.split()[2] for line in screen.getvalue().splitlines()] == ["applying", "verifying", "verified"]


def test_a_change_that_is_verified_says_what_was_last_seen() -> None:
    screen = io.StringIO()
    view = LiveView(Console(file=screen, width=200))
    seen: dict[str, Any] = {"expectation": 0, "state": "met", "series": [{"labels": {}, "value": 0.31}], "held_s": 2.0}
    change = {"change_id": "chg-1", "state": "verifying", "operations": [{"id": "op1", "state": "applied"}]}
    view(event("change", change=change, observations=[seen]))
    assert "verifying (op1 applied); expectation 1 met at 0.31, held 2 s" in screen.getvalue()
