"""Protection of storage in use: deleted claims go once no pod uses them, deleted volumes once no claim is bound to one.

Admission gives both a finalizer; here it is taken off.
"""

from collections.abc import Iterable

from midwatch_lab.admission.storage import CLAIM_PROTECTION, VOLUME_PROTECTION
from midwatch_lab.controllers.pod_control import FINISHED
from midwatch_lab.controllers.runtime import Controller, Key
from midwatch_lab.kinds.resources import PODS, VOLUME_CLAIMS, VOLUMES, Resource
from midwatch_lab.objects import Object, copied, dig, is_terminating, meta, name_of, namespace_of
from midwatch_lab.store.store import Change


class ClaimProtection(Controller):
    """Lets deleted claims go."""

    principal = "system:serviceaccount:kube-system:pvc-protection-controller"

    def interested(self, change: Change) -> Iterable[Key]:
        """Return a claim that is deleted; and those that a pod used, once it has ended or gone."""
        if change.key == VOLUME_CLAIMS.key:
            if is_terminating(change.obj):
                yield namespace_of(change.obj), name_of(change.obj)
        elif change.key == PODS.key and (change.type == "DELETED" or _is_over(change.obj)):
            yield from ((namespace_of(change.obj), name) for name in claims_of(change.obj))

    def reconcile(self, key: Key) -> float | None:
        """Take the finalizer off, unless a pod uses the claim."""
        claim = self.registry.find(VOLUME_CLAIMS, *key)
        pods = self.registry.store.items(PODS.key, key[0])
        if claim is not None and not any(key[1] in claims_of(pod) and _is_on_node(pod) for pod in pods):
            release(self, VOLUME_CLAIMS, claim, CLAIM_PROTECTION)
        return None


class VolumeProtection(Controller):
    """Lets deleted volumes go."""

    principal = "system:serviceaccount:kube-system:pv-protection-controller"

    def interested(self, change: Change) -> Iterable[Key]:
        """Return a volume that is deleted."""
        if change.key == VOLUMES.key and is_terminating(change.obj):
            yield "", name_of(change.obj)

    def reconcile(self, key: Key) -> float | None:
        """Take the finalizer off, unless the volume is bound."""
        volume = self.registry.find(VOLUMES, *key)
        if volume is not None and dig(volume, "status", "phase") != "Bound":
            release(self, VOLUMES, volume, VOLUME_PROTECTION)
        return None


def release(controller: Controller, resource: Resource, obj: Object, finalizer: str) -> None:
    """Take a finalizer off an object that is deleted."""
    if not is_terminating(obj) or finalizer not in meta(obj).get("finalizers", []):
        return
    draft = copied(obj)
    draft["metadata"]["finalizers"].remove(finalizer)
    origin = controller.origin("update", resource, namespace_of(obj), name_of(obj))
    controller.registry.update(resource, obj, draft, origin)


def _is_over(pod: Object) -> bool:
    return dig(pod, "status", "phase") in FINISHED


def _is_on_node(pod: Object) -> bool:
    """Tell whether a pod may use what it mounts: one that no kubelet has seen will not start with a deleted claim."""
    return bool(dig(pod, "spec", "nodeName")) and not _is_over(pod)


def claims_of(pod: Object) -> list[str]:
    """Return the names of the claims that a pod mounts."""
    volumes: list[Object] = dig(pod, "spec", "volumes", default=[])
    return [str(name) for volume in volumes if (name := dig(volume, "persistentVolumeClaim", "claimName"))]
