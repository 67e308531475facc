"""The plugins Priority and RuntimeClass: a pod's class becomes a number, and a runtime that is not there is refused."""

from typing import Final

from midwatch_lab.admission.request import Contents, Request
from midwatch_lab.kinds.resources import PODS, PRIORITY_CLASSES
from midwatch_lab.objects import Object, name_of

_PREEMPTING: Final = "PreemptLowerPriority"


def prioritise(request: Request, contents: Contents) -> None:
    """Give a new pod the priority of its class, or of the global default (in place).

    Raises:
        ApiError: 403 where there is no such class, or the pod states another priority.
    """
    if request.resource is not PODS or not request.creates:
        return
    spec: Object = request.obj["spec"]
    name = str(spec.get("priorityClassName") or "")
    if not name:
        usual = _usual(contents)
        if usual is not None:
            name = spec["priorityClassName"] = name_of(usual)
    found = contents.get(PRIORITY_CLASSES.key, "", name) if name else {}
    if found is None:
        raise request.refuse(f"no PriorityClass with name {name} was found")
    priority, policy = int(found.get("value", 0)), found.get("preemptionPolicy") or _PREEMPTING
    if spec.get("priority") not in (None, priority):
        raise request.refuse(
            f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; priority admission "
            f"controller computed {priority} from the given PriorityClass name"
        )
    if spec.get("preemptionPolicy") not in (None, policy):
        raise request.refuse(
            f"the string value of PreemptionPolicy ({spec['preemptionPolicy']}) must not be provided in pod spec; "
            f"priority admission controller computed {policy} from the given PriorityClass name"
        )
    spec["priority"], spec["preemptionPolicy"] = priority, policy


def _usual(contents: Contents) -> Object | None:
    """Return the global default; of several, the one of the lowest value."""
    found = [one for one in contents.items(PRIORITY_CLASSES.key) if one.get("globalDefault")]
    return min(found, key=lambda one: (int(one.get("value", 0)), name_of(one)), default=None)


def check_runtime(request: Request, contents: Contents) -> None:  # noqa: ARG001 (a plugin)
    """Refuse a pod of a runtime class, since there is none here.

    Raises:
        ApiError: 403.
    """
    if request.resource is PODS and request.creates and (name := request.obj["spec"].get("runtimeClassName")):
        raise request.refuse(f'pod rejected: RuntimeClass "{name}" not found')


def check_global_default(request: Request, contents: Contents) -> None:
    """Refuse a second priority class that is the global default.

    Raises:
        ApiError: 403.
    """
    if request.resource is not PRIORITY_CLASSES or not request.obj.get("globalDefault"):
        return
    usual = _usual(contents)
    if usual is not None and name_of(usual) != name_of(request.obj):
        raise request.refuse(f"PriorityClass {name_of(usual)} is already marked as default. Only one default can exist")
