"""The volume controller: claims get volumes, one that is there or one that the lab makes; volumes follow their claims.

Source: https://kubernetes.io/docs/concepts/storage/persistent-volumes/. Volumes of the lab's own class are objects
alone: nothing is mounted into the processes that play containers.
"""

from collections.abc import Iterable
from typing import Final

from midwatch_contracts.clock import Clock
from midwatch_lab.admission.storage import DEFAULT_CLASS
from midwatch_lab.controllers.protection import claims_of
from midwatch_lab.controllers.recorder import Recorder
from midwatch_lab.controllers.runtime import Controller, Key
from midwatch_lab.controllers.volume_matching import best_volume, is_of
from midwatch_lab.kinds.resources import PODS, STORAGE_CLASSES, VOLUME_CLAIMS, VOLUMES, Resource
from midwatch_lab.objects import (
    Object,
    annotations_of,
    copied,
    dig,
    is_terminating,
    meta,
    name_of,
    namespace_of,
    uid_of,
)
from midwatch_lab.quantity import parse
from midwatch_lab.registry.registry import Registry
from midwatch_lab.registry.upkeep import DeleteOptions
from midwatch_lab.store.store import Change

PROVISIONER: Final = "lab.midwatch.dev/volumes"
STANDARD: Final[Object] = {
    "metadata": {"name": "standard", "annotations": {DEFAULT_CLASS: "true"}},
    "provisioner": PROVISIONER,
    "reclaimPolicy": "Delete",
    "volumeBindingMode": "WaitForFirstConsumer",
    "allowVolumeExpansion": True,
}
"""The class of claims that name none in a lab."""
_COMPLETED: Final = "pv.kubernetes.io/bind-completed"
_BY_CONTROLLER: Final = "pv.kubernetes.io/bound-by-controller"
_PROVISIONED_BY: Final = "pv.kubernetes.io/provisioned-by"
_SELECTED_NODE: Final = "volume.kubernetes.io/selected-node"
_COMPONENT: Final = "persistentvolume-controller"
_EXTERNAL: Final = (
    "Waiting for a volume to be created either by the external provisioner '{}' or manually by the system "
    "administrator. If volume creation is delayed, please verify that the provisioner is running and correctly "
    "registered."
)


class VolumeController(Controller):
    """Looks after claims by (namespace, name), and after volumes by ("", name)."""

    principal = "system:serviceaccount:kube-system:persistent-volume-binder"

    def __init__(self, registry: Registry, clock: Clock, recorder: Recorder) -> None:
        super().__init__(registry, clock)
        self.recorder = recorder

    def interested(self, change: Change) -> Iterable[Key]:
        """Return a claim and its volume, a volume and the claims that wait, or the claims of a pod."""
        if change.key == VOLUME_CLAIMS.key:
            yield namespace_of(change.obj), name_of(change.obj)
            volume = dig(change.obj, "spec", "volumeName")
            if volume:
                yield "", volume
        elif change.key == VOLUMES.key:
            yield "", name_of(change.obj)
            yield from self._waiting()
        elif change.key == STORAGE_CLASSES.key:
            yield from self._waiting()
        elif change.key == PODS.key:
            for name in claims_of(change.obj):
                yield namespace_of(change.obj), name

    def _waiting(self) -> Iterable[Key]:
        for claim in self.registry.store.items(VOLUME_CLAIMS.key):
            if dig(claim, "status", "phase") != "Bound":
                yield namespace_of(claim), name_of(claim)

    def reconcile(self, key: Key) -> float | None:
        """Bring a claim to a volume, or a volume to the state that its claim gives it."""
        if key[0]:
            claim = self.registry.find(VOLUME_CLAIMS, *key)
            if claim is not None and not is_terminating(claim):
                self._settle(claim)
        else:
            volume = self.registry.find(VOLUMES, *key)
            if volume is not None:
                self._follow(volume)
        return None

    def _settle(self, claim: Object) -> None:
        name = str(dig(claim, "spec", "volumeName", default=""))
        volume = self.registry.find(VOLUMES, "", name) if name else None
        if _COMPLETED in annotations_of(claim):
            if volume is None or not is_of(volume, claim):
                self._lose(claim)
            else:
                self._complete(claim, volume)
            return
        if name:
            if volume is not None and not is_terminating(volume) and is_of(volume, claim):
                self._bind(claim, volume)
            return
        self._find(claim)

    def _find(self, claim: Object) -> None:
        storage = self._class_of(claim)
        node = self._consumer(claim)
        if storage is not None and storage.get("volumeBindingMode") == "WaitForFirstConsumer" and node is None:
            self._say(claim, "WaitForFirstConsumer", "waiting for first consumer to be created before binding")
            return
        volume = best_volume(claim, self.registry.store.items(VOLUMES.key))
        if volume is None and storage is not None and storage.get("provisioner") == PROVISIONER:
            volume = self._provision(claim, storage)
        if volume is not None:
            self._bind(claim, volume, node)
        elif storage is not None:
            self._say(claim, "ExternalProvisioning", _EXTERNAL.format(storage.get("provisioner", "")))
        elif wanted := dig(claim, "spec", "storageClassName"):
            text = f'storageclass.storage.k8s.io "{wanted}" not found'
            self._say(claim, "ProvisioningFailed", text, kind="Warning")
        else:
            text = "no persistent volumes available for this claim and no storage class is set"
            self._say(claim, "FailedBinding", text)

    def _say(self, claim: Object, reason: str, text: str, *, kind: str = "Normal") -> None:
        self.recorder.record(claim, kind, reason, text, component=_COMPONENT)

    def _class_of(self, claim: Object) -> Object | None:
        name = dig(claim, "spec", "storageClassName")
        return self.registry.find(STORAGE_CLASSES, "", name) if name else None

    def _consumer(self, claim: Object) -> str | None:
        """Return the node of a pod that mounts the claim."""
        pods = self.registry.store.items(PODS.key, namespace_of(claim))
        nodes = (dig(pod, "spec", "nodeName") for pod in pods if name_of(claim) in claims_of(pod))
        return next((str(node) for node in nodes if node), None)

    def _provision(self, claim: Object, storage: Object) -> Object:
        spec: Object = claim["spec"]
        name = f"pvc-{uid_of(claim)}"
        body: Object = {
            "metadata": {"name": name, "annotations": {_PROVISIONED_BY: PROVISIONER}},
            "spec": {
                "capacity": {"storage": dig(spec, "resources", "requests", "storage")},
                "accessModes": spec["accessModes"],
                "volumeMode": spec.get("volumeMode", "Filesystem"),
                "persistentVolumeReclaimPolicy": storage.get("reclaimPolicy", "Delete"),
                "storageClassName": name_of(storage),
                "claimRef": _reference(claim),
                "csi": {"driver": PROVISIONER.partition("/")[0], "volumeHandle": name},
            },
        }
        made = self.registry.create(VOLUMES, "", body, self.origin("create", VOLUMES, "", ""))
        self._say(claim, "ProvisioningSucceeded", f"Successfully provisioned volume {name}")
        return made

    def _bind(self, claim: Object, volume: Object, node: str | None = None) -> None:
        draft = copied(volume)
        before = dig(volume, "spec", "claimRef")
        draft["spec"]["claimRef"] = _reference(claim)
        if before is None:
            draft["metadata"].setdefault("annotations", {})[_BY_CONTROLLER] = "yes"
        volume = self._update(VOLUMES, volume, draft)
        self._phase(VOLUMES, volume, "Bound")
        wanted = copied(claim)
        notes: dict[str, str] = wanted["metadata"].setdefault("annotations", {})
        notes[_COMPLETED] = "yes"
        if not dig(claim, "spec", "volumeName"):
            notes[_BY_CONTROLLER] = "yes"
        if node is not None:
            notes[_SELECTED_NODE] = node
        wanted["spec"]["volumeName"] = name_of(volume)
        self._complete(self._update(VOLUME_CLAIMS, claim, wanted), volume)

    def _complete(self, claim: Object, volume: Object) -> None:
        """Give a bound claim its status; one of the lab's own volumes grows with its claim."""
        size = str(dig(claim, "spec", "resources", "requests", "storage", default="0"))
        held = str(dig(volume, "spec", "capacity", "storage", default="0"))
        if annotations_of(volume).get(_PROVISIONED_BY) == PROVISIONER and parse(size) > parse(held):
            draft = copied(volume)
            draft["spec"]["capacity"]["storage"] = size
            volume = self._update(VOLUMES, volume, draft)
        spec: Object = volume["spec"]
        status = {"phase": "Bound", "accessModes": spec["accessModes"], "capacity": spec["capacity"]}
        self.write_status(VOLUME_CLAIMS, claim, {**claim.get("status", {}), **status})

    def _lose(self, claim: Object) -> None:
        if dig(claim, "status", "phase") != "Lost":
            self._phase(VOLUME_CLAIMS, claim, "Lost")
            text = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
            self._say(claim, "ClaimLost", text, kind="Warning")

    def _follow(self, volume: Object) -> None:
        reference: Object | None = dig(volume, "spec", "claimRef")
        if reference is None:
            self._phase(VOLUMES, volume, "Available")
            return
        claim = self.registry.find(VOLUME_CLAIMS, str(reference.get("namespace", "")), str(reference.get("name", "")))
        if claim is not None and is_of(volume, claim):
            if dig(claim, "spec", "volumeName") == name_of(volume):
                self._phase(VOLUMES, volume, "Bound")
        elif not reference.get("uid"):
            self._phase(VOLUMES, volume, "Available")
        else:
            self._reclaim(self._phase(VOLUMES, volume, "Released"))

    def _reclaim(self, volume: Object) -> None:
        """Do with a volume whose claim is gone what its policy says, where it is one of the lab's."""
        policy = dig(volume, "spec", "persistentVolumeReclaimPolicy")
        own = annotations_of(volume).get(_PROVISIONED_BY) == PROVISIONER
        if policy == "Delete" and own and not is_terminating(volume):
            origin = self.origin("delete", VOLUMES, "", name_of(volume))
            self.registry.delete(VOLUMES, volume, DeleteOptions(), origin)

    def _phase(self, resource: Resource, obj: Object, phase: str) -> Object:
        if dig(obj, "status", "phase") == phase:
            return obj
        self.write_status(resource, obj, {**obj.get("status", {}), "phase": phase})
        return self.registry.read(resource, namespace_of(obj), name_of(obj))

    def _update(self, resource: Resource, old: Object, draft: Object) -> Object:
        origin = self.origin("update", resource, namespace_of(old), name_of(old))
        return self.registry.update(resource, old, draft, origin)


def _reference(claim: Object) -> Object:
    return {
        "kind": "PersistentVolumeClaim",
        "apiVersion": "v1",
        "namespace": namespace_of(claim),
        "name": name_of(claim),
        "uid": uid_of(claim),
        "resourceVersion": str(meta(claim).get("resourceVersion", "")),
    }
