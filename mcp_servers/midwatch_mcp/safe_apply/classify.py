"""Risk by verb, subresource, kind, fields and relative size; what is not in the tables is forbidden (CONTRACTS §6)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, cast

from midwatch_contracts.canonical import canonical_bytes
from midwatch_contracts.entity import Entity
from midwatch_contracts.plan import RISKS, Diff, KubeTarget, Operation, Owner, Risk, ServingTarget, Target
from midwatch_mcp.safe_apply.operations import operation_kind
from midwatch_mcp.safe_apply.operations.patch import below
from midwatch_mcp.safe_apply.operations.scale import REPLICAS
from midwatch_mcp.safe_apply.policy import Policy
from midwatch_mcp.safe_apply.values import tokens

TABLE: dict[tuple[str, str, str], Risk] = {
    ("patch", "apps/Deployment", ""): "change",
    ("patch", "apps/StatefulSet", ""): "change",
    ("patch", "apps/DaemonSet", ""): "dangerous",
    ("patch", "autoscaling/HorizontalPodAutoscaler", ""): "change",
    ("patch", "policy/PodDisruptionBudget", ""): "change",
    ("patch", "/ConfigMap", ""): "change",
    ("patch", "/Service", ""): "dangerous",
    ("patch", "/Node", ""): "change",
    ("patch", "/Pod", "proxy"): "change",
    ("create", "/Pod", "eviction"): "dangerous",
    ("create", "/Pod", "exec"): "dangerous",
    ("create", "/ConfigMap", ""): "change",
    ("create", "/Service", ""): "change",
    ("create", "autoscaling/HorizontalPodAutoscaler", ""): "change",
    ("create", "policy/PodDisruptionBudget", ""): "change",
    ("create", "networking.k8s.io/NetworkPolicy", ""): "dangerous",
    ("create", "networking.k8s.io/Ingress", ""): "dangerous",
    ("create", "apps/Deployment", ""): "dangerous",
    ("create", "apps/StatefulSet", ""): "dangerous",
    ("delete", "/ConfigMap", ""): "change",
    ("delete", "/Service", ""): "dangerous",
    ("delete", "autoscaling/HorizontalPodAutoscaler", ""): "change",
    ("delete", "policy/PodDisruptionBudget", ""): "change",
    ("delete", "networking.k8s.io/NetworkPolicy", ""): "dangerous",
    ("delete", "networking.k8s.io/Ingress", ""): "dangerous",
    ("delete", "apps/Deployment", ""): "dangerous",
    ("delete", "apps/StatefulSet", ""): "dangerous",
    ("delete", "/Pod", ""): "dangerous",
}
"""(verb, group/kind, subresource) → class. The group keeps a custom resource from passing under a known kind's name."""

SENSITIVE = frozenset(
    {
        "securityContext",
        "serviceAccount",
        "serviceAccountName",
        "automountServiceAccountToken",
        "hostNetwork",
        "hostPID",
        "hostIPC",
        "hostUsers",
        "hostPath",
        "hostPort",
        "nodeName",
        "runtimeClassName",
        "shareProcessNamespace",
        "ephemeralContainers",
        "ownerReferences",
        "finalizers",
        "selector",
        "volumeDevices",
        "projected",
        "csi",
    }
)
"""Fields that give a pod rights, or say what an object belongs to: no operation here may change one, at any depth."""

NEEDED = frozenset({"selector"})
"""Sensitive fields without which some kinds cannot be created; no operation may change them afterwards."""

NODE_FIELDS = frozenset({"/spec/unschedulable"})
"""Fields of a Node whose change moves no pod that runs: labels and taints do."""

GITOPS_MANAGERS = ("argocd*", "argo-cd*", "kustomize-controller", "helm-controller", "flux*", "gotk*", "helm", "Helm")
"""Field managers behind which stands a Git repository or a chart: what is changed here would be changed back."""


@dataclass
class Judgement:
    """The class so far, and why it is no lower."""

    risk: Risk = "read"
    reasons: list[str] = field(default_factory=list[str])

    def at_least(self, risk: Risk, reason: str = "") -> None:
        """Raise the class to `risk` if it is lower; keep the reason whenever the class is more than `change`."""
        if RISKS.index(risk) > RISKS.index(self.risk):
            self.risk = risk
        if reason:
            self.reasons.append(f"{risk}: {reason}")


def entity_of(target: Target) -> Entity | None:
    """Return what a target is about, or None where it is not a Kubernetes entity."""
    if isinstance(target, ServingTarget):
        return Entity.parse(target.serving)
    return target.entity if isinstance(target, KubeTarget) else None


def jail(operation: str, entity: Entity, policy: Policy) -> list[str]:
    """Return why an operation on an entity is outside the jail; empty when it is inside."""
    outside: list[str] = []
    if operation not in policy.operations:
        outside.append(f"the policy does not allow the operation {operation}")
    if entity.kind not in policy.kinds:
        outside.append(f"the policy does not allow changes of the kind {entity.kind}")
    if not entity.namespace and entity.kind in policy.cluster_kinds:
        return outside
    if not policy.namespaces.has(entity.namespace):
        outside.append(f"the policy does not allow changes in the namespace {entity.namespace or '(none)'}")
    return outside


def judge_operation(
    operation: Operation,
    *,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    diff: Diff,
    said: Sequence[str],
    owners: Iterable[Owner],
    policy: Policy,
) -> Judgement:
    """Judge one operation by what its dry run shows. `said` are the pointers that the operation says it changes."""
    judged = Judgement()
    entity = entity_of(operation.target)
    if entity is None:
        judged.at_least("forbidden", "the target is not understood")
        return judged
    kind = operation_kind(operation.op)
    verb = (kind.verb, f"{_group(operation)}/{entity.kind}", kind.subresource)
    judged.at_least(TABLE.get(verb, "forbidden"), "" if verb in TABLE else f"{' '.join(verb)} is not in the table")
    for reason in jail(operation.op, entity, policy):
        judged.at_least("forbidden", reason)
    labels = cast("dict[str, str]", before.get("metadata", {}).get("labels") or {})
    for label, glob in policy.protected_labels.items():
        if label in labels and fnmatchcase(labels[label], glob):
            judged.at_least("forbidden", f"{entity} carries the protected label {label}={labels[label]}")
    _judge_fields(judged, operation, before, after, diff)
    more = [pointer for pointer, _, _ in diff.changes if not any(below(pointer, place) for place in said)]
    if more:
        judged.at_least("dangerous", f"the dry run changes more than the operation says: {', '.join(more)}")
    for owner in owners:
        if any(fnmatchcase(owner.manager, glob) for glob in GITOPS_MANAGERS):
            judged.at_least(
                "forbidden", f"{owner.pointer} belongs to {owner.manager}: change it in Git, or it is changed back"
            )
    _judge_size(judged, diff, policy)
    return judged


def _group(operation: Operation) -> str:
    """Return the API group of an operation's target; a serving backend is reached through its pod."""
    if not isinstance(operation.target, KubeTarget):
        return ""
    api_version = operation.target.apiVersion
    return api_version.rsplit("/", 1)[0] if "/" in api_version else ""


def _judge_fields(
    judged: Judgement, operation: Operation, before: Mapping[str, Any], after: Mapping[str, Any], diff: Diff
) -> None:
    """Judge by which fields change, appear with a new object, or cannot be brought back."""
    entity = entity_of(operation.target)
    if before and after and sensitive(before) != sensitive(after):
        judged.at_least("forbidden", f"it changes a field of {', '.join(_differing(before, after))}")
    given = {tokens(path)[-1] for path, part in _sensitive({} if before else after, "") if part} - NEEDED
    if given:
        judged.at_least("forbidden", f"it creates an object with {', '.join(sorted(given))}")
    if operation.undo == "none":
        judged.at_least("dangerous", f"{operation.op} of {entity} cannot be undone")
    if (
        entity is not None
        and entity.kind == "Node"
        and any(pointer not in NODE_FIELDS for pointer, _, _ in diff.changes)
    ):
        judged.at_least("dangerous", f"what it changes of {entity} may move pods")


def _judge_size(judged: Judgement, diff: Diff, policy: Policy) -> None:
    for pointer, before, after in diff.changes:
        if pointer != REPLICAS:
            continue
        old, new = int(1 if before is None else before), int(1 if after is None else after)
        limit = policy.limits.max_scale_factor
        if new == 0 or max(old, new) > limit * max(1, min(old, new)):
            judged.at_least("dangerous", f"replicas {old} → {new} is beyond the factor {limit:g}")


def sensitive(value: Any) -> list[bytes]:
    """Return every sensitive field of an object with its place and value, in one order."""
    return sorted(canonical_bytes([path, part]) for path, part in _sensitive(value, ""))


def _sensitive(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in cast("dict[str, Any]", value).items():
            if key in SENSITIVE:
                yield f"{path}/{key}", item
            else:
                yield from _sensitive(item, f"{path}/{key}")
    elif isinstance(value, list):
        for index, item in enumerate(cast("list[Any]", value)):
            name = cast("dict[str, Any]", item).get("name", index) if isinstance(item, dict) else index
            yield from _sensitive(item, f"{path}/{name}")


def _differing(before: Any, after: Any) -> list[str]:
    old, new = set(sensitive(before)), set(sensitive(after))
    names = {
        tokens(path)[-1]
        for path, part in [*_sensitive(before, ""), *_sensitive(after, "")]
        if canonical_bytes([path, part]) in old ^ new
    }
    return sorted(names)
