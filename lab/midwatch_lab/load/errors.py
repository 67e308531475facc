"""The errors of the load room (a branch of `midwatch_lab.errors.LabError`).

LoadError                  the load cannot be made
├── SpecError              what is asked for is no load: names the field
├── TraceError             a trace cannot be read: names the file and the line
└── HttpError              a server did not answer in HTTP/1.1, or hung up in the middle
"""

from midwatch_lab.errors import LabError


class LoadError(LabError):
    """The load cannot be made; the message says why and what to do."""


class SpecError(LoadError):
    """A specification has a field that is missing, unknown or out of bounds."""


class HttpError(LoadError):
    """The other side does not speak HTTP/1.1, or ended before its answer did."""


class TraceError(LoadError):
    """A trace cannot be read, or a row of it makes no sense; the message names file, line and what was expected."""
