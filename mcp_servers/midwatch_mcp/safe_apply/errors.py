"""The errors of the safe-apply envelope; the root is that of the servers, so that their text reaches the caller.

ServersError (midwatch_mcp.errors)
└── EnvelopeError                 the envelope cannot do what it was asked
    ├── RefusedChangeError        the change is not made: `reason` is one word of the closed list below
    ├── UnknownPlanError          no such plan or change in the journal
    ├── JournalError              the journal cannot be read, or says what cannot be
    ├── PolicyError               the policy file does not fit its schema
    ├── KeyFileError              a key or the list of approvers cannot be used
    ├── AuditError                the audit log was changed
    ├── GitError                  a repository, or a file in it, cannot be changed as asked
    └── TargetError               a target did not take a read or a write
        ├── TargetMissingError    there is no such object
        ├── ConflictError         the target has another version than the one that was read
        ├── RejectedError         the target said no: nothing was written
        ├── BusyError             the target asks to come back later: nothing was written
        ├── FailedError           it was carried out, and failed: what it did stays
        └── LostError             no answer: whether it was written is unknown until the target is read again
"""

from collections.abc import Mapping
from typing import Any, Literal

from midwatch_mcp.errors import ServersError

Reason = Literal[
    "frozen",
    "autonomy",
    "forbidden",
    "not_understood",
    "no_effect",
    "missing",
    "denied",
    "unsigned",
    "forged",
    "unknown_approver",
    "expired",
    "future",
    "replayed",
    "other_plan",
    "other_preview",
    "other_cluster",
    "busy",
    "state",
    "read_only",
    "not_rehearsed",
    "bad_draft",
    "malformed",
    "conflict",
]
"""Why a change was not made; written to the audit."""


class EnvelopeError(ServersError):
    """The envelope cannot do what it was asked."""


class RefusedChangeError(EnvelopeError):
    """The change is not made. `reason` is for machines, the message says what to do."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Reason = reason


class UnknownPlanError(EnvelopeError):
    """There is no such plan or change in the journal."""


class JournalError(EnvelopeError):
    """The journal cannot be read, or was asked for a step that cannot follow."""


class PolicyError(EnvelopeError):
    """The policy file does not fit its schema; the message names the file, the field and the mend."""


class KeyFileError(EnvelopeError):
    """A key file or `approvers.toml` cannot be used."""


class AuditError(EnvelopeError):
    """The audit log does not fit its chain or its journal; `line` is the first that does not (from 1), where known."""

    def __init__(self, message: str, *, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


class GitError(EnvelopeError):
    """A repository, or a file in it, cannot be changed as asked: nothing was changed."""


class TargetError(EnvelopeError):
    """A target did not take a read or a write."""


class TargetMissingError(TargetError):
    """There is no such object."""


class ConflictError(TargetError):
    """The target changed since it was read (HTTP 409 or 412): nothing was written."""


class RejectedError(TargetError):
    """The target said no (HTTP 4xx): nothing was written."""


class BusyError(TargetError):
    """The target asks to come back (HTTP 429): nothing was written. `retry_after_s` in seconds."""

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class FailedError(TargetError):
    """It was carried out and says that it failed, as a command with an exit code: what it did meanwhile stays.

    `answer` is what it said.
    """

    def __init__(self, message: str, answer: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.answer = dict(answer)


class LostError(TargetError):
    """No answer, or one that does not tell (timeout, reset, HTTP 5xx): re-reading the target decides (CONTRACTS §5)."""


_WORDS: tuple[tuple[type[ServersError], str], ...] = (
    (UnknownPlanError, "unknown_plan"),
    (PolicyError, "policy"),
    (KeyFileError, "keys"),
    (GitError, "git"),
    (ConflictError, "conflict"),
    (TargetError, "target"),
)


def reason_of(error: Exception) -> str:
    """Return why something was not done, in one word for the audit."""
    if isinstance(error, RefusedChangeError):
        return error.reason
    return next((word for kind, word in _WORDS if isinstance(error, kind)), "failed")
