"""The errors of the supervisor and the command line's host. Each carries the exit code that it ends a command with.

CommandError (contracts)         what the host prints as one line
└── AgentError
    ├── ConfigError              a file, variable or flag of the configuration is wrong                     2
    ├── IntakeError              an alert or a question cannot be read, or names nothing that exists        2
    │   └── NoMatchError       no guide, or no service, fits what was asked                               2
    ├── RunError                 a run does not exist, is being driven elsewhere, or its record was changed 2
    ├── LedgerError              the ledger of a run does not verify                                        1
    └── ToolCallError            an MCP tool answered with an error, or not at all                          2
        ├── UnknownToolError          no server offers it
        ├── ToolRefusedError          the tool said no: its text is for the reader
        └── ToolUnreachableError      the server did not answer, or answered what its schema does not allow
"""

from midwatch_contracts.command import CommandError
from midwatch_contracts.exit_codes import Exit


class AgentError(CommandError):
    """Something that ends an investigation, for a reason that the user can act on."""

    def __init__(self, message: str, code: int = Exit.BAD_INPUT) -> None:
        super().__init__(message, int(code))


class ConfigError(AgentError):
    """A file, a variable or a flag of the configuration is wrong; the message names it and the key."""


class IntakeError(AgentError):
    """An alert or a question cannot be read, or names nothing that exists."""


class NoMatchError(IntakeError):
    """No guide, or no service, fits what was asked."""


class RunError(AgentError):
    """A run does not exist, is being driven by another process, or is over."""


class LedgerError(AgentError):
    """The ledger of a run does not verify: it was changed, or an entry is missing."""

    def __init__(self, message: str) -> None:
        super().__init__(message, Exit.INTERNAL)


class ToolCallError(AgentError):
    """An MCP tool answered with an error, or not at all."""

    def __init__(self, tool: str, reason: str) -> None:
        super().__init__(f"{tool}: {reason}")
        self.tool = tool
        self.reason = reason


class UnknownToolError(ToolCallError):
    """No server that was opened offers the tool."""


class ToolRefusedError(ToolCallError):
    """The tool said no; its text names the reason and the mend."""


class ToolUnreachableError(ToolCallError):
    """The server did not answer, or its answer does not fit its own schema."""
