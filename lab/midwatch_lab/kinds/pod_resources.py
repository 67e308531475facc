"""What a pod asks for as a whole: its containers together, its init containers one after the other.

Source: https://kubernetes.io/docs/concepts/workloads/pods/init-containers/#resource-sharing-within-containers.
"""

from collections.abc import Iterable

from midwatch_lab import quantity
from midwatch_lab.objects import Object, dig


def pod_resources(spec: Object, kind: str) -> dict[str, str]:
    """Return the `requests` or `limits` of a pod as quantities by name.

    An init container that restarts always runs beside all that come after it; the others run alone.
    """
    total = _summed(_of(container, kind) for container in dig(spec, "containers", default=[]))
    beside: dict[str, str] = {}
    most: dict[str, str] = {}
    for container in dig(spec, "initContainers", default=[]):
        wanted = _summed([_of(container, kind), beside])
        if container.get("restartPolicy") == "Always":
            total, beside = _summed([total, _of(container, kind)]), wanted
        most = _greatest(most, wanted)
    total = _greatest(total, most)
    own: dict[str, str] = dig(spec, "resources", kind, default={})
    return _summed([{**total, **own}, dig(spec, "overhead", default={}) if kind == "requests" or total else {}])


def _of(container: Object, kind: str) -> dict[str, str]:
    return dig(container, "resources", kind, default={})


def _summed(parts: Iterable[dict[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in parts:
        for name, amount in part.items():
            found[name] = quantity.added(found[name], amount) if name in found else quantity.canonical(amount)
    return found


def _greatest(one: dict[str, str], two: dict[str, str]) -> dict[str, str]:
    found = dict(one)
    for name, amount in two.items():
        if name not in found or quantity.parse(amount) > quantity.parse(found[name]):
            found[name] = amount
    return found
