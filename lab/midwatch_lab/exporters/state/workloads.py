"""Deployments, ReplicaSets, StatefulSets and DaemonSets."""

from collections.abc import Iterable
from typing import Final

from midwatch_lab.controllers.rollout import resolved
from midwatch_lab.exporters.family import Family, Point, Reader
from midwatch_lab.exporters.state.kind import NAME, NAMESPACE, Kind
from midwatch_lab.exporters.state.reading import (
    OWNER_LABELS,
    conditions,
    created,
    generation,
    given,
    number,
    observed,
    owners,
    words,
)
from midwatch_lab.kinds.resources import DAEMON_SETS, DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS
from midwatch_lab.objects import Object, dig


def _counts(prefix: str, table: tuple[tuple[str, str, str], ...]) -> tuple[Family, ...]:
    """Return families that are numbers of the status: (end of the name, field, what it counts)."""
    return tuple(Family(f"{prefix}_status_{end}", help_, number("status", key)) for end, key, help_ in table)


def _rolling(key: str, *, up: bool) -> Reader:
    def read(deployment: Object) -> Iterable[Point]:
        rolling = dig(deployment, "spec", "strategy", "rollingUpdate")
        if rolling is None or key not in rolling:
            return ()
        total = int(dig(deployment, "spec", "replicas", default=1))
        return (({}, float(resolved(rolling[key], total, up=up))),)

    return read


def _retention(item: Object) -> Iterable[Point]:
    policy = dig(item, "spec", "persistentVolumeClaimRetentionPolicy", default={})
    if policy:
        yield {"when_deleted": policy.get("whenDeleted", ""), "when_scaled": policy.get("whenScaled", "")}, 1.0


DEPLOYMENT_KIND: Final = Kind(
    DEPLOYMENTS,
    {**NAMESPACE, "deployment": NAME},
    (
        created("kube_deployment"),
        *_counts(
            "kube_deployment",
            (
                ("replicas", "replicas", "Pods of the Deployment"),
                ("replicas_ready", "readyReplicas", "Pods of the Deployment that are ready"),
                ("replicas_available", "availableReplicas", "Pods of the Deployment that are available"),
                ("replicas_unavailable", "unavailableReplicas", "Pods that the Deployment lacks to be available"),
                ("replicas_updated", "updatedReplicas", "Pods of the Deployment that have its newest template"),
            ),
        ),
        observed("kube_deployment"),
        Family(
            "kube_deployment_status_condition",
            "1 for the status of each condition of the Deployment",
            conditions,
            ("condition", "status"),
        ),
        Family("kube_deployment_spec_replicas", "Pods that the Deployment wants", number("spec", "replicas")),
        Family("kube_deployment_spec_paused", "1 while the Deployment's rollout is paused", number("spec", "paused")),
        Family(
            "kube_deployment_spec_strategy_rollingupdate_max_unavailable",
            "Pods that a rollout may lack",
            _rolling("maxUnavailable", up=False),
        ),
        Family(
            "kube_deployment_spec_strategy_rollingupdate_max_surge",
            "Pods that a rollout may have beyond those wanted",
            _rolling("maxSurge", up=True),
        ),
        generation("kube_deployment"),
    ),
)
REPLICA_SET_KIND: Final = Kind(
    REPLICA_SETS,
    {**NAMESPACE, "replicaset": NAME},
    (
        created("kube_replicaset"),
        *_counts(
            "kube_replicaset",
            (
                ("replicas", "replicas", "Pods of the ReplicaSet"),
                ("fully_labeled_replicas", "fullyLabeledReplicas", "Pods that have all labels of the template"),
                ("ready_replicas", "readyReplicas", "Pods of the ReplicaSet that are ready"),
            ),
        ),
        observed("kube_replicaset"),
        Family("kube_replicaset_spec_replicas", "Pods that the ReplicaSet wants", given("spec", "replicas")),
        generation("kube_replicaset"),
        Family("kube_replicaset_owner", "What owns the ReplicaSet", owners, OWNER_LABELS),
    ),
)
STATEFUL_SET_KIND: Final = Kind(
    STATEFUL_SETS,
    {**NAMESPACE, "statefulset": NAME},
    (
        created("kube_statefulset"),
        *_counts(
            "kube_statefulset",
            (
                ("replicas", "replicas", "Pods of the StatefulSet"),
                ("replicas_available", "availableReplicas", "Pods of the StatefulSet that are available"),
                ("replicas_current", "currentReplicas", "Pods of the StatefulSet's current revision"),
                ("replicas_ready", "readyReplicas", "Pods of the StatefulSet that are ready"),
                ("replicas_updated", "updatedReplicas", "Pods of the StatefulSet's newest revision"),
            ),
        ),
        observed("kube_statefulset"),
        Family("kube_statefulset_replicas", "Pods that the StatefulSet wants", given("spec", "replicas")),
        Family("kube_statefulset_ordinals_start", "The first pod's number", given("spec", "ordinals", "start")),
        generation("kube_statefulset"),
        Family(
            "kube_statefulset_persistentvolumeclaim_retention_policy",
            "What becomes of claims from templates",
            _retention,
            ("when_deleted", "when_scaled"),
        ),
        Family(
            "kube_statefulset_status_current_revision",
            "The revision that pods have before a rollout reaches them",
            words({"revision": ("status", "currentRevision")}),
            ("revision",),
        ),
        Family(
            "kube_statefulset_status_update_revision",
            "The revision that pods have once a rollout has reached them",
            words({"revision": ("status", "updateRevision")}),
            ("revision",),
        ),
    ),
)
DAEMON_SET_KIND: Final = Kind(
    DAEMON_SETS,
    {**NAMESPACE, "daemonset": NAME},
    (
        created("kube_daemonset"),
        *_counts(
            "kube_daemonset",
            (
                ("current_number_scheduled", "currentNumberScheduled", "Nodes that have the pod and should"),
                ("desired_number_scheduled", "desiredNumberScheduled", "Nodes that should have the pod"),
                ("number_available", "numberAvailable", "Nodes that should have the pod and have it available"),
                ("number_misscheduled", "numberMisscheduled", "Nodes that have the pod and should not"),
                ("number_ready", "numberReady", "Nodes that should have the pod and have it ready"),
                ("number_unavailable", "numberUnavailable", "Nodes that should have the pod and lack it available"),
                ("updated_number_scheduled", "updatedNumberScheduled", "Nodes that have the pod's newest template"),
            ),
        ),
        observed("kube_daemonset"),
        generation("kube_daemonset"),
    ),
)
