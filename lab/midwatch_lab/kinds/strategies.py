"""What the server itself puts into an object as it is made or changed, beyond defaults: nobody owns these fields.

The original calls this a resource's strategy. It comes after managedFields are worked out and before validation.
"""

from midwatch_lab.kinds.job_validation import CONTROLLER_UID, generated_labels
from midwatch_lab.kinds.node_rules import taint_new
from midwatch_lab.kinds.workload_defaults import TEMPLATE_GENERATION, take_labels
from midwatch_lab.objects import Object, annotations_of, dig, name_of, uid_of


def prepare_create(kind: str, obj: Object) -> None:
    """Complete a new object, whose uid is known (in place)."""
    match kind:
        case "Job":
            _select_own_pods(obj)
        case "Node":
            taint_new(obj)
        case "StatefulSet":
            _drop_gated(obj)
        case "DaemonSet":
            annotations = obj["metadata"]["annotations"]
            annotations[TEMPLATE_GENERATION] = str(max(1, int(annotations[TEMPLATE_GENERATION])))
        case _:
            pass


def prepare_update(kind: str, obj: Object, old: Object) -> None:
    """Complete an object that is to take the place of another (in place)."""
    if kind == "StatefulSet":
        _drop_gated(obj)
    if kind == "DaemonSet":
        number = int(annotations_of(old).get(TEMPLATE_GENERATION, "0"))
        number += dig(obj, "spec", "template") != dig(old, "spec", "template")
        obj["metadata"].setdefault("annotations", {})[TEMPLATE_GENERATION] = str(number)


def _drop_gated(stateful_set: Object) -> None:
    """Take out what the original drops unread, since the feature is off by default (MaxUnavailableStatefulSet)."""
    rolling: Object = dig(stateful_set, "spec", "updateStrategy", "rollingUpdate", default={})
    rolling.pop("maxUnavailable", None)


def _select_own_pods(job: Object) -> None:
    """Give a Job labels that no other has, and a selector for them, unless it brings its own."""
    spec: Object = job["spec"]
    metadata: Object = spec["template"].setdefault("metadata", {})
    if not spec.get("manualSelector"):
        labels: dict[str, str] = metadata.setdefault("labels", {})
        for key, value in generated_labels(name_of(job), uid_of(job)).items():
            labels.setdefault(key, value)
        selected: Object = spec.setdefault("selector", {})
        selected.setdefault("matchLabels", {}).setdefault(CONTROLLER_UID, uid_of(job))


def settle(kind: str, obj: Object) -> None:
    """Do to an object that is about to be stored what the original does in reading it back (in place)."""
    if kind == "Job":
        take_labels(obj)
