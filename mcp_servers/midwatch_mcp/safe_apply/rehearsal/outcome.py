"""What came of a rehearsal, and how the approval screen tells it."""

from collections.abc import Sequence
from typing import Literal

from midwatch_contracts.model import Model
from midwatch_contracts.plan import Risk
from midwatch_contracts.times import rfc3339

Ended = Literal["verified", "failed", "refused", "not_run"]
"""`verified`: applied, what was expected came, and undone again; `failed`: it did not; `refused`: the copy did not take
the plan; `not_run`: there was no copy that could say anything."""
Undone = Literal["proved", "failed", "none"]
"""`none`: the plan has no undo, or nothing was applied."""


class PodCourse(Model):
    """The ready pods of one workload of the copy, from before the change until it was verified or undone."""

    workload: str
    before: int
    least: int
    after: int
    short_s: float
    """How long there were fewer than before, in seconds."""


class Rehearsal(Model):
    """One rehearsal, bound to one preview of one plan."""

    plan_id: str
    preview_sha256: str
    at: float
    """When it ended, in Unix seconds."""
    seconds: float
    ended: Ended
    undo: Undone
    failed: tuple[str, ...]
    """What went wrong, a sentence each."""
    pods: tuple[PodCourse, ...]
    differences: tuple[str, ...]
    """What of the real cluster the copy did not have."""

    @property
    def is_good(self) -> bool:
        """Whether it speaks for the change."""
        return self.ended == "verified" and self.undo != "failed"

    def says(self) -> str:
        """Return it in a sentence."""
        undo = {"proved": ", undone again and proved", "failed": ", but its undo failed", "none": ""}[self.undo]
        words = {
            "verified": f"applied and verified{undo}",
            "failed": f"it FAILED{undo}",
            "refused": "the copy did not take the plan",
            "not_run": "it could not be tried",
        }
        return f"{words[self.ended]} ({self.seconds:.0f} s)"

    def lines(self, now: float | None = None) -> list[str]:
        """Return it as a person reads it, with its age where `now` is given."""
        age = "" if now is None else f", {_age(now - self.at)} ago"
        return [
            f"rehearsed in a lab at {rfc3339(self.at)}{age}: {self.says()}",
            *(f"  ! {one}" for one in self.failed),
            *(_course(one) for one in self.pods),
            *([f"  the copy differs: {'; '.join(self.differences)}"] if self.differences else []),
        ]


def _course(one: PodCourse) -> str:
    short = f", {one.short_s:.0f} s with fewer than before" if one.short_s else ""
    return f"  {one.workload}: {one.before} ready pods before, at least {one.least} meanwhile, {one.after} then{short}"


def _age(seconds: float) -> str:
    for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {name}"
    return f"{max(0.0, seconds):.0f} s"


def rehearsal_lines(found: Rehearsal | None, plan_id: str, risk: Risk, now: float | None = None) -> list[str]:
    """Return what the approval screen says of rehearsal; nothing of a plan that needs none and had none."""
    if found is not None:
        return found.lines(now)
    if risk != "dangerous":
        return []
    return [f"! not rehearsed: `midwatch change rehearse {plan_id[:12]}` tries it on a copy first"]


def lacking(found: Rehearsal | None, plan_id: str) -> str | None:
    """Return why a policy that demands a good rehearsal is not met, and the mend; None if it is."""
    if found is not None and found.is_good:
        return None
    command = f"midwatch change rehearse {plan_id[:12]}"
    if found is None:
        return f"the policy wants a rehearsal of this very preview first: run `{command}`"
    why: Sequence[str] = found.failed[:1] or (found.says(),)
    return (
        f"the policy wants a good rehearsal, and the last one says: {why[0]} (mend the plan, or run `{command}` again)"
    )
