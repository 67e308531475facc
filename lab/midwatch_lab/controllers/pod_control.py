"""What every controller of pods does with them: make one from a template, delete one, and say so."""

from collections.abc import Callable
from dataclasses import dataclass

from midwatch_contracts.times import unix_seconds
from midwatch_lab.controllers.recorder import Recorder
from midwatch_lab.controllers.runtime import Controller
from midwatch_lab.errors import ApiError
from midwatch_lab.kinds.resources import PODS
from midwatch_lab.objects import (
    Object,
    condition,
    controller_of,
    copied,
    dig,
    is_condition_true,
    is_controlled_by,
    is_terminating,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
)
from midwatch_lab.registry.upkeep import DeleteOptions
from midwatch_lab.selectors import LabelSelector

FINISHED = ("Succeeded", "Failed")
"""Phases that a pod does not leave."""


def is_active(pod: Object) -> bool:
    """Tell whether a pod counts: neither finished nor on its way out."""
    return not is_terminating(pod) and dig(pod, "status", "phase") not in FINISHED


def is_ready(pod: Object) -> bool:
    """Tell whether a pod is ready."""
    return is_condition_true(pod, "Ready")


def is_available(pod: Object, min_ready: float, now: float) -> bool:
    """Tell whether a pod has been ready for long enough."""
    ready = condition(pod, "Ready")
    if ready is None or ready.get("status") != "True":
        return False
    since = ready.get("lastTransitionTime")
    return not min_ready or (since is not None and now - unix_seconds(since) >= min_ready)


def pod_of(owner: Object, template: Object, name: str = "") -> Object:
    """Return a pod of a template that an owner controls; without a name it gets one that begins with the owner's."""
    metadata: Object = copied(template.get("metadata", {}))
    kept = {key: metadata[key] for key in ("labels", "annotations", "finalizers") if key in metadata}
    named = {"name": name} if name else {"generateName": f"{name_of(owner)}-"}
    return {
        "metadata": {**kept, **named, "ownerReferences": [owner_reference(owner)]},
        "spec": copied(template.get("spec", {})),
    }


@dataclass(frozen=True)
class PodControl:
    """Makes and deletes pods as a controller; `component` is the name under which it speaks in events."""

    controller: Controller
    recorder: Recorder
    component: str

    def of(self, owner: Object) -> list[Object]:
        """Return the pods that an owner controls, in the order of their names."""
        found = self.controller.registry.store.items(PODS.key, namespace_of(owner))
        return [pod for pod in found if is_controlled_by(pod, owner)]

    def adopt(self, owner: Object, fits: Callable[[Object], bool] = is_active) -> None:
        """Take over pods that the owner selects and that nobody controls, of those that fit."""
        if is_terminating(owner):
            return
        selector = LabelSelector.of(dig(owner, "spec", "selector"))
        for pod in self.controller.registry.store.items(PODS.key, namespace_of(owner)):
            if controller_of(pod) is None and fits(pod) and selector.matches(labels_of(pod)):
                draft = copied(pod)
                draft["metadata"].setdefault("ownerReferences", []).append(owner_reference(owner))
                origin = self.controller.origin("patch", PODS, namespace_of(pod), name_of(pod))
                self.controller.registry.update(PODS, pod, draft, origin)

    def make(self, owner: Object, body: Object) -> Object:
        """Make a pod.

        Raises:
            ApiError: when the server refuses; the owner's events say why.
        """
        namespace = namespace_of(owner)
        origin = self.controller.origin("create", PODS, namespace, "")
        try:
            pod = self.controller.registry.create(PODS, namespace, body, origin)
        except ApiError as error:
            self.say(owner, "FailedCreate", f"Error creating: {error}", kind="Warning")
            raise
        self.say(owner, "SuccessfulCreate", f"Created pod: {name_of(pod)}")
        return pod

    def delete(self, owner: Object, pod: Object, *, say: bool = True) -> None:
        """Delete a pod."""
        origin = self.controller.origin("delete", PODS, namespace_of(pod), name_of(pod))
        self.controller.registry.delete(PODS, pod, DeleteOptions(), origin)
        if say:
            self.say(owner, "SuccessfulDelete", f"Deleted pod: {name_of(pod)}")

    def say(self, owner: Object, reason: str, message: str, *, kind: str = "Normal") -> None:
        """Record an event about an owner."""
        self.recorder.record(owner, kind, reason, message, component=self.component)
