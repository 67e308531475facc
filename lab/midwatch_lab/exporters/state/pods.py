"""Pods, and their containers and init containers.

Left out of the original's families, to keep 5,000 pods small: addresses, tolerations, node selectors, overhead, runtime
class, service account, scheduler, and the times at which containers were first ready or initialised.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from midwatch_lab.exporters.family import Family, Point, Reader
from midwatch_lab.exporters.state.kind import NAME, NAMESPACE, UID, Kind
from midwatch_lab.exporters.state.reading import (
    OWNER_LABELS,
    amount,
    condition,
    created,
    deleted,
    moment,
    owners,
    plain,
    seconds,
    since,
    states,
    unit_of,
    whole_amount,
)
from midwatch_lab.kinds.resources import PODS
from midwatch_lab.objects import Object, controller_of, dig

_PHASES: Final = ("Pending", "Running", "Succeeded", "Failed", "Unknown")
_REASONS: Final = ("Evicted", "NodeAffinity", "NodeLost", "Shutdown", "UnexpectedAdmissionError")
_CLASSES: Final = ("BestEffort", "Burstable", "Guaranteed")
_AMOUNT_LABELS: Final = ("container", "node", "resource", "unit")


def _info(pod: Object) -> Iterable[Point]:
    owner = controller_of(pod) or {}
    yield (
        {
            "host_ip": dig(pod, "status", "hostIP", default=""),
            "pod_ip": dig(pod, "status", "podIP", default=""),
            "node": dig(pod, "spec", "nodeName", default=""),
            "created_by_kind": owner.get("kind", ""),
            "created_by_name": owner.get("name", ""),
            "priority_class": dig(pod, "spec", "priorityClassName", default=""),
            "host_network": str(bool(dig(pod, "spec", "hostNetwork"))).lower(),
        },
        1.0,
    )


def _unschedulable(pod: Object) -> Iterable[Point]:
    for item in dig(pod, "status", "conditions", default=[]):
        if item.get("type") == "PodScheduled" and item.get("status") == "False":
            yield {}, 1.0


def _completion(pod: Object) -> Iterable[Point]:
    ends = [dig(status, "state", "terminated", "finishedAt") for status in _statuses(pod, "containerStatuses")]
    times = [seconds(end) for end in ends if end]
    return (({}, max(times)),) if times else ()


def _claims(value: Callable[[Object], float]) -> Reader:
    def read(pod: Object) -> Iterable[Point]:
        for volume in dig(pod, "spec", "volumes", default=[]):
            claim = volume.get("persistentVolumeClaim")
            if claim is not None:
                yield {"volume": volume["name"], "persistentvolumeclaim": claim["claimName"]}, value(claim)

    return read


def _statuses(pod: Object, place: str) -> list[Object]:
    return dig(pod, "status", place, default=[])


def _each(place: str, value: Callable[[Object], float | None]) -> Reader:
    """Read a number of each container status that has it."""

    def read(pod: Object) -> Iterator[Point]:
        for status in _statuses(pod, place):
            found = value(status)
            if found is not None:
                yield {"container": status["name"]}, found

    return read


def _reason(place: str, state: str, name: str) -> Reader:
    """Read the reason of a state of each container that is in it."""

    def read(pod: Object) -> Iterator[Point]:
        for status in _statuses(pod, place):
            found = dig(status, state, name)
            if found is not None:
                yield {"container": status["name"], "reason": found.get("reason", "")}, 1.0

    return read


def _is(state: str) -> Callable[[Object], float]:
    return lambda status: float(dig(status, "state", state) is not None)


def _number(key: str) -> Callable[[Object], float]:
    return lambda status: float(status.get(key, 0))


def _started(status: Object) -> float | None:
    found = dig(status, "state", "running", "startedAt") or dig(status, "state", "terminated", "startedAt")
    return seconds(found) if found else None


def _last_exit(status: Object) -> float | None:
    code = dig(status, "lastState", "terminated", "exitCode")
    return None if code is None else float(code)


def _last_end(status: Object) -> float | None:
    found = dig(status, "lastState", "terminated", "finishedAt")
    return seconds(found) if found else None


def _amounts(containers: str, kind: str) -> Reader:
    def read(pod: Object) -> Iterator[Point]:
        node = dig(pod, "spec", "nodeName", default="")
        for container in dig(pod, "spec", containers, default=[]):
            for name, text in dig(container, "resources", kind, default={}).items():
                unit = unit_of(name)
                if unit is not None:
                    labels = {"container": container["name"], "node": node, "resource": plain(name), "unit": unit}
                    yield labels, (amount if unit == "core" else whole_amount)(str(text))

    return read


def _container_info(specs: str, place: str, extra: Callable[[Object], dict[str, str]]) -> Reader:
    def read(pod: Object) -> Iterator[Point]:
        by_name: dict[str, Object] = {spec["name"]: spec for spec in dig(pod, "spec", specs, default=[])}
        for status in _statuses(pod, place):
            spec = by_name.get(status["name"])
            if spec is not None:
                labels = {
                    "container": status["name"],
                    "image_spec": spec.get("image", ""),
                    "image": status.get("image", ""),
                    "image_id": status.get("imageID", ""),
                    "container_id": status.get("containerID", ""),
                }
                yield {**labels, **extra(spec)}, 1.0

    return read


def _containers(prefix: str, specs: str, place: str, word: str) -> tuple[Family, ...]:
    """Return what containers and init containers have in common; `word` says which they are."""
    label, reasoned = ("container",), ("container", "reason")
    return (
        Family(f"{prefix}_status_waiting", f"1 while the {word} waits", _each(place, _is("waiting")), label),
        Family(
            f"{prefix}_status_waiting_reason",
            f"Why the {word} waits, while it does",
            _reason(place, "state", "waiting"),
            reasoned,
        ),
        Family(f"{prefix}_status_running", f"1 while the {word} runs", _each(place, _is("running")), label),
        Family(f"{prefix}_status_terminated", f"1 while the {word} has ended", _each(place, _is("terminated")), label),
        Family(
            f"{prefix}_status_terminated_reason",
            f"Why the {word} has ended, while it has",
            _reason(place, "state", "terminated"),
            reasoned,
        ),
        Family(
            f"{prefix}_status_last_terminated_reason",
            f"Why the {word}'s run before this one ended",
            _reason(place, "lastState", "terminated"),
            reasoned,
        ),
        Family(f"{prefix}_status_ready", f"1 while the {word} is ready", _each(place, _number("ready")), label),
        Family(
            f"{prefix}_status_restarts_total",
            f"How often the {word} was started again",
            _each(place, _number("restartCount")),
            label,
            "counter",
        ),
        Family(
            f"{prefix}_resource_requests",
            f"What the {word} asks for, in the unit",
            _amounts(specs, "requests"),
            _AMOUNT_LABELS,
        ),
        Family(
            f"{prefix}_resource_limits",
            f"What the {word} may use, in the unit",
            _amounts(specs, "limits"),
            _AMOUNT_LABELS,
        ),
    )


_POD_FAMILIES: Final = (
    Family(
        "kube_pod_info",
        "The pod, where it runs and what made it",
        _info,
        ("host_ip", "pod_ip", "node", "created_by_kind", "created_by_name", "priority_class", "host_network"),
    ),
    Family("kube_pod_owner", "What owns the pod", owners, OWNER_LABELS),
    created("kube_pod"),
    deleted("kube_pod_deletion_timestamp"),
    Family("kube_pod_start_time", "When the kubelet took the pod, in Unix seconds", moment("status", "startTime")),
    Family("kube_pod_completion_time", "When the last container to end so far did, in Unix seconds", _completion),
    Family(
        "kube_pod_status_phase", "1 for the phase of the pod", states("phase", _PHASES, "status", "phase"), ("phase",)
    ),
    Family("kube_pod_status_ready", "Whether the pod is ready", condition("Ready"), ("condition",)),
    Family("kube_pod_status_ready_time", "Since when the pod is ready, in Unix seconds", since("Ready")),
    Family("kube_pod_status_scheduled", "Whether the pod has a node", condition("PodScheduled"), ("condition",)),
    Family("kube_pod_status_scheduled_time", "When the pod got its node, in Unix seconds", since("PodScheduled")),
    Family("kube_pod_status_unschedulable", "1 for a pod that no node was found for", _unschedulable),
    Family(
        "kube_pod_status_reason",
        "1 for the reason of the pod's status",
        states("reason", _REASONS, "status", "reason", always=True),
        ("reason",),
    ),
    Family(
        "kube_pod_status_qos_class",
        "1 for the pod's quality of service",
        states("qos_class", _CLASSES, "status", "qosClass"),
        ("qos_class",),
    ),
    Family(
        "kube_pod_restart_policy",
        "Which containers of the pod are started again",
        lambda pod: (({"type": dig(pod, "spec", "restartPolicy", default="")}, 1.0),),
        ("type",),
    ),
    Family(
        "kube_pod_spec_volumes_persistentvolumeclaims_info",
        "The claims that the pod mounts",
        _claims(lambda _claim: 1.0),
        ("volume", "persistentvolumeclaim"),
    ),
    Family(
        "kube_pod_spec_volumes_persistentvolumeclaims_readonly",
        "Whether the pod mounts the claim for reading alone",
        _claims(lambda claim: float(bool(claim.get("readOnly")))),
        ("volume", "persistentvolumeclaim"),
    ),
)
_INFO_LABELS: Final = ("container", "image_spec", "image", "image_id", "container_id")
_CONTAINER_FAMILIES: Final = (
    Family(
        "kube_pod_container_info",
        "The container and its image",
        _container_info("containers", "containerStatuses", lambda _spec: {}),
        _INFO_LABELS,
    ),
    Family(
        "kube_pod_container_state_started",
        "When the container's newest run began, in Unix seconds",
        _each("containerStatuses", _started),
        ("container",),
    ),
    Family(
        "kube_pod_container_status_last_terminated_exitcode",
        "With which code the container's run before this one ended",
        _each("containerStatuses", _last_exit),
        ("container",),
    ),
    Family(
        "kube_pod_container_status_last_terminated_timestamp",
        "When the container's run before this one ended, in Unix seconds",
        _each("containerStatuses", _last_end),
        ("container",),
    ),
    *_containers("kube_pod_container", "containers", "containerStatuses", "container"),
    Family(
        "kube_pod_init_container_info",
        "The init container and its image",
        _container_info(
            "initContainers", "initContainerStatuses", lambda spec: {"restart_policy": spec.get("restartPolicy", "")}
        ),
        (*_INFO_LABELS, "restart_policy"),
    ),
    *_containers("kube_pod_init_container", "initContainers", "initContainerStatuses", "init container"),
)
POD_KIND: Final = Kind(PODS, {**NAMESPACE, "pod": NAME, "uid": UID}, (*_POD_FAMILIES, *_CONTAINER_FAMILIES))
