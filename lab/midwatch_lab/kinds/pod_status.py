"""What `kubectl get pods` shows of a pod: readiness, one word for its state, and restarts."""

from midwatch_contracts.times import unix_seconds
from midwatch_lab.kinds.durations import human_duration
from midwatch_lab.objects import Object, dig, is_condition_true, is_terminating


def pod_ready(pod: Object) -> str:
    """Return `ready/all` containers."""
    statuses: list[Object] = dig(pod, "status", "containerStatuses", default=[])
    ready = sum(1 for item in statuses if item.get("ready") and dig(item, "state", "running") is not None)
    return f"{ready}/{len(dig(pod, 'spec', 'containers', default=[]))}"


def pod_status(pod: Object) -> str:
    """Return the one word: the phase, or the reason of the container that explains best why not."""
    word = dig(pod, "status", "reason") or dig(pod, "status", "phase", default="Unknown")
    has_running = False
    for item in reversed(dig(pod, "status", "containerStatuses", default=[])):
        waiting, ended = dig(item, "state", "waiting"), dig(item, "state", "terminated")
        if waiting is not None and waiting.get("reason"):
            word = waiting["reason"]
        elif ended is not None:
            signal = ended.get("signal")
            code = f"Signal:{signal}" if signal else f"ExitCode:{ended.get('exitCode', 0)}"
            word = ended.get("reason") or code
        elif item.get("ready") and dig(item, "state", "running") is not None:
            has_running = True
    if word == "Completed" and has_running:
        word = "Running" if is_condition_true(pod, "Ready") else "NotReady"
    if is_terminating(pod) and dig(pod, "status", "phase") not in ("Succeeded", "Failed"):
        word = "Unknown" if dig(pod, "status", "reason") == "NodeLost" else "Terminating"
    return word


def pod_restarts(pod: Object, now: float) -> str:
    """Return the restarts of all containers, and how long ago the last one was."""
    statuses: list[Object] = dig(pod, "status", "containerStatuses", default=[])
    restarts = sum(int(item.get("restartCount", 0)) for item in statuses)
    if not restarts:
        return "0"
    ends = [dig(item, "lastState", "terminated", "finishedAt") for item in statuses]
    times = [unix_seconds(end) for end in ends if end]
    if not times:
        return str(restarts)
    return f"{restarts} ({human_duration(now - max(times))} ago)"
