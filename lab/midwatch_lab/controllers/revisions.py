"""Revisions: the ReplicaSets of a Deployment, which template each stands for, and their numbers."""

from typing import Final

from midwatch_contracts.times import unix_seconds
from midwatch_lab.objects import Object, annotations_of, copied, dig, meta, name_of

REVISION: Final = "deployment.kubernetes.io/revision"
HISTORY: Final = "deployment.kubernetes.io/revision-history"
DESIRED: Final = "deployment.kubernetes.io/desired-replicas"
MAXIMUM: Final = "deployment.kubernetes.io/max-replicas"
HASH: Final = "pod-template-hash"
_NOT_COPIED: Final = frozenset({
    "kubectl.kubernetes.io/last-applied-configuration", REVISION, HISTORY, DESIRED, MAXIMUM,
    "deprecated.deployment.rollback.to",
})  # fmt: skip


def revision_of(obj: Object) -> int:
    """Return the revision number, 0 where there is none."""
    text = annotations_of(obj).get(REVISION, "0")
    return int(text) if text.isdigit() else 0


def template_of(obj: Object) -> Object:
    """Return a copy of the pod template without the hash label that tells ReplicaSets apart."""
    template: Object = copied(dig(obj, "spec", "template", default={}))
    labels = dig(template, "metadata", "labels", default={})
    labels.pop(HASH, None)
    return template


def find_new(deployment: Object, sets: list[Object]) -> Object | None:
    """Return the ReplicaSet of the Deployment's present template: the oldest one, where several fit."""
    wanted = template_of(deployment)
    fitting = [item for item in sets if template_of(item) == wanted]
    return min(fitting, key=by_age, default=None)


def by_age(obj: Object) -> tuple[float, str]:
    """Order objects by age, the oldest first."""
    return unix_seconds(str(meta(obj)["creationTimestamp"])), name_of(obj)


def copied_annotations(deployment: Object) -> dict[str, str]:
    """Return what a ReplicaSet takes over of its Deployment's annotations (`kubernetes.io/change-cause` among them)."""
    return {key: value for key, value in annotations_of(deployment).items() if key not in _NOT_COPIED}


def renumbered(item: Object, revision: int) -> dict[str, str]:
    """Return the annotations of a ReplicaSet that becomes the newest again: old numbers go into its history."""
    annotations = dict(annotations_of(item))
    before = annotations.get(REVISION)
    if before and before != str(revision):
        earlier = annotations.get(HISTORY)
        annotations[HISTORY] = f"{earlier},{before}" if earlier else before
    annotations[REVISION] = str(revision)
    return annotations
