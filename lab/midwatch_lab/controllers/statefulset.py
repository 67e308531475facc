"""The StatefulSet controller: pods with lasting names, made, replaced and taken away one after another."""

from collections.abc import Iterable
from dataclasses import dataclass

from midwatch_contracts.clock import Clock
from midwatch_lab.controllers.history import REVISION_HASH, History
from midwatch_lab.controllers.pod_control import FINISHED, PodControl, is_available, is_ready
from midwatch_lab.controllers.recorder import Recorder
from midwatch_lab.controllers.runtime import Controller, Key, owner_key
from midwatch_lab.controllers.stateful_pods import (
    claim_names,
    claim_owners,
    claims_of,
    first_ordinal,
    identify,
    numbered_pod,
    ordinal_of,
    ordinals,
)
from midwatch_lab.kinds.resources import PODS, STATEFUL_SETS, VOLUME_CLAIMS
from midwatch_lab.objects import Object, copied, dig, is_terminating, labels_of, meta, name_of, namespace_of
from midwatch_lab.registry.registry import Registry
from midwatch_lab.store.store import Change


@dataclass(frozen=True)
class Rollout:
    """A StatefulSet at one moment: its pods by ordinal, and the revisions between which it moves."""

    found: Object
    pods: dict[int, Object]
    current: Object
    update: Object
    now: float

    @property
    def ordered(self) -> bool:
        """Whether one pod must be ready before the next is touched."""
        return dig(self.found, "spec", "podManagementPolicy") != "Parallel"

    @property
    def partition(self) -> int:
        """The ordinal below which pods stay of the current revision."""
        rolling = dig(self.found, "spec", "updateStrategy", "rollingUpdate", "partition", default=0)
        return first_ordinal(self.found) + int(rolling)

    @property
    def rolls(self) -> bool:
        """Whether pods of old revisions are replaced without being asked."""
        return dig(self.found, "spec", "updateStrategy", "type") == "RollingUpdate"

    def revision_for(self, ordinal: int) -> Object:
        """Return the revision of which a pod is to be made."""
        return self.current if self.rolls and ordinal < self.partition else self.update

    def is_settled(self, pod: Object) -> bool:
        """Tell whether a pod is ready for long enough, and staying."""
        min_ready = float(dig(self.found, "spec", "minReadySeconds", default=0))
        return not is_terminating(pod) and is_available(pod, min_ready, self.now)


class StatefulSetController(Controller):
    """Makes, replaces and deletes numbered pods, and makes their claims."""

    principal = "system:serviceaccount:kube-system:statefulset-controller"

    def __init__(self, registry: Registry, clock: Clock, recorder: Recorder) -> None:
        super().__init__(registry, clock)
        self.pods = PodControl(self, recorder, "statefulset-controller")
        self.history = History(self, "controller.kubernetes.io/hash")

    def interested(self, change: Change) -> Iterable[Key]:
        """Return a StatefulSet itself, or one whose pod changed."""
        if change.key == STATEFUL_SETS.key:
            yield namespace_of(change.obj), name_of(change.obj)
        elif change.key == PODS.key:
            yield from owner_key(change, "StatefulSet")

    def reconcile(self, key: Key) -> float | None:
        """Take the next step towards the spec, then count the pods."""
        found = self.registry.find(STATEFUL_SETS, *key)
        if found is None:
            return None
        self.pods.adopt(found, lambda pod: ordinal_of(found, pod) >= 0)
        rollout = self._look(found)
        self._own_claims(rollout)
        if not is_terminating(found):
            self._step(rollout)
        return self._count(key)

    def _look(self, found: Object) -> Rollout:
        update = self.history.present(found)
        name = dig(found, "status", "currentRevision")
        current = next((item for item in self.history.of(found) if name_of(item) == name), update)
        pods = {ordinal_of(found, pod): pod for pod in self.pods.of(found)}
        return Rollout(found, pods, current, update, self.clock.now())

    def _step(self, rollout: Rollout) -> None:
        """Do what may be done at this moment: make, then take away, then replace; in order, one at a time."""
        for ordinal in ordinals(rollout.found):
            if not self._keep(rollout, ordinal) and rollout.ordered:
                return
        beyond = sorted((n for n in rollout.pods if n not in ordinals(rollout.found)), reverse=True)
        unhealthy = next((n for n in sorted(rollout.pods) if not rollout.is_settled(rollout.pods[n])), None)
        for ordinal in beyond:
            pod = rollout.pods[ordinal]
            waits = rollout.ordered and not rollout.is_settled(pod) and ordinal != unhealthy
            if waits or (rollout.ordered and is_terminating(pod)):
                return
            if not is_terminating(pod):
                self._delete(rollout, pod)
                if rollout.ordered:
                    return
        if rollout.rolls:
            self._replace(rollout)

    def _keep(self, rollout: Rollout, ordinal: int) -> bool:
        """See to one pod that is to be; tells whether the next may be seen to where they go in order."""
        pod = rollout.pods.get(ordinal)
        if pod is None:
            self._make(rollout, ordinal)
            return False
        if is_terminating(pod):
            return False
        if dig(pod, "status", "phase") in FINISHED:
            self._delete(rollout, pod)
            return False
        draft = copied(pod)
        identify(rollout.found, draft)
        if labels_of(draft) != labels_of(pod):
            self.registry.update(PODS, pod, draft, self.origin("update", PODS, namespace_of(pod), name_of(pod)))
            return False
        return rollout.is_settled(pod)

    def _replace(self, rollout: Rollout) -> None:
        """Delete the last pod of an old revision, unless one behind it is still coming up."""
        for ordinal in reversed(ordinals(rollout.found)):
            pod = rollout.pods.get(ordinal)
            if ordinal < rollout.partition or pod is None:
                return
            if labels_of(pod).get(REVISION_HASH) != name_of(rollout.update) and not is_terminating(pod):
                self._delete(rollout, pod)
                return
            if not rollout.is_settled(pod):
                return

    def _make(self, rollout: Rollout, ordinal: int) -> None:
        found, namespace = rollout.found, namespace_of(rollout.found)
        body = numbered_pod(found, rollout.revision_for(ordinal), ordinal)
        for claim in claims_of(found, ordinal):
            if self.registry.find(VOLUME_CLAIMS, namespace, name_of(claim)) is None:
                claim["metadata"]["ownerReferences"] = claim_owners(found, claim, None, condemned=False)
                origin = self.origin("create", VOLUME_CLAIMS, namespace, name_of(claim))
                self.registry.create(VOLUME_CLAIMS, namespace, claim, origin)
                self._say(found, "Create", f"Claim {name_of(claim)} Pod {name_of(body)}", "success")
        self.registry.create(PODS, namespace, body, self.origin("create", PODS, namespace, name_of(body)))
        self._say(found, "Create", f"Pod {name_of(body)}", "successful")

    def _delete(self, rollout: Rollout, pod: Object) -> None:
        self.pods.delete(rollout.found, pod, say=False)
        self._say(rollout.found, "Delete", f"Pod {name_of(pod)}", "successful")

    def _say(self, found: Object, verb: str, what: str, how: str) -> None:
        self.pods.say(found, f"Successful{verb}", f"{verb} {what} in StatefulSet {name_of(found)} {how}")

    def _own_claims(self, rollout: Rollout) -> None:
        """Keep the owners of claims as the retention policy says, so that they go with the set or with their pod."""
        found, namespace = rollout.found, namespace_of(rollout.found)
        if is_terminating(found):
            return
        for ordinal in {*rollout.pods, *ordinals(found)}:
            for name in claim_names(found, ordinal).values():
                claim = self.registry.find(VOLUME_CLAIMS, namespace, name)
                if claim is None or is_terminating(claim):
                    continue
                condemned = ordinal not in ordinals(found)
                owners = claim_owners(found, claim, rollout.pods.get(ordinal), condemned=condemned)
                if owners != meta(claim).get("ownerReferences", []):
                    draft = copied(claim)
                    draft["metadata"]["ownerReferences"] = owners
                    self.registry.update(
                        VOLUME_CLAIMS, claim, draft, self.origin("update", VOLUME_CLAIMS, namespace, name)
                    )

    def _count(self, key: Key) -> float | None:
        found = self.registry.find(STATEFUL_SETS, *key)
        if found is None:
            return None
        rollout = self._look(found)
        pods = list(rollout.pods.values())
        min_ready = float(dig(found, "spec", "minReadySeconds", default=0))
        ready = [pod for pod in pods if is_ready(pod)]
        available = [pod for pod in ready if is_available(pod, min_ready, rollout.now)]
        staying = [labels_of(pod).get(REVISION_HASH) for pod in pods if not is_terminating(pod)]
        current, update = name_of(rollout.current), name_of(rollout.update)
        updated = staying.count(update)
        if rollout.rolls and updated == len(ready) == len(pods) == len(ordinals(found)):
            current = update
        counts = {
            "readyReplicas": len(ready),
            "currentReplicas": staying.count(current),
            "updatedReplicas": updated,
        }
        status: Object = {
            "observedGeneration": meta(found).get("generation", 1),
            "replicas": len(pods),
            **{name: count for name, count in counts.items() if count},
            "currentRevision": current,
            "updateRevision": update,
            "collisionCount": 0,
            "availableReplicas": len(available),
            **({"conditions": dig(found, "status", "conditions")} if dig(found, "status", "conditions") else {}),
        }
        self.write_status(STATEFUL_SETS, found, status)
        self.history.trim(found, {current, update, *(name for name in staying if name)})
        return min_ready if len(available) < len(ready) else None
