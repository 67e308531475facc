"""The errors of the lab.

LabError                    the lab cannot do what was asked
├── ApiError                the Kubernetes API refuses; carries the Status object that the client is sent
├── DecodeError             an object does not have the shape of its kind (becomes an ApiError at the door)
├── ConversionError         an object cannot be shown in another version
├── PatchError              a patch cannot be applied (becomes an ApiError at the door)
├── PatternError            a regular expression is not one of RE2
├── TokenError              a bearer token is nobody's, or not good (becomes a 401, or the words of a TokenReview)
├── SelectorError           a label or field selector does not parse
├── StoreError              the file that a lab keeps its objects in cannot be used
├── CronError               a schedule of cron, or the name of a time zone, is none
├── AddressError            no loopback address or port is to be had
├── FaultError              a fault is unknown, or does not fit what it is to be made on
├── MetricLabelsError       the option that allows labels in metrics is of another form
├── AlertmanagerError       the configuration of the lab's Alertmanager is none, or asks for what is not offered
├── ManifestError           manifests cannot be read, or would be refused
├── OriginalError           the programs that the lab is held against are not there, or do not start
└── ClientError             a running lab cannot be reached, or it refused
"""

from typing import Any


class LabError(Exception):
    """The lab cannot do what was asked; the message says what was wrong, where, and what to do."""


class ApiError(LabError):
    """The Kubernetes API refuses a request: `status` is the `Status` object, `code` its HTTP code."""

    def __init__(self, code: int, reason: str, message: str, *, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.warnings: tuple[str, ...] = ()
        self.status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            **({"reason": reason} if reason else {}),
            **({"details": details} if details is not None else {}),
            "code": int(code),
        }


class DecodeError(LabError):
    """A value has a type that its field cannot hold; the wording is that of the original's decoder."""


class ConversionError(LabError):
    """An object cannot be shown in another version: there is none, or it does not know a field."""


class PatchError(LabError):
    """A patch is malformed, or does not fit the object; `internal` where the original calls it its own fault."""

    def __init__(self, message: str, *, internal: bool = False) -> None:
        super().__init__(message)
        self.internal = internal


class PatternError(LabError):
    """A regular expression is not one of RE2; the wording is Go's."""


class TokenError(LabError):
    """A bearer token is nobody's, or not good for what it is used for."""


class SelectorError(LabError):
    """A selector does not parse, or names a field that cannot be selected on."""


class StoreError(LabError):
    """The file that a lab keeps its objects in cannot be used: in use, damaged, not ours, or of a newer Midwatch."""


class CronError(LabError):
    """A schedule of cron, or the name of a time zone, is none; the wording is that of the original's parser."""


class AddressError(LabError):
    """No loopback address or port is to be had."""


class FaultError(LabError):
    """A fault is unknown, or does not fit the entity."""


class MetricLabelsError(LabError):
    """The option that allows labels in metrics is of another form, or names an unknown kind."""


class ManifestError(LabError):
    """Manifests cannot be read or would be refused; the message has a line for each fault."""


class OriginalError(LabError):
    """The programs that the lab is held against are not there, or do not start."""


class ClientError(LabError):
    """A running lab cannot be reached, or it refused the request."""


class AlertmanagerError(LabError):
    """The configuration of the lab's Alertmanager cannot be used; the message names the lines."""
