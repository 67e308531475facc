"""The pods of a DaemonSet: each bound for one node, and tolerant of what ails nodes."""

from typing import Final

from midwatch_lab.controllers.history import REVISION_HASH
from midwatch_lab.controllers.placement import NO_EXECUTE, NO_SCHEDULE, UNSCHEDULABLE, is_attracted, untolerated
from midwatch_lab.controllers.pod_control import pod_of
from midwatch_lab.kinds.workload_defaults import TEMPLATE_GENERATION
from midwatch_lab.objects import Object, annotations_of, copied, dig, labels_of, name_of

POD_GENERATION: Final = "pod-template-generation"
_AILMENTS: Final = ("disk-pressure", "memory-pressure", "pid-pressure")
_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"


def daemon_spec(daemon_set: Object) -> Object:
    """Return the specification of a DaemonSet's pods, with all that they tolerate."""
    spec: Object = copied(dig(daemon_set, "spec", "template", "spec", default={}))
    wanted: list[tuple[str, str]] = [
        ("node.kubernetes.io/not-ready", NO_EXECUTE),
        ("node.kubernetes.io/unreachable", NO_EXECUTE),
        *((f"node.kubernetes.io/{ailment}", NO_SCHEDULE) for ailment in _AILMENTS),
        (UNSCHEDULABLE, NO_SCHEDULE),
    ]
    if spec.get("hostNetwork"):
        wanted.append(("node.kubernetes.io/network-unavailable", NO_SCHEDULE))
    tolerations: list[Object] = spec.setdefault("tolerations", [])
    for key, effect in wanted:
        toleration = {"key": key, "operator": "Exists", "effect": effect}
        if toleration not in tolerations:
            tolerations.append(toleration)
    return spec


def should_run(daemon_set: Object, node: Object) -> tuple[bool, bool]:
    """Tell whether a node is to get a pod, and whether it may keep one."""
    spec = daemon_spec(daemon_set)
    if (named := spec.get("nodeName")) and named != name_of(node):
        return False, False
    if not is_attracted(spec, node):
        return False, False
    keeps = not untolerated(spec, node, (NO_EXECUTE,))
    return keeps and not untolerated(spec, node, (NO_SCHEDULE,)), keeps


def daemon_pod(daemon_set: Object, node: str, digest: str) -> Object:
    """Return the pod of a node; `digest` is the hash of the present revision."""
    pod = pod_of(daemon_set, {**dig(daemon_set, "spec", "template"), "spec": daemon_spec(daemon_set)})
    generation = annotations_of(daemon_set).get(TEMPLATE_GENERATION, "1")
    own = {POD_GENERATION: generation, REVISION_HASH: digest}
    pod["metadata"]["labels"] = {**labels_of(pod), **own}
    affinity: Object = pod["spec"].setdefault("affinity", {}).setdefault("nodeAffinity", {})
    terms: list[Object] = dig(affinity, _REQUIRED, "nodeSelectorTerms", default=[]) or [{}]
    field = {"key": "metadata.name", "operator": "In", "values": [node]}
    affinity[_REQUIRED] = {"nodeSelectorTerms": [{**term, "matchFields": [field]} for term in terms]}
    return pod
