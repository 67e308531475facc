"""What `log`, `exec`, `attach` and `portforward` share: which container is meant, on which node, and their options."""

from dataclasses import replace

from midwatch_lab import status
from midwatch_lab.api.call import Call
from midwatch_lab.kinds.resources import NODES, PODS
from midwatch_lab.objects import Object, dig, entity_of, name_of
from midwatch_lab.registry.registry import Registry


def is_set(call: Call, name: str) -> bool:
    """Tell whether an option is given and not false; anything but `false` and `0` counts as true."""
    given = call.request.query_params.get(name)
    return given is not None and given.lower() not in ("false", "0")


def container_of(call: Call, pod: Object) -> Object:
    """Return the spec of the container that is meant.

    Raises:
        ApiError: 400 when the pod has several and none is named, or has none of that name.
    """
    lists = ("initContainers", "containers", "ephemeralContainers")
    known: dict[str, Object] = {item["name"]: item for key in lists for item in dig(pod, "spec", key, default=[])}
    wanted = call.query("container")
    if not wanted and len(known) == 1:
        return next(iter(known.values()))
    if not wanted:
        text = f"a container name must be specified for pod {name_of(pod)}, choose one of: [{' '.join(known)}]"
        raise status.bad_request(text)
    if wanted not in known:
        raise status.bad_request(f"container {wanted} is not valid for pod {name_of(pod)}")
    return known[wanted]


def check_node(registry: Registry, pod: Object) -> None:
    """Refuse a pod whose node is not there, in the original's words, which speak of pods.

    Raises:
        ApiError: 404.
    """
    node = str(dig(pod, "spec", "nodeName"))
    if registry.find(NODES, "", node) is None:
        raise status.not_found(PODS, node)


def record(registry: Registry, call: Call) -> None:
    """Put a stream that is about to be accepted into the audit: what goes through it may change anything.

    Raises:
        ApiError: 422 for options that may not be so.
    """
    origin = replace(call.origin(), verb="create")
    pod = registry.read(call.resource, call.target.namespace, call.target.name)
    registry.store.audit.append(origin, entity_of(pod), None, None)


def check_placed(registry: Registry, pod: Object) -> None:
    """Refuse a pod that is on no node.

    Raises:
        ApiError: 400 or 404.
    """
    if not dig(pod, "spec", "nodeName"):
        raise status.bad_request(f"pod {name_of(pod)} does not have a host assigned")
    check_node(registry, pod)
