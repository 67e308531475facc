"""The errors of the serving backend.

ServingError
├── RequestError              a request cannot be served as it is asked (carries HTTP status, field, code)
│   └── QueueFull             nor can any other at present: too many are being served (503; carries limit, retry-after)
├── ConfigError               a configuration value is not acceptable (carries the field)
├── ModelError                a model file or its tokenizer is broken or not of a kind known here (carries the path)
├── KernelError               the compiled kernels do not run here, or not with this model
├── CostModelError            a cost model is unknown, or its file is not one
├── WorkloadError             a workload or trace cannot be read as it is given (carries file and line)
├── WorkerError               a worker of the comparison with peers could not do what it was asked
├── EngineDead                the engine stopped after an error of its own; nothing can be served any more
└── IntegrityError            the scheduler's books do not balance: a defect of ours, never of a request
"""

from pathlib import Path


class ServingError(Exception):
    """Anything that goes wrong in the serving backend."""


class RequestError(ServingError):
    """A request cannot be served as it is asked. `param` names the field at fault, `code` is OpenAI's word for it."""

    def __init__(self, message: str, *, status: int = 400, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code


class QueueFull(RequestError):  # noqa: N818 (a state, and a good one: what was taken stays fast)
    """Too much is queued. `reason` is the limit, as `vllm:admission_rejections` labels it; `retry_after` in seconds."""

    def __init__(self, message: str, *, reason: str, retry_after: int) -> None:
        super().__init__(message, status=503, code=reason)
        self.reason = reason
        self.retry_after = retry_after


class ConfigError(ServingError):
    """A configuration value is not acceptable; `field` is its name."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class ModelError(ServingError):
    """A model file, its tokenizer or its chat template cannot be used. `path` is the file, `what` the reason."""

    def __init__(self, path: Path, what: str, *, mend: str) -> None:
        super().__init__(f"{path} {what}: {mend}")
        self.path = path
        self.what = what
        self.mend = mend


class KernelError(ServingError):
    """The compiled kernels do not run on this machine, or not with this model."""


class CostModelError(ServingError):
    """A cost model is unknown, or its file is not one."""


class WorkloadError(ServingError):
    """A workload or a trace cannot be read as it is given; the message names file and line."""


class WorkerError(ServingError):
    """A worker of the comparison with peers could not do what it was asked; says why, with the end of its log."""


class EngineDead(ServingError):  # noqa: N818 (a state that is reported, as vLLM's EngineDeadError)
    """The engine stopped after an error of its own."""


class IntegrityError(ServingError):
    """The scheduler's books do not balance: a block is lost or held twice, or a request is in two places."""
