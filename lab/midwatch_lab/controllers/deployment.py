"""The Deployment controller: one ReplicaSet a template, moved from old to new within the limits of the strategy."""

from collections.abc import Iterable
from typing import Final

from midwatch_contracts.clock import Clock
from midwatch_lab.controllers.deployment_status import status_of
from midwatch_lab.controllers.recorder import Recorder
from midwatch_lab.controllers.revisions import (
    DESIRED,
    HASH,
    MAXIMUM,
    REVISION,
    by_age,
    copied_annotations,
    find_new,
    renumbered,
    revision_of,
    template_of,
)
from midwatch_lab.controllers.rollout import Half, proportions, scale_down, scale_up
from midwatch_lab.controllers.rollout_state import Rollout, half
from midwatch_lab.controllers.runtime import Controller, Key, owner_key
from midwatch_lab.kinds.resources import DEPLOYMENTS, PODS, REPLICA_SETS
from midwatch_lab.names import template_hash
from midwatch_lab.objects import (
    Object,
    annotations_of,
    copied,
    dig,
    is_controlled_by,
    is_terminating,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
)
from midwatch_lab.registry.registry import Registry
from midwatch_lab.registry.upkeep import DeleteOptions
from midwatch_lab.store.store import Change

_COMPONENT: Final = "deployment-controller"


class DeploymentController(Controller):
    """Rolls Deployments out and back."""

    principal = "system:serviceaccount:kube-system:deployment-controller"

    def __init__(self, registry: Registry, clock: Clock, recorder: Recorder) -> None:
        super().__init__(registry, clock)
        self.recorder = recorder

    def interested(self, change: Change) -> Iterable[Key]:
        """Return a Deployment itself, or one whose ReplicaSet changed, or (for Recreate) whose pod went away."""
        if change.key == DEPLOYMENTS.key:
            yield namespace_of(change.obj), name_of(change.obj)
        elif change.key == REPLICA_SETS.key:
            yield from owner_key(change, "Deployment")
        elif change.key == PODS.key and change.type == "DELETED":
            for namespace, name in owner_key(change, "ReplicaSet"):
                owner = self.registry.find(REPLICA_SETS, namespace, name)
                if owner is not None:
                    yield from owner_key(Change("MODIFIED", REPLICA_SETS.key, owner, None, 0), "Deployment")

    def reconcile(self, key: Key) -> float | None:
        """Take the next step of the rollout, then say how far it is."""
        found = self.registry.find(DEPLOYMENTS, *key)
        if found is None:
            return None
        rollout = self._look(found)
        if is_terminating(found):
            return self._report(rollout)
        if self._was_scaled(rollout):
            self._scale_all(rollout)
        elif not dig(found, "spec", "paused"):
            rollout = self._with_new(rollout)
            if dig(found, "spec", "strategy", "type") == "Recreate":
                self._recreate(rollout)
            else:
                self._roll(rollout)
        rollout = self._look(self.registry.read(DEPLOYMENTS, *key))
        again = self._report(rollout)
        self._clean_up(self._look(self.registry.read(DEPLOYMENTS, *key)))
        return again

    def _report(self, rollout: Rollout) -> float | None:
        status, again = status_of(rollout, self.registry.now_text(), self.clock.now())
        self.write_status(DEPLOYMENTS, rollout.deployment, status)
        return again

    def _look(self, deployment: Object) -> Rollout:
        items = self.registry.store.items(REPLICA_SETS.key, namespace_of(deployment))
        sets = sorted((item for item in items if is_controlled_by(item, deployment)), key=by_age)
        new = find_new(deployment, sets)
        return Rollout(deployment, new, [item for item in sets if item is not new])

    def _was_scaled(self, rollout: Rollout) -> bool:
        """Tell whether replicas changed under a running ReplicaSet: then sizes move before templates do."""
        active = [item for item in rollout.sets if dig(item, "spec", "replicas")]
        return any(annotations_of(item).get(DESIRED, str(rollout.desired)) != str(rollout.desired) for item in active)

    def _scale_all(self, rollout: Rollout) -> None:
        active = [item for item in rollout.sets if dig(item, "spec", "replicas")]
        sole = active[0] if len(active) == 1 else rollout.new if not active else None
        if sole is not None:
            self._resize(rollout, sole, rollout.desired)
            return
        target = rollout.desired + rollout.limits.surge if rollout.desired else 0
        sizes = proportions([half(item) for item in active], target)
        for item in active:
            self._resize(rollout, item, sizes.get(name_of(item), half(item).desired))

    def _with_new(self, rollout: Rollout) -> Rollout:
        newest = max([revision_of(item) for item in rollout.olds], default=0)
        revision = newest + 1
        if rollout.new is None:
            self._make(rollout, revision)
        else:
            self._renumber(rollout.deployment, rollout.new, revision)
        deployment = self.registry.read(DEPLOYMENTS, namespace_of(rollout.deployment), name_of(rollout.deployment))
        current = self._look(deployment)
        number = str(revision_of(current.new)) if current.new is not None else "0"
        if annotations_of(deployment).get(REVISION) != number:
            draft = copied(deployment)
            draft["metadata"].setdefault("annotations", {})[REVISION] = number
            # Through the status, so that the controller's own note makes no new generation.
            origin = self.origin("update", DEPLOYMENTS, namespace_of(deployment), name_of(deployment), "status")
            self.registry.update(DEPLOYMENTS, deployment, draft, origin)
            current = self._look(self.registry.read(DEPLOYMENTS, namespace_of(deployment), name_of(deployment)))
        return current

    def _renumber(self, deployment: Object, item: Object, revision: int) -> None:
        current = revision_of(item)
        annotations = renumbered(item, max(current, revision)) if revision > current else dict(annotations_of(item))
        annotations |= copied_annotations(deployment)
        if annotations != annotations_of(item):
            draft = copied(item)
            draft["metadata"]["annotations"] = annotations
            origin = self.origin("update", REPLICA_SETS, namespace_of(item), name_of(item))
            self.registry.update(REPLICA_SETS, item, draft, origin)

    def _make(self, rollout: Rollout, revision: int) -> None:
        deployment = rollout.deployment
        namespace = namespace_of(deployment)
        template = template_of(deployment)
        collisions = 0
        digest = template_hash(template)
        while self.registry.find(REPLICA_SETS, namespace, f"{name_of(deployment)}-{digest}") is not None:
            collisions += 1
            digest = template_hash(template, collisions)
        template.setdefault("metadata", {}).setdefault("labels", {})[HASH] = digest
        selector = copied(dig(deployment, "spec", "selector"))
        selector.setdefault("matchLabels", {})[HASH] = digest
        empty = Half("", 0, 0)
        recreate = dig(deployment, "spec", "strategy", "type") == "Recreate"
        size = 0 if recreate else scale_up(empty, [half(o) for o in rollout.olds], rollout.desired, rollout.limits)
        body: Object = {
            "metadata": {
                "name": f"{name_of(deployment)}-{digest}",
                "labels": dict(labels_of(template)),
                "annotations": {**copied_annotations(deployment), **self._sizes(rollout), REVISION: str(revision)},
                "ownerReferences": [owner_reference(deployment)],
            },
            "spec": {
                "replicas": size,
                "minReadySeconds": dig(deployment, "spec", "minReadySeconds", default=0),
                "selector": selector,
                "template": template,
            },
        }
        made = self.registry.create(REPLICA_SETS, namespace, body, self.origin("create", REPLICA_SETS, namespace, ""))
        if size:
            self._say_scaled(deployment, made, 0, size)

    @staticmethod
    def _sizes(rollout: Rollout) -> dict[str, str]:
        return {DESIRED: str(rollout.desired), MAXIMUM: str(rollout.desired + rollout.limits.surge)}

    def _roll(self, rollout: Rollout) -> None:
        if rollout.new is None:
            return
        olds = [half(item) for item in rollout.olds]
        size = scale_up(half(rollout.new), olds, rollout.desired, rollout.limits)
        self._resize(rollout, rollout.new, size)
        fresh = self._look(rollout.deployment)
        if fresh.new is None:
            return
        sizes = scale_down(half(fresh.new), [half(item) for item in fresh.olds], fresh.desired, fresh.limits)
        for item in fresh.olds:
            self._resize(fresh, item, sizes.get(name_of(item), half(item).desired))

    def _recreate(self, rollout: Rollout) -> None:
        for item in rollout.olds:
            self._resize(rollout, item, 0)
        pods = self.registry.store.items(PODS.key, namespace_of(rollout.deployment))
        left = any(
            is_controlled_by(pod, item) and dig(pod, "status", "phase") not in ("Succeeded", "Failed")
            for item in rollout.olds
            for pod in pods
        )
        if rollout.new is not None and not left:
            self._resize(rollout, rollout.new, rollout.desired)

    def _resize(self, rollout: Rollout, item: Object, size: int) -> None:
        before = half(item).desired
        annotations = {**annotations_of(item), **self._sizes(rollout)}
        if before == size and (annotations == annotations_of(item) or not size):
            return
        draft = copied(item)
        draft["spec"]["replicas"] = size
        draft["metadata"]["annotations"] = annotations
        origin = self.origin("update", REPLICA_SETS, namespace_of(item), name_of(item))
        self.registry.update(REPLICA_SETS, item, draft, origin)
        if before != size:
            self._say_scaled(rollout.deployment, item, before, size)

    def _say_scaled(self, deployment: Object, item: Object, before: int, size: int) -> None:
        way = "up" if size > before else "down"
        text = f"Scaled {way} replica set {name_of(item)} from {before} to {size}"
        self.recorder.record(deployment, "Normal", "ScalingReplicaSet", text, component=_COMPONENT)

    def _clean_up(self, rollout: Rollout) -> None:
        limit = int(dig(rollout.deployment, "spec", "revisionHistoryLimit", default=10))
        idle = [o for o in rollout.olds if not dig(o, "spec", "replicas") and not dig(o, "status", "replicas")]
        surplus = sorted(idle, key=revision_of)[: max(0, len(idle) - limit)]
        for item in surplus:
            origin = self.origin("delete", REPLICA_SETS, namespace_of(item), name_of(item))
            self.registry.delete(REPLICA_SETS, item, DeleteOptions(), origin)
