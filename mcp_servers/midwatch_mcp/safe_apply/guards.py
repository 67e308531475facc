"""What keeps a target from every change: its own marks, those of what controls it, and its namespace's (CONTRACTS §6).

A serving backend is its pod, and a drain is every pod that it evicts. Read anew for each dry run, each object once.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from midwatch_contracts.entity import Entity
from midwatch_contracts.plan import KubeTarget, Operation, Risk, ServingTarget, Target
from midwatch_mcp.safe_apply.classification import known
from midwatch_mcp.safe_apply.errors import RejectedError, TargetMissingError
from midwatch_mcp.safe_apply.operations import operation_kind
from midwatch_mcp.safe_apply.operations.base import WORKLOADS
from midwatch_mcp.safe_apply.pods import controller_of
from midwatch_mcp.safe_apply.policy import Policy
from midwatch_mcp.safe_apply.ports import TargetApi

_LONGEST = 8
"""Owners of owners that are followed; Kubernetes' own chains have three."""

Reason = tuple[Risk, str]


def entity_of(target: Target) -> Entity | None:
    """Return what a target is about, or None where it is not a Kubernetes entity."""
    if isinstance(target, ServingTarget):
        return Entity.parse(target.serving)
    return target.entity if isinstance(target, KubeTarget) else None


def group_of(target: Target) -> str:
    """Return the API group of a target; empty for the core group and for a backend."""
    api_version = target.apiVersion if isinstance(target, KubeTarget) else ""
    return api_version.rpartition("/")[0]


def outside(namespace: str, policy: Policy) -> list[str]:
    """Return why the policy lets nothing be changed in a namespace; empty where it does, and for no namespace."""
    if not namespace or policy.namespaces.has(namespace):
        return []
    return [f"the policy does not allow changes in the namespace {namespace} (its table `namespaces`)"]


def protecting(entity: Entity, value: Mapping[str, Any], policy: Policy) -> list[str]:
    """Return what of an object's own marks protects it, in words."""
    metadata = cast("dict[str, Any]", value.get("metadata") or {})
    return [f"{entity} carries {mark}" for mark in policy.protection(metadata)]


class Guards:
    """Protection as it stands in one cluster under one policy."""

    def __init__(self, api: TargetApi, policy: Policy) -> None:
        self._api = api
        self._policy = policy
        self._found: dict[KubeTarget, list[Reason]] = {}

    async def against(self, operation: Operation, value: Mapping[str, Any]) -> list[Reason]:
        """Return what stands against an operation, by the object that holds the target, or that is made.

        Raises:
            TargetError: what stands behind it cannot be read at the moment.
        """
        entity = entity_of(operation.target)
        if entity is None:
            return [("forbidden", "the target is not understood")]
        cluster = cast("KubeTarget | ServingTarget", operation.target).cluster or ""
        found = await self._marks(entity, value, cluster)
        kind = operation_kind(operation.op)
        for part in kind.parts(kind.parse(operation.args), operation.target):
            if isinstance(part.target, KubeTarget) and part.target != operation.target:
                found += _forbidden(outside(part.target.namespace, self._policy))
                found += await self._of(part.target)
        return list(dict.fromkeys(found))

    async def _marks(self, entity: Entity, value: Mapping[str, Any], cluster: str, depth: int = 0) -> list[Reason]:
        """Return what protects an object as it was read: itself, its controllers upwards, and its namespace."""
        found = _forbidden(protecting(entity, value, self._policy))
        above = list(_above(value, entity.namespace, cluster)) if depth < _LONGEST else []
        if entity.namespace:
            above.append(KubeTarget(cluster=cluster, apiVersion="v1", kind="Namespace", name=entity.namespace))
        for target in above:
            found += await self._of(target, depth + 1)
        return found

    async def _of(self, target: KubeTarget, depth: int = 0) -> list[Reason]:
        """Return what protects an object that is not read yet; nothing where there is none."""
        if target not in self._found:
            self._found[target] = []
            try:
                value = (await self._api.read(target)).value
            except (TargetMissingError, RejectedError) as error:
                if isinstance(error, TargetMissingError) and known(group_of(target), target.kind):
                    return []  # what is gone protects nothing; of a custom resource it may be the version that is gone
                self._found[target] = [("dangerous", f"whether {target.entity} is protected is not known: {error}")]
            else:
                self._found[target] = await self._marks(target.entity, value, target.cluster, depth)
        return self._found[target]


def _forbidden(texts: Iterable[str]) -> list[Reason]:
    return [("forbidden", text) for text in texts]


def _above(value: Mapping[str, Any], namespace: str, cluster: str) -> Iterator[KubeTarget]:
    """Yield what stands behind an object: its controller, and the workload that it scales.

    A node controls its mirror pods only in name.
    """
    spec: Any = value.get("spec")
    scaled: Any = cast("dict[str, Any]", spec).get("scaleTargetRef") if isinstance(spec, dict) else None
    for named in (controller_of(cast("dict[str, Any]", value.get("metadata") or {})), scaled):
        if isinstance(named, dict) and named and cast("dict[str, Any]", named).get("kind") != "Node":
            fields = {
                field: str(cast("dict[str, Any]", named).get(field, "")) for field in ("apiVersion", "kind", "name")
            }
            fields["apiVersion"] = fields["apiVersion"] or f"{WORKLOADS.get(fields['kind'], '')}/v1".lstrip("/")
            yield KubeTarget(cluster=cluster, namespace=namespace, **fields)
