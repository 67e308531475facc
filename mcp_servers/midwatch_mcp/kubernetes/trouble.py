"""What is wrong with an object, as its own spec and status say it: one sentence each, the worst first (pure).

Conditions of any kind are read by the API conventions' polarity: a type that names something good (`Ready`,
`Available`) is wrong when it is not True, one that names something bad (`MemoryPressure`) when it is True. Source:
https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from midwatch_contracts.model import Model
from midwatch_mcp.kubernetes.quantity import quantity
from midwatch_mcp.kubernetes.room import at, count, mapping, objects, ready, seconds, text, texts, word
from midwatch_mcp.shapes import Outside

_RECENT_S = 3_600.0
_DELETING_S = 60.0
_BAD = re.compile(
    r".*(?:Pressure|Failure|Failed|Problem|Unavailable|Degraded|Stalled|Deadlock|Exceeded|Remaining|Error)"
)
_NEUTRAL = frozenset({"Progressing", "Suspended", "PodReadyToStartContainers", "ScalingLimited", "Complete"})
"""Types of which neither status is wrong by itself."""
_SIGNALS = {137: "SIGKILL", 139: "SIGSEGV", 143: "SIGTERM", 134: "SIGABRT"}
_ODD_PHASES = frozenset({"Failed", "Error", "Pending", "Lost", "Unknown", "Terminating", "Unhealthy", "Degraded"})


class Trouble(Model):
    """One thing that is wrong."""

    what: str
    said: Outside = ""
    """What the cluster says of it, where it says something."""


def pod_troubles(pod: Mapping[str, Any], now: float) -> list[Trouble]:
    """Return why a pod does not serve, or lately did not."""
    found = [*_deleting(pod, now)]
    status = mapping(pod, "status")
    if status.get("phase") == "Failed":
        found.append(Trouble(what=f"the pod failed: {word(status.get('reason'))}", said=text(status, "message")))
    for condition in objects(status.get("conditions")):
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            reason = word(condition.get("reason"))
            found.append(Trouble(what=f"not scheduled: {reason}", said=text(condition, "message")))
    for part in ("initContainers", "containers"):
        limits = {text(c, "name"): at(c, "resources", "limits", "memory") for c in objects(at(pod, "spec", part))}
        for entry in objects(status.get(f"{part[:-1]}Statuses")):
            name = text(entry, "name")
            found += _container(name, entry, limits.get(name), now, init=part == "initContainers")
    gates = {text(gate, "conditionType") for gate in objects(at(pod, "spec", "readinessGates"))}
    for condition in objects(status.get("conditions")):
        if condition.get("type") in gates and condition.get("status") != "True":
            found.append(Trouble(what="a readiness gate is not passed", said=text(condition, "type")))
    if not found and status.get("phase") == "Running" and not ready(pod):
        told = next((c for c in objects(status.get("conditions")) if c.get("type") == "Ready"), None)
        found.append(Trouble(what=f"not ready: {word(at(told, 'reason'))}", said=text(told, "message")))
    return found


def _container(name: str, entry: Mapping[str, Any], limit: Any, now: float, *, init: bool) -> Iterator[Trouble]:
    which = f"init container {name}" if init else f"container {name}"
    waiting, ended = mapping(entry, "state", "waiting"), mapping(entry, "state", "terminated")
    last = _ending(mapping(entry, "lastState", "terminated"), limit, now)
    restarts = count(entry.get("restartCount"))
    again = f", {restarts} restarts" if restarts else ""
    if waiting and waiting.get("reason") not in {"PodInitializing", "ContainerCreating"}:
        ago = f"; the run before {last}" if last else ""
        yield Trouble(what=f"{which} waits: {word(waiting.get('reason'))}{again}{ago}", said=text(waiting, "message"))
    elif ended and ended.get("exitCode") != 0:
        yield Trouble(what=f"{which} {_ending(ended, limit, now)}{again}", said=text(ended, "message"))
    elif last and _lately(entry, now):
        yield Trouble(what=f"{which} restarted {restarts} times; the run before {last}")
    if "running" in mapping(entry, "state") and not entry.get("ready") and not init:
        probe = "startup" if entry.get("started") is False else "readiness"
        yield Trouble(what=f"{which} runs and is not ready: its {probe} probe has not passed")


def _lately(entry: Mapping[str, Any], now: float) -> bool:
    ended = seconds(at(entry, "lastState", "terminated", "finishedAt"))
    return ended is None or now - ended < _RECENT_S


def _ending(ended: Mapping[str, Any], limit: Any, now: float) -> str:
    """Say how a run ended: `ended with exit 137 (OOMKilled, memory limit 2Gi), 40 s ago`."""
    if not ended:
        return ""
    code = ended.get("exitCode")
    parts = [word(ended.get("reason"))] if ended.get("reason") else []
    signal = _SIGNALS.get(code) if isinstance(code, int) else None
    if parts == ["OOMKilled"]:
        parts += [f"memory limit {limit}"] if quantity(limit) is not None else ["no memory limit of its own"]
    elif signal:
        parts.append(signal)
    moment = seconds(ended.get("finishedAt"))
    ago = "" if moment is None else f", {max(now - moment, 0):.0f} s ago"
    return f"ended with exit {code if isinstance(code, int) else '?'} ({', '.join(parts)}){ago}"


def object_troubles(found: Mapping[str, Any], now: float) -> list[Trouble]:
    """Return what is wrong with an object of any kind: by its kind where that is known, by convention else."""
    kind = text(found, "kind")
    if kind == "Pod":
        return pod_troubles(found, now)
    own = {
        "Node": _node,
        "PersistentVolumeClaim": _claim,
        "Job": _job,
        "CronJob": _cron_job,
        "HorizontalPodAutoscaler": _autoscaler,
        "PodDisruptionBudget": _budget,
        "ResourceQuota": _quota,
        "DaemonSet": _daemon_set,
        "Service": _service,
        "Ingress": _ingress,
        "ReplicaSet": _replicas,
        "StatefulSet": _replicas,
        "Deployment": _replicas,
    }.get(kind)
    troubles = [*_deleting(found, now), *(own(found, now) if own else ()), *_conditions(found, now), *_unseen(found)]
    phase = at(found, "status", "phase")
    if own is None and kind != "Namespace" and phase in _ODD_PHASES:
        message = text(found, "status", "message") or text(found, "status", "reason")
        troubles.append(Trouble(what=f"its phase is {phase}", said=message))
    return troubles


def _deleting(found: Mapping[str, Any], now: float) -> Iterator[Trouble]:
    since = seconds(at(found, "metadata", "deletionTimestamp"))
    if since is None:
        return
    # Kubernetes writes the end of the grace period into deletionTimestamp.
    age = now - since
    held = [*texts(found, "metadata", "finalizers"), *texts(found, "spec", "finalizers")]
    late = f"should have been gone {age:.0f} s ago" if age > _DELETING_S else "being deleted"
    if held:
        yield Trouble(what=f"{late}: {len(held)} finalizers hold it", said=", ".join(held))
    else:
        yield Trouble(what=late)


def _conditions(found: Mapping[str, Any], now: float) -> Iterator[Trouble]:
    for condition in objects(at(found, "status", "conditions")):
        kind, status = word(condition.get("type")), condition.get("status")
        if kind in _NEUTRAL or kind == "Unknown":
            continue
        wrong = status == "True" if _BAD.fullmatch(kind) else status in {"False", "Unknown"}
        if not wrong:
            continue
        since = seconds(condition.get("lastTransitionTime"))
        ago = "" if since is None else f" for {max(now - since, 0):.0f} s"
        reason = f" ({word(condition.get('reason'))})" if condition.get("reason") else ""
        yield Trouble(what=f"{kind} is {status}{ago}{reason}", said=text(condition, "message"))


def _unseen(found: Mapping[str, Any]) -> Iterator[Trouble]:
    seen, wanted = at(found, "status", "observedGeneration"), at(found, "metadata", "generation")
    if isinstance(seen, int) and isinstance(wanted, int) and seen < wanted:
        yield Trouble(what=f"its controller has seen generation {seen} and not yet {wanted}")


def _node(node: Mapping[str, Any], now: float) -> Iterator[Trouble]:
    del now
    if at(node, "spec", "unschedulable"):
        yield Trouble(what="cordoned: no new pod is scheduled to it")
    for taint in objects(at(node, "spec", "taints")):
        if taint.get("key") != "node.kubernetes.io/unschedulable":
            value = f"={text(taint, 'value')}" if taint.get("value") else ""
            yield Trouble(what=f"tainted {word(taint.get('effect'))}", said=f"{text(taint, 'key')}{value}")


def _claim(claim: Mapping[str, Any], now: float) -> Iterator[Trouble]:
    del now
    phase = word(at(claim, "status", "phase"))
    if phase != "Bound":
        named = text(claim, "spec", "storageClassName")
        yield Trouble(what=f"not bound: {phase}", said=f"storage class {named or 'of the default'}")


def _job(job: Mapping[str, Any], now: float) -> Iterator[Trouble]:
    del now
    failed, limit = count(at(job, "status", "failed")), at(job, "spec", "backoffLimit")
    if failed:
        yield Trouble(what=f"{failed} of its pods failed (backoffLimit {6 if limit is None else limit})")
    if at(job, "spec", "suspend"):
        yield Trouble(what="suspended: it starts no pods")


def _cron_job(job: Mapping[str, Any], now: float) -> Iterator[Trouble]:
    if at(job, "spec", "suspend"):
        yield Trouble(what="suspended: it starts no Jobs")
    last, good = (seconds(at(job, "status", name)) for name in ("lastScheduleTime", "lastSuccessfulTime"))
    if last is not None and (good is None or good < last) and not objects(at(job, "status", "active")):
        since = "never" if good is None else f"last {now - good:.0f} s ago"
        yield Trouble(what=f"its last run did not succeed ({since})")


def _autoscaler(scaler: Mapping[str, Any], now: float) -> Iterator[Trouble]:
    del now
    current, most = at(scaler, "status", "currentReplicas"), at(scaler, "spec", "maxReplicas")
    limited = [c for c in objects(at(scaler, "status", "conditions")) if c.get("type") == "ScalingLimited"]
    if isinstance(current, int) and current == most and any(c.get("status") == "True" for c in limited):
        yield Trouble(what=f"at its maximum of {most} replicas, and would scale further")


def _budget(budget: Mapping[str, Any], now: float) -> Iterator[Trouble]:
    del now
    allowed = at(budget, "status", "disruptionsAllowed")
    healthy, wanted = (count(at(budget, "status", name)) for name in ("currentHealthy", "desiredHealthy"))
    if allowed == 0 and count(at(budget, "status", "expectedPods")):
        yield Trouble(what=f"allows no disruption: {healthy} pods healthy, {wanted} needed; drains wait")


def _quota(quota: Mapping[str, Any], now: float) -> Iterator[Trouble]:
    del now
    used = mapping(quota, "status", "used")
    for name, hard in mapping(quota, "status", "hard").items():
        limit, taken = quantity(hard), quantity(used.get(name))
        if limit is not None and taken is not None and taken >= limit:
            yield Trouble(what=f"{used[name]} of {hard} used: nothing more fits", said=name)


def _daemon_set(found: Mapping[str, Any], now: float) -> Iterator[Trouble]:
    del now
    status = mapping(found, "status")
    wanted, there = count(status.get("desiredNumberScheduled")), count(status.get("numberReady"))
    if there < wanted:
        yield Trouble(what=f"{there} of {wanted} pods ready")
    if count(status.get("numberMisscheduled")):
        yield Trouble(what=f"{status['numberMisscheduled']} pods run where they should not")


def _replicas(found: Mapping[str, Any], now: float) -> Iterator[Trouble]:
    del now
    wanted = at(found, "spec", "replicas")
    wanted, there = wanted if isinstance(wanted, int) else 1, count(at(found, "status", "readyReplicas"))
    if there < wanted:
        yield Trouble(what=f"{there} of {wanted} replicas ready")
    if at(found, "spec", "paused"):
        yield Trouble(what="paused: a change of its template is not rolled out")


def _service(service: Mapping[str, Any], now: float) -> Iterator[Trouble]:
    del now
    if at(service, "spec", "type") == "LoadBalancer" and not objects(at(service, "status", "loadBalancer", "ingress")):
        yield Trouble(what="its load balancer has no address yet")


def _ingress(ingress: Mapping[str, Any], now: float) -> Iterator[Trouble]:
    del now
    if not objects(at(ingress, "status", "loadBalancer", "ingress")):
        yield Trouble(what="it has no address: no ingress controller has taken it up")


def by_pods(pods: Iterable[Mapping[str, Any]], now: float) -> list[Trouble]:
    """Return the troubles of several pods, those of one wording together: `3 pods: ...`, with one pod named."""
    groups: dict[str, list[tuple[str, Trouble]]] = {}
    for pod in pods:
        name = text(pod, "metadata", "name")
        for trouble in pod_troubles(pod, now):
            # Counts and ages differ from pod to pod, what is wrong does not.
            groups.setdefault(re.sub(r"\d+", "#", trouble.what), []).append((name, trouble))
    found: list[Trouble] = []
    for alike in sorted(groups.values(), key=len, reverse=True):
        name, trouble = alike[0]
        more = f"{len(alike)} pods, for one {name}" if len(alike) > 1 else f"pod {name}"
        found.append(Trouble(what=f"{more}: {trouble.what}", said=trouble.said))
    return found
