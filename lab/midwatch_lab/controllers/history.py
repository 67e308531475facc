"""The history of a StatefulSet or DaemonSet: ControllerRevisions, each a template of pods that it once had."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from midwatch_lab.controllers.revisions import by_age
from midwatch_lab.controllers.runtime import Controller
from midwatch_lab.kinds.resources import CONTROLLER_REVISIONS
from midwatch_lab.names import template_hash
from midwatch_lab.objects import (
    Object,
    annotations_of,
    copied,
    dig,
    is_controlled_by,
    labels_of,
    name_of,
    namespace_of,
    owner_reference,
    without,
)
from midwatch_lab.registry.upkeep import DeleteOptions
from midwatch_lab.store.audit import Origin

REVISION_HASH: Final = "controller-revision-hash"
"""The label by which a pod says of which revision it is."""
_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"


def number_of(revision: Object) -> int:
    """Return the number of a revision."""
    return int(revision.get("revision", 0))


def patch_of(owner: Object) -> Object:
    """Return what a revision holds: the patch that gives the template back, as `kubectl rollout undo` sends it."""
    return {"spec": {"template": {"$patch": "replace", **copied(dig(owner, "spec", "template", default={}))}}}


def template_in(revision: Object) -> Object:
    """Return the template that a revision holds."""
    return without(dig(revision, "data", "spec", "template", default={}), ["$patch"])


@dataclass(frozen=True)
class History:
    """Keeps revisions as a controller; `hash_label` is the label that carries a revision's hash."""

    controller: Controller
    hash_label: str

    def of(self, owner: Object) -> list[Object]:
        """Return the revisions of an owner, the oldest first."""
        items = self.controller.registry.store.items(CONTROLLER_REVISIONS.key, namespace_of(owner))
        found = [item for item in items if is_controlled_by(item, owner)]
        return sorted(found, key=lambda item: (number_of(item), *by_age(item)))

    def present(self, owner: Object) -> Object:
        """Return the revision of the owner's template: made where it is new, and the newest where it came back."""
        wanted, known = patch_of(owner), self.of(owner)
        newest = number_of(known[-1]) if known else 0
        same = [item for item in known if item.get("data") == wanted]
        if not same:
            return self._make(owner, wanted, newest + 1)
        if number_of(same[-1]) == newest:
            return same[-1]
        draft = {**same[-1], "revision": newest + 1}
        return self.controller.registry.update(CONTROLLER_REVISIONS, same[-1], draft, self._origin("update", same[-1]))

    def _make(self, owner: Object, data: Object, number: int) -> Object:
        digest = template_hash(data)
        name = f"{name_of(owner)}-{digest}"
        collisions = 0
        while self.controller.registry.find(CONTROLLER_REVISIONS, namespace_of(owner), name) is not None:
            collisions += 1
            digest = template_hash(data, collisions)
            name = f"{name_of(owner)}-{digest}"
        labels = {**labels_of(dig(owner, "spec", "template", default={})), self.hash_label: digest}
        annotations = without(annotations_of(owner), [_LAST_APPLIED])
        body: Object = {
            "metadata": {
                "name": name,
                "labels": labels,
                **({"annotations": annotations} if annotations else {}),
                "ownerReferences": [owner_reference(owner)],
            },
            "data": data,
            "revision": number,
        }
        namespace = namespace_of(owner)
        origin = self.controller.origin("create", CONTROLLER_REVISIONS, namespace, name)
        return self.controller.registry.create(CONTROLLER_REVISIONS, namespace, body, origin)

    def trim(self, owner: Object, in_use: Iterable[str]) -> None:
        """Delete the oldest revisions that are not in use (by name) beyond the owner's `revisionHistoryLimit`."""
        limit = int(dig(owner, "spec", "revisionHistoryLimit", default=10))
        kept = set(in_use)
        idle = [item for item in self.of(owner) if name_of(item) not in kept]
        if limit < 0:
            return
        for item in idle[: max(0, len(idle) - limit)]:
            self.controller.registry.delete(CONTROLLER_REVISIONS, item, DeleteOptions(), self._origin("delete", item))

    def _origin(self, verb: str, item: Object) -> Origin:
        return self.controller.origin(verb, CONTROLLER_REVISIONS, namespace_of(item), name_of(item))
