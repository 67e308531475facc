"""What a run shows on a terminal: the evidence table, the diff, the chart, the verdict. Text from outside is never
read as markup.
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from midwatch_agents import report
from midwatch_agents.findings import Findings
from midwatch_agents.result import RunResult
from midwatch_contracts.evidence import LedgerEntry
from midwatch_contracts.mechanisms import mechanism

_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def evidence_table(entries: Sequence[LedgerEntry], aliases: Mapping[str, str], used: Sequence[str] = ()) -> Table:
    """Return the evidence of a run; what the cause rests on (`used`) is bold."""
    table = Table(title="Evidence", title_justify="left", expand=False)
    for name in ("", "basis", "step", "tool", "what it says"):
        table.add_column(name, overflow="fold")
    for entry in report.evidence_rows(entries):
        found, tool = str(entry.evidence), str(entry.body["tool"])
        style = "bold" if found in used else ""
        cells = (aliases.get(found, found), report.basis_of(tool), entry.step or "", tool, str(entry.body["summary"]))
        table.add_row(*(Text(cell, style=style) for cell in cells))
    return table


def diff(unified: str) -> Text:
    """Return a unified diff in colours."""
    text = Text()
    for line in unified.splitlines():
        heads = line.startswith(("+++", "---"))
        text.append(line + "\n", style="bold" if heads else _STYLES.get(line[:1], ""))
    return text


def preview(plan: Mapping[str, Any], body: Mapping[str, Any]) -> RenderableType:
    """Return a plan with what it would do, by server dry run."""
    blast = cast("Mapping[str, Any]", body.get("blast", {}))
    parts: list[RenderableType] = [
        Text(str(plan["title"]), style="bold"),
        Text(f"plan {plan['id']}"),
        Text(f"risk class {body.get('risk')}; {blast.get('note', '')}"),
    ]
    parts += [Text(f"expects {report.expectation_text(item)}") for item in plan.get("expect", ())]
    parts += [Text(f"warning: {item}", style="yellow") for item in body.get("warnings", ())]
    for item in cast("Sequence[Mapping[str, Any]]", body.get("diffs", ())):
        parts += [Rule(Text(str(item["target"])), style="dim"), diff(str(item["unified"]))]
    return Panel(Group(*parts), title="Plan", title_align="left")


def findings(found: Findings, aliases: Mapping[str, str]) -> Text:
    """Return the cause and what it rests on, or what was found instead; then what was ruled out."""
    text = Text()
    if found.cause is not None:
        text.append(f"Cause: {found.cause.mechanism} of {found.cause.entity}", style="bold red")
        text.append(f" (inferred, {found.cause.confidence}; {report.cited(found.cause.evidence, aliases)})\n")
        text.append(mechanism(found.cause.mechanism).says + "\n")
    text.append(f"{found.outcome}: {found.says}")
    for item in found.ruled_out:
        text.append(f"\nruled out: {item}", style="dim")
    return text


def verdict(result: RunResult) -> Panel:
    """Return the verdict."""
    good = result.verified or result.outcome == "healthy"
    text = Text(report.verdict(result), style="bold green" if good else "bold yellow")
    return Panel(text, title="Verdict", title_align="left", border_style="green" if good else "yellow")
