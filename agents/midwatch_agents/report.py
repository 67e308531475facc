"""The report of a run, in Markdown, made from its ledger alone: what it says stands in the record."""

import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from midwatch_agents.chart import Mark, chart
from midwatch_agents.findings import Findings
from midwatch_agents.ledger import Ledger
from midwatch_agents.result import RunResult
from midwatch_agents.runs import RunFolder
from midwatch_contracts.evidence import Basis, LedgerEntry
from midwatch_contracts.mechanisms import mechanism

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#])")
_SIMULATED = frozenset({"serving_what_if"})


def write(folder: RunFolder, ledger: Ledger, result: RunResult) -> Path:
    """Write `report.md` (0600), whole or not at all, and return its path."""
    text = markdown(ledger, result)
    handle, name = tempfile.mkstemp(dir=folder.path, prefix=".report-")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    Path(name).replace(folder.report)
    return folder.report


def markdown(ledger: Ledger, result: RunResult) -> str:
    """Return the report as text."""
    entry = ledger.last("findings")
    findings = None if entry is None else Findings.from_json(entry.body)
    parts = [
        _head(ledger, result, findings),
        _evidence(ledger, findings),
        _ruled_out(findings),
        _plan(ledger),
        _approval(ledger, result),
        _verification(ledger, result),
        _steps(ledger, findings),
        _timeline(ledger),
        f"## Record\n\nEvery tool call and decision of this run, in a chain of hashes: `{result.ledger}`",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


_UNCHANGED = {
    "healthy": "Healthy: nothing is wrong, and nothing was changed.",
    "no_data": "No data: what the question is about is not measured; nothing was changed.",
    "escalate": "Escalated: a person must look; nothing was changed.",
}


def verdict(result: RunResult) -> str:
    """Return how the run ended, in one or two sentences."""
    if result.outcome in _UNCHANGED:
        return _UNCHANGED[result.outcome]
    if result.change_state is not None:
        return _change_verdict(result)
    if result.waiting:
        return "The cause is known; the plan waits for an approval, and nothing was changed."
    if result.plan_id is not None and not result.approved:
        return "The cause is known; the change was not approved, and nothing was changed."
    return f"The cause is known; nothing was changed. {result.note}".strip()


def _change_verdict(result: RunResult) -> str:
    match result.change_state:
        case "verified":
            return f"Fixed and verified{_before_after(result)}."
        case "undone":
            return "The change did not bring what it promised: it was undone, and the undo was proved by re-reading."
        case "stuck":
            return f"Stuck: a person must look. {result.note}".strip()
        case state:
            return f"The cause is known; the change ended as {state}. {result.note}".strip()


def _before_after(result: RunResult) -> str:
    before, after = result.ttft_p95_before_s, result.ttft_p95_after_s
    if before is None or after is None:
        return ""
    return f": {seconds(before)} before the change, {seconds(after)} after it (measured)"


def seconds(value: float | None) -> str:
    """Return a duration for people; a missing one is said to be so."""
    if value is None:
        return "not measured"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"


def figure(query: str, value: float | None) -> str:
    """Return a reading for people, with its unit where the query's metric names one."""
    if value is None or _is_seconds(query):
        return seconds(value)
    return format(value, ".4g")


def basis_of(tool: str) -> Basis:
    """Return the basis of the figures of a tool's result."""
    return "simulated" if tool in _SIMULATED else "measured"


def plain(text: str) -> str:
    """Return text from outside as one line that Markdown does not read as markup."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def fenced(text: str, language: str = "") -> str:
    """Return a code block whose fence the text cannot close."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def cited(ids: Sequence[str], aliases: Mapping[str, str]) -> str:
    """Return evidence ids by their aliases within the run: `E3, E5`."""
    return ", ".join(aliases.get(item, item) for item in ids) or "none"


def _head(ledger: Ledger, result: RunResult, findings: Findings | None) -> str:
    subject = ledger.last("subject")
    lines = [f"# {result.run}", "", f"**{plain(verdict(result))}**", ""]
    if subject is not None:
        lines.append(f"- Asked: {plain(str(subject.body['text']))} ({subject.body['kind']})")
        labels = cast("Mapping[str, Any]", subject.body["alert"]["labels"])
        lines.append(f"- About: {plain(', '.join(f'{key}={value}' for key, value in sorted(labels.items())))}")
    if findings is not None:
        lines.append(f"- Guide: {plain(findings.title)} (`{findings.guide}`): {plain(findings.says)}")
    if result.cause is not None:
        cause = result.cause
        about = f"**{cause.mechanism}** of `{cause.entity}`: {mechanism(cause.mechanism).says}"
        lines.append(f"- Cause (inferred, {cause.confidence}): {about}")
        lines.append(f"- By: {cited(cause.evidence, ledger.aliases)}")
    return "\n".join(lines)


def _evidence(ledger: Ledger, findings: Findings | None) -> str:
    calls = evidence_rows(ledger.entries)
    if not calls:
        return ""
    aliases = ledger.aliases
    used = set[str]() if findings is None or findings.cause is None else set(findings.cause.evidence)
    lines = ["## Evidence", "", "| | basis | step | tool | what it says | id |", "|---|---|---|---|---|---|"]
    for entry in calls:
        found = str(entry.evidence)
        name = f"**{aliases[found]}**" if found in used else aliases[found]
        tool = str(entry.body["tool"])
        cells = (basis_of(tool), entry.step or "", tool, str(entry.body["summary"]))
        lines.append(f"| {name} | {' | '.join(plain(cell) for cell in cells)} | `{found}` |")
    lines += ["", "Bold: what the cause rests on. Read one back with the tool `evidence_read`."]
    return "\n".join(lines)


def evidence_rows(entries: Sequence[LedgerEntry]) -> list[LedgerEntry]:
    """Return the first tool call that gave each evidence id, in order."""
    found: dict[str, LedgerEntry] = {}
    for entry in entries:
        if entry.kind == "tool" and entry.evidence is not None:
            found.setdefault(entry.evidence, entry)
    return list(found.values())


def _ruled_out(findings: Findings | None) -> str:
    if findings is None or not findings.ruled_out:
        return ""
    return "\n".join(["## Ruled out", "", *(f"- {plain(item)}" for item in findings.ruled_out)])


def _plan(ledger: Ledger) -> str:
    entry = ledger.last("plan")
    if entry is None:
        return ""
    plan, preview = cast("Mapping[str, Any]", entry.body["plan"]), cast("Mapping[str, Any]", entry.body["preview"])
    blast = cast("Mapping[str, Any]", preview.get("blast", {}))
    lines = [
        "## Plan",
        "",
        f"{plain(str(plan['title']))} (plan `{plan['id']}`)",
        "",
        f"- Risk class: {preview.get('risk')}; {plain(str(blast.get('note', '')))}",
        *(f"- Expected: {plain(expectation_text(item))}" for item in plan.get("expect", ())),
        *(f"- Warning: {plain(str(item))}" for item in preview.get("warnings", ())),
    ]
    diffs = [fenced(str(diff["unified"]), "diff") for diff in preview.get("diffs", ())]
    return "\n".join(lines) + "\n\n" + "\n\n".join(diffs)


def expectation_text(item: Mapping[str, Any]) -> str:
    """Return an expectation in one line."""
    what = (
        f"{item.get('holds')} for {item.get('promql')}"
        if item.get("promql")
        else f"{item.get('cel')} of {item.get('object')}"
    )
    return f"{what}, within {item.get('within_s'):g} s, held for {item.get('hold_s'):g} s"


def _approval(ledger: Ledger, result: RunResult) -> str:
    decision = ledger.last("decision") or ledger.last("waiting")
    if decision is None:
        return f"## Approval\n\nNo plan: {plain(result.note)}" if result.note and result.plan_id is None else ""
    change = ledger.last("change")
    approval: Mapping[str, Any] = {} if change is None else change.body["change"].get("approval") or {}
    lines = [
        "## Approval",
        "",
        f"- Decision: {decision.body['verdict']} ({plain(str(decision.body['by']))}), {decision.at}",
    ]
    if decision.body.get("note"):
        lines.append(f"- {plain(str(decision.body['note']))}")
    if approval:
        lines.append(
            f"- Signed by {plain(str(approval.get('approver')))}, attested by {plain(str(approval.get('attested')))}, "
            f"over preview `{approval.get('preview_sha256')}`, nonce `{approval.get('nonce')}`"
        )
    return "\n".join(lines)


def _verification(ledger: Ledger, result: RunResult) -> str:
    change = ledger.last("change")
    if change is None:
        return ""
    body = cast("Mapping[str, Any]", change.body["change"])
    lines = ["## Change and verification", "", f"- Change `{body['change_id']}` ended as **{body['state']}**"]
    if body.get("note"):
        lines.append(f"- {plain(str(body['note']))}")
    for name in ("before", "after"):
        entry = next((e for e in reversed(ledger.entries) if e.kind == "measured" and e.body["name"] == name), None)
        if entry is not None:
            reading = figure(str(entry.body["query"]), entry.body["value"])
            where = ledger.aliases.get(entry.evidence or "", "no evidence")
            lines.append(
                f"- {name.capitalize()} the change: **{reading}** ({entry.body.get('basis', 'not measured')}, {where})"
            )
    query = next((e.body["query"] for e in reversed(ledger.entries) if e.kind == "measured"), None)
    if query is not None:
        lines.append(f"- Query: `{query}`")
    drawn = ledger.last("series")
    if drawn is not None and drawn.body["points"]:
        lines += ["", fenced(chart_of(drawn.body).plain)]
    if result.applied and result.outcome == "cause" and not result.verified and not result.undone:
        lines.append("- The change is neither verified nor undone: read the target before anything else.")
    return "\n".join(lines)


def chart_of(body: Mapping[str, Any]) -> Any:
    """Return the chart of a `series` entry."""
    query = str(body["query"])
    points = [(float(at), float(value)) for at, value in body["points"]]
    unit, title = ("s", "p95 time to first token") if _is_ttft(query) else ("", query[:80])
    return chart(points, title=title, unit=unit, marks=[Mark(float(body["changed_at"]), "change")])


def _is_seconds(query: str) -> bool:
    return "_seconds" in query


def _is_ttft(query: str) -> bool:
    return "time_to_first_token_seconds" in query and "histogram_quantile" in query and "0.95" in query


def _steps(ledger: Ledger, findings: Findings | None) -> str:
    if findings is None:
        return ""
    lines = ["## Steps of the guide", "", "| step | state | what it says | evidence |", "|---|---|---|---|"]
    for step in findings.steps:
        if step.state == "skipped":
            continue
        cells = (step.title or step.id, step.state, step.says, cited(step.evidence, ledger.aliases))
        lines.append("| " + " | ".join(plain(cell) for cell in cells) + " |")
    skipped = [f"`{step.id}`" for step in findings.steps if step.state == "skipped"]
    if skipped:
        lines += ["", f"Not reached: {', '.join(skipped)}."]
    return "\n".join(lines)


_MOMENTS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "begun": lambda _body: "begun",
    "resumed": lambda _body: "resumed after an interruption",
    "triage": lambda body: f"guide {body['ranked'][0]['guide']} chosen: {body['ranked'][0]['why']}",
    "findings": lambda body: f"findings: {body['outcome']}",
    "plan": lambda body: f"plan {body['plan']['id'][:12]} proposed and previewed",
    "decision": lambda body: f"approval: {body['verdict']} ({body['by']})",
    "waiting": lambda body: f"approval: {body['verdict']} ({body['by']})",
    "applying": lambda _body: "change_apply called",
    "change": lambda body: f"change {body['change']['change_id']} is {body['change']['state']}",
    "measured": lambda body: f"{body['name']}: {figure(str(body['query']), body['value'])}",
    "note": lambda body: str(body["says"]),
    "error": lambda body: str(body["error"]),
    "torn": lambda body: f"{body['bytes']} bytes of an unfinished entry were cut off",
}
"""What the timeline says of each kind of entry; the other kinds are not moments of their own."""


def _timeline(ledger: Ledger) -> str:
    lines = ["## Timeline", ""]
    previous = ""
    for entry in ledger.entries:
        says = _MOMENTS[entry.kind](entry.body) if entry.kind in _MOMENTS else ""
        if says and says != previous:
            lines.append(f"- {entry.at} {plain(says)}")
            previous = says
    return "\n".join(lines)
