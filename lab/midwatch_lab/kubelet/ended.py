"""How a run of a container ended, also one that ended with an earlier life of the lab."""

from dataclasses import dataclass
from typing import Final

from midwatch_lab.objects import Object, dig

_UNKNOWN_CODE: Final = 255


@dataclass
class Ended:
    """How a run of a container ended."""

    code: int
    started: str
    finished: str
    container_id: str
    reason: str = ""

    @classmethod
    def of(cls, state: Object) -> "Ended":
        """Read one from what stands under `terminated` in a container status."""
        code, reason = int(state.get("exitCode", 0)), str(state.get("reason", ""))
        times = (str(state.get("startedAt", "")), str(state.get("finishedAt", "")))
        return cls(code, *times, str(state.get("containerID", "")), reason)

    @property
    def state(self) -> Object:
        """The state as a container status has it."""
        return {
            "terminated": {
                "exitCode": self.code,
                "reason": self.reason or ("Completed" if self.code == 0 else "Error"),
                "startedAt": self.started,
                "finishedAt": self.finished,
                "containerID": self.container_id,
            }
        }


def last_run(status: Object, now: str) -> Ended | None:
    """Return how the run that a container status of an earlier life tells of ended; None where there was none.

    Nobody saw the end of what ran until then: a kubelet after its node's restart says exit code 255, reason Unknown.
    """
    running, ended = dig(status, "state", "running"), dig(status, "state", "terminated")
    if running is not None:
        began, identity = str(running.get("startedAt", now)), str(status.get("containerID", ""))
        return Ended(_UNKNOWN_CODE, began, now, identity, "Unknown")
    return Ended.of(ended) if ended is not None else None
