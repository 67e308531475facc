"""The words of a change in Git: the text of its merge request (Markdown), and its commit's message.

Both are read by people and by the pages of code hosts: text from outside stands in code spans or fences that it cannot
leave, and nothing in them is a credential.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from midwatch_contracts.expectations import describe
from midwatch_contracts.plan import Plan, Preview, Reach
from midwatch_mcp.safe_apply.as_git.repository import Committed
from midwatch_mcp.safe_apply.as_git.written import Edited
from midwatch_mcp.safe_apply.git_owners import ADVICE
from midwatch_mcp.safe_apply.render import one_line, visible

_SUBJECT = 72


@dataclass(frozen=True)
class ClusterSays:
    """What the cluster says to the same draft by dry run; without a preview, `why` there is none."""

    preview: Preview | None
    why: str = ""


def code(text: object) -> str:
    """Return a text as a code span that it cannot leave."""
    shown = one_line(str(text)) or " "
    ticks = "`" * (1 + max((len(run) for run in re.findall(r"`+", shown)), default=0))
    pad = " " if "`" in shown else ""
    return f"{ticks}{pad}{shown}{pad}{ticks}"


def fenced(text: str, language: str) -> list[str]:
    """Return a text as a fenced block that it cannot leave."""
    shown = visible(text).rstrip("\n")
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", shown)), default=0))
    return [f"{fence}{language}", *shown.split("\n"), fence]


def commit_message(plan: Plan, edits: Sequence[Edited]) -> str:
    """Return the message of the commit: what, why, by what evidence, and which plan."""
    title = one_line(plan.title)
    subject = title if len(title) <= _SUBJECT else title[: _SUBJECT - 1] + "…"
    lines = [subject, ""]
    if subject != title:
        lines += [title, ""]
    lines += [f"{one.wanted.said} {one_line(one.wanted.args)}, in {one.how}" for one in edits]
    lines += [
        "",
        f"Why: {_why(plan)}",
        f"Evidence: {', '.join(plan.evidence) or 'none'}",
        "",
        f"Midwatch-Plan: {plan.id}",
    ]
    return "\n".join(visible(line) for line in lines) + "\n"


def merge_request(plan: Plan, preview: Preview, edits: Sequence[Edited], made: Committed, cluster: ClusterSays) -> str:
    """Return the text of the merge request."""
    lines = [f"# {_words(plan.title)}", "", f"Why: {_why(plan, span=True)}.", ""]
    lines += [f"Evidence: {', '.join(code(one) for one in plan.evidence) or 'none'}.", "", "## What changes", ""]
    for one, diff in zip(edits, preview.diffs, strict=True):
        lines += [f"{code(one.wanted.said)} {code(one_line(one.wanted.args))}, in {code(one.how)}:", ""]
        lines += [*fenced(diff.unified or _hidden(diff.changes), "diff"), ""]
    lines += ["## Risk", "", f"Class: {code(preview.risk)}, by the rules for a change on the cluster.", ""]
    reasons = [warning for warning in preview.warnings if not warning.startswith("in Git: ")]
    lines += [*(f"- {code(reason)}" for reason in reasons), *([""] if reasons else [])]
    lines += ["## Reach", "", *_reach(cluster), "", "## What to expect", ""]
    lines += [f"- {code(describe(expectation))}" for expectation in plan.expect]
    lines += [
        "",
        "## How to undo",
        "",
        f"`git revert {made.commit}` on the branch that this is merged into (squashed: of the commit it became).",
        "",
    ]
    lines += [f"Plan {code(plan.id)}, branch {code(made.branch)}. Proposed by Midwatch; nothing was applied."]
    return "\n".join(lines) + "\n"


def _why(plan: Plan, *, span: bool = False) -> str:
    if plan.cause is None:
        return "not said"
    said = f"{plan.cause.mechanism} of {plan.cause.entity} ({plan.cause.confidence})"
    return code(said) if span else one_line(said)


def _words(text: str) -> str:
    """Return a title in which nothing is markup."""
    return re.sub(r"([\\`*_{}\[\]<>#|!&@~])", r"\\\1", one_line(text))


def _hidden(changes: Sequence[tuple[str, object, object]]) -> str:
    return "\n".join(f"{pointer} (hidden values)" for pointer, _, _ in changes)


def _reach(cluster: ClusterSays) -> Iterator[str]:
    preview = cluster.preview
    if preview is None:
        yield f"Not known: {code(cluster.why)}."
        return
    yield f"By dry run on the cluster: {preview.blast.objects} objects; {code(preview.blast.note)}."
    yield ""
    yield from (f"- {line}" for one in preview.blast.reach for line in _reach_lines(one))
    for warning in preview.warnings:
        if ADVICE in warning:
            continue  # it is followed here
        yield f"- {code(warning)}"
    for diff in preview.diffs:
        yield from ("", f"{code(diff.target)} on the cluster:", "", *fenced(diff.unified or "hidden values", "diff"))


def _reach_lines(reach: Reach) -> Iterator[str]:
    pods = f"{reach.restarted} of {reach.pods} pods ({reach.ready} ready) restart or go"
    yield f"{code(reach.target)}: {pods}; {code(reach.how)}"
    for one in reach.services:
        yield f"{code(one.service)}: {one.away} of {one.ready} ready pods away at once ({one.share:.0%})"
