"""Watching a run: a live tree of the guide's steps on a terminal, plain lines where there is none."""

from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text
from rich.tree import Tree

from midwatch_agents import render, report
from midwatch_agents.events import RunEvent

_MARKS = {"running": "…", "done": "✓", "skipped": "·", "failed": "✗", "no_data": "?"}
_STYLES = {"running": "yellow", "done": "green", "skipped": "dim", "failed": "red", "no_data": "yellow"}


class LiveView:
    """Takes a run's events and shows them; `close` leaves the last picture standing."""

    def __init__(self, console: Console, *, show_plan: Callable[[], bool] = lambda: True) -> None:
        """`show_plan` says whether the diff is to be printed here; an approver that prints it itself says no."""
        self._console = console
        self._show_plan = show_plan
        self._live: Live | None = None
        self._title = ""
        self._steps: dict[str, tuple[str, str, str]] = {}
        self._last_change = ""
        self._drawers: dict[str, Callable[[RunEvent], None]] = {
            "begun": lambda event: self._line(event.run),
            "resumed": lambda event: self._line(f"{event.run} resumed"),
            "triage": self._triage,
            "guide": self._guide,
            "step_started": self._step,
            "step": self._step,
            "findings": self._findings,
            "plan": self._plan,
            "decision": self._decision,
            "waiting": self._decision,
            "applying": lambda event: self._line(f"applying plan {str(event.body['plan_id'])[:12]}"),
            "change": self._change,
            "measured": self._measured,
            "note": lambda event: self._line(str(event.body["says"])),
            "error": lambda _event: self.close(),
        }

    def __call__(self, event: RunEvent) -> None:
        """Show one event; a kind that nothing here draws is passed over."""
        draw = self._drawers.get(event.kind)
        if draw is not None:
            draw(event)

    def _triage(self, event: RunEvent) -> None:
        for place, item in enumerate(event.body["ranked"][:3], start=1):
            self._line(f"triage {place}. {item['guide']}: {item['why']}")

    def _guide(self, event: RunEvent) -> None:
        self._title, self._steps = f"{event.body['title']} ({event.body['guide']})", {}
        self._open()

    def _findings(self, _event: RunEvent) -> None:
        skipped = sum(1 for state, _, _ in self._steps.values() if state == "skipped")
        if self._live is None and skipped:
            self._line(f"  {_MARKS['skipped']} {skipped} not reached")
        self.close()

    def _plan(self, event: RunEvent) -> None:
        if self._show_plan():
            self._console.print(render.preview(event.body["plan"], event.body["preview"]))

    def _decision(self, event: RunEvent) -> None:
        self._line(f"approval: {event.body['verdict']} ({event.body['by']}) {event.body.get('note', '')}".rstrip())

    def _measured(self, event: RunEvent) -> None:
        body = event.body
        self._line(f"{body['name']} the change: {report.figure(str(body['query']), body['value'])}")

    def close(self) -> None:
        """Stop drawing."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _line(self, text: str) -> None:
        self._console.print(Text(text), soft_wrap=True)

    def _open(self) -> None:
        self.close()
        if self._console.is_terminal:
            self._live = Live(self._tree(), console=self._console, refresh_per_second=8)
            self._live.start()
        else:
            self._line(f"guide {self._title}")

    def _step(self, event: RunEvent) -> None:
        step, body = str(event.step), event.body
        state = str(body.get("state", "running"))
        known = self._steps.get(step, ("", "", ""))
        says = str(body.get("says", ""))
        self._steps[step] = (state, str(body.get("title") or known[1]), says)
        if self._live is not None:
            self._live.update(self._tree())
        elif state not in ("running", "skipped"):
            self._line(f"  {_MARKS.get(state, ' ')} {step}: {says or state}")

    def _change(self, event: RunEvent) -> None:
        change = event.body["change"]
        operations = ", ".join(f"{op['id']} {op['state']}" for op in change.get("operations", []))
        line = f"change {change['change_id']}: {change['state']} ({operations}){_observed(event.body)}"
        if line != self._last_change:
            self._last_change = line
            self._line(line)

    def _tree(self) -> Tree:
        tree = Tree(Text(self._title, style="bold"))
        reached = {step: told for step, told in self._steps.items() if told[0] != "skipped"}
        for step, (state, title, says) in reached.items():
            text = Text(f"{_MARKS.get(state, ' ')} ", style=_STYLES.get(state, ""))
            text.append(title or step)
            if says:
                text.append(f"  {says}", style="dim")
            tree.add(text)
        if len(reached) < len(self._steps):
            tree.add(Text(f"{_MARKS['skipped']} {len(self._steps) - len(reached)} not reached", style="dim"))
        return tree


def _observed(body: Mapping[str, Any]) -> str:
    """Return what was last seen of each expectation, in a few words."""
    seen: list[str] = []
    for item in body.get("observations") or ():
        values = [series["value"] for series in item["series"] if series["value"] is not None]
        value = f" at {max(values):.3g}" if values else ""
        held = f", held {item['held_s']:.0f} s" if item["held_s"] else ""
        seen.append(f"expectation {item['expectation'] + 1} {item['state'].replace('_', ' ')}{value}{held}")
    return "; " + "; ".join(seen) if seen else ""
