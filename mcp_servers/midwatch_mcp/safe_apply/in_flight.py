"""Writes whose answer nobody has: until their time is over they may still be carried out.

A write that was sent by a process which died, or that timed out, may reach its target late. Where the same object is
written again meanwhile, its version has moved and the late one is refused. Where nothing is written again, as in an
undo that finds the values from before, nothing stands in its way, and only waiting makes sure.
"""

from midwatch_mcp.safe_apply.journal import Journal

IN_FLIGHT_S = 60.0
"""So long an API server works on one request at most: the default of kube-apiserver's `--request-timeout`."""
UNANSWERED = "unanswered"
"""Marks a step of the journal by which the answer of a write was missing."""


def unanswered_at(journal: Journal, change_id: str, operation: str) -> float | None:
    """Return when the journal last had to note that a write of an operation has no answer (Unix seconds), or None."""
    times = [
        at for at, step, body in journal.steps(change_id) if step.startswith(f"{operation}:") and UNANSWERED in body
    ]
    return max(times, default=None)
