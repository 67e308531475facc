"""The errors of the MCP servers. Their messages reach the model that called, so they name the mend and hold no secret.

ServersError                      a server cannot do what it was asked
├── SettingsError                 how the server was set up does not work
├── RefusedError                  the call is not one that the server makes: an argument, a cap, a missing right
├── EvidenceError                 no such evidence, or no such place in it
└── UpstreamError                 what stands behind the server did not give an answer
    ├── UnreachableError          no whole answer came back (`may_have_arrived` tells whether the request got out)
    ├── KubeError                 the API server answered with an error status
    ├── MetricsError              the Prometheus-compatible API answered with an error
    └── ServingError              the serving backend answered with an error
"""


class ServersError(Exception):
    """A server cannot do what it was asked; the message says what was wrong, where, and what to do."""


class SettingsError(ServersError):
    """How the server was set up does not work: no kubeconfig, no such context, no URL."""


class RefusedError(ServersError):
    """The call is refused: an argument is wrong, or beyond a cap."""


class EvidenceError(ServersError):
    """There is no such evidence, or no such place in it."""


class UpstreamError(ServersError):
    """What stands behind the server did not give an answer."""


class UnreachableError(UpstreamError):
    """No whole answer came back.

    `may_have_arrived` is False when the connection was never made, so nothing can have changed; True when the request
    may have been carried out and only the answer was lost: unknown, until the target is read again (CONTRACTS §5).
    """

    def __init__(self, message: str, *, may_have_arrived: bool) -> None:
        super().__init__(message)
        self.may_have_arrived = may_have_arrived


class KubeError(UpstreamError):
    """The API server (or a pod behind its proxy) answered with an error status.

    `status` is the HTTP status, `reason` the machine word of the Status object (`NotFound`, `Conflict`, ...), `causes`
    its details as `field: message`, `body` the answer as it came (bounded), for callers that proxy. `retry_after_s` is
    when to come back, where the server says so. A status below 300 is that of an answer whose body was none.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        causes: tuple[str, ...] = (),
        *,
        body: bytes = b"",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"{message} (HTTP {status} {reason})" if reason else f"{message} (HTTP {status})")
        self.status = status
        self.reason = reason
        self.message = message
        self.causes = causes
        self.body = body
        self.retry_after_s = retry_after_s

    @property
    def not_found(self) -> bool:
        """Whether the object, or its kind, is not there."""
        return self.status == 404  # noqa: PLR2004 (HTTP)


class MetricsError(UpstreamError):
    """The Prometheus-compatible API answered with an error.

    `kind` is its `errorType`, such as `bad_data`, `status` the HTTP status; `offered` is False where this API does not
    have the path at all.
    """

    def __init__(self, message: str, kind: str = "", *, status: int = 0, offered: bool = True) -> None:
        super().__init__(message)
        self.kind = kind
        self.status = status
        self.offered = offered


class ServingError(UpstreamError):
    """The serving backend answered with an error; `status` is the HTTP status."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status
