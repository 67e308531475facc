"""A plan and its preview as text: whole, nothing cut, every control character visible."""

import json
import unicodedata
from collections.abc import Sequence
from typing import Any

from midwatch_contracts.expectations import describe
from midwatch_contracts.plan import Diff, Operation, Plan, Preview, Reach
from midwatch_mcp.safe_apply.as_git.plans import in_git
from midwatch_mcp.safe_apply.masking import masked
from midwatch_mcp.safe_apply.preview import target_text

_HIDDEN = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})


def visible(text: str) -> str:
    r"""Return `text` with control, hidden and bidirectional characters written as `\u{...}`; line ends stay."""
    return "".join(
        char if char == "\n" or unicodedata.category(char) not in _HIDDEN else f"\\u{{{ord(char):x}}}" for char in text
    )


def one_line(value: Any) -> str:
    """Return a value as JSON on one line, whole, credentials hidden."""
    text = value if isinstance(value, str) else json.dumps(masked(value), ensure_ascii=False, sort_keys=True)
    return visible(text).replace("\n", "\\n")


def operation_lines(operation: Operation) -> list[str]:
    """Return an operation and its undo, whole."""
    undo = operation.undo
    back = f"{undo.op} {one_line(undo.args)}" if isinstance(undo, Operation) else "THERE IS NO UNDO"
    return [
        f"{operation.id}: {one_line(operation.op)} of {one_line(target_text(operation.target))}",
        f"    {one_line(operation.args)}",
        f"    undone by {back}",
    ]


def _reach_lines(reach: Reach) -> list[str]:
    """Return what one operation does to pods and Services."""
    head = f"{reach.operation} {one_line(reach.target)}: {reach.restarted} of {reach.pods} pods ({reach.ready} ready)"
    lines = [f"{head} restart or go; {one_line(reach.how)}"]
    lines += [
        f"  {one_line(one.service)}: {one.away} of {one.ready} ready pods away at once ({one.share:.0%})"
        for one in reach.services
    ]
    return lines


def plan_text(plan: Plan, preview: Preview, sha256: str, rehearsal: Sequence[str] = ()) -> str:
    """Return what a person must have seen before saying yes. `rehearsal` is what there is to say of one, in lines."""
    cause = plan.cause
    why = "not said" if cause is None else f"{cause.mechanism} of {cause.entity} ({cause.confidence})"
    lines = [
        f"Plan {plan.id}",
        f"  {one_line(plan.title)}",
        f"  cause: {why}; evidence: {', '.join(plan.evidence) or 'none'}",
        f"  risk: {preview.risk}",
        *(f"  {one_line(line)}" for line in rehearsal),
        f"  reach: {preview.blast.objects} objects; {one_line(preview.blast.note)}",
        *(f"    {line}" for one in preview.blast.reach for line in _reach_lines(one)),
        *(f"  ! {one_line(warning)}" for warning in preview.warnings),
        *_final(plan),
        "",
        "Operations",
        *(f"  {line}" for operation in plan.operations for line in operation_lines(operation)),
        "",
        "Expected once it is merged and applied" if in_git(plan) else "Expected, else it is undone",
        *(f"  {one_line(describe(expectation))}" for expectation in plan.expect),
        "",
        f"Changes {'in Git' if in_git(plan) else 'by dry run'}, preview {sha256}",
        *(visible(diff.unified) or _hidden(diff) for diff in preview.diffs),
    ]
    if preview.owners:
        owned = sorted({f"{owner.pointer} ({owner.manager})" for owner in preview.owners})
        lines.append(f"Fields now owned by: {one_line(', '.join(owned))}")
    return "\n".join(lines)


def _final(plan: Plan) -> list[str]:
    """Return the line that names what nobody can take back."""
    final = [f"{one.id} ({one.op} of {target_text(one.target)})" for one in plan.operations if one.undo == "none"]
    said = "if this change fails after it, it stays, and the rest is undone"
    return [f"  CANNOT BE UNDONE: {one_line(', '.join(final))}: {said}"] if final else []


def _hidden(diff: Diff) -> str:
    """Return what stands for a diff of which only credentials would be seen."""
    places = ", ".join(pointer for pointer, _, _ in diff.changes) or "nothing"
    return f"{one_line(diff.target)}: {one_line(places)} (hidden values)\n"
