"""The errors of guides.

GuideError                    a guide cannot be used as asked
├── GuideInvalidError         it does not parse or fails its checks (carries the problems)
├── UnknownGuideError         there is no guide of that id
├── InputError                its inputs are missing or do not fit
├── TemplateError             a `${name}` cannot be put where it stands
├── JournalError              the journal cannot be used
└── StepError                 a step of a run failed
    ├── ToolFailedError       a tool call failed (raised by a ToolCaller; says whether a retry may help)
    └── StepTimeoutError      a step took longer than its timeout
"""

from midwatch_tsg.problem import Problem


class GuideError(Exception):
    """A guide cannot be used as asked; the message says what, where, and how to mend it."""


class GuideInvalidError(GuideError):
    """A guide does not parse, or fails its checks."""

    def __init__(self, file: str, problems: list[Problem]) -> None:
        self.file = file
        self.problems = problems
        rest = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(f"{problems[0]}{rest}" if problems else file)


class UnknownGuideError(GuideError):
    """There is no guide of that id."""


class InputError(GuideError):
    """The inputs of a run are missing or do not fit their types."""


class TemplateError(GuideError):
    """A `${name}` cannot be put where it stands: its type does not fit the place, or its value breaks a limit."""


class JournalError(GuideError):
    """The journal is not one, or was written by a later version."""


class StepError(GuideError):
    """A step of a run failed."""


class ToolFailedError(StepError):
    """A tool call failed. `retry` says whether the same call may succeed later (a lost connection, not a bad name)."""

    def __init__(self, message: str, *, retry: bool = True) -> None:
        super().__init__(message)
        self.retry = retry


class StepTimeoutError(StepError):
    """A step took longer than its timeout."""
