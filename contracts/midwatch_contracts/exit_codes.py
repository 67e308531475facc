"""Exit codes of the command line, each of which means one thing (CONTRACTS §10)."""

from enum import IntEnum


class Exit(IntEnum):
    """What a command's end says to a script."""

    OK = 0
    """Done, or healthy."""
    INTERNAL = 1
    """Our fault."""
    BAD_INPUT = 2
    """Bad input or configuration, or a target that cannot be reached."""
    UNSETTLED = 3
    """Not settled: a cause found and not fixed, escalated, or no data."""
    NOT_APPROVED = 4
    """Approval refused or missing."""
    UNDONE = 5
    """Applied and undone."""
    STUCK = 6
    """Stuck; a person must look."""
    REPLAY_DIFFERS = 7
    """A replay did not give what was recorded."""
    INTERRUPTED = 130
    """Interrupted by the user."""
