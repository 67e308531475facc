"""Targets of a real cluster: objects through the Kubernetes API, serving backends through `pods/proxy`."""

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from midwatch_contracts.entity import Entity
from midwatch_contracts.expectations import Sample, UnreadableError
from midwatch_contracts.plan import KubeTarget, ServingTarget, Target
from midwatch_mcp.errors import KubeError, MetricsError, RefusedError, SettingsError, UnreachableError
from midwatch_mcp.kubernetes.client import KubeClient
from midwatch_mcp.kubernetes.discovery import Resource
from midwatch_mcp.metrics.client import PrometheusClient
from midwatch_mcp.safe_apply.errors import RejectedError, TargetError, TargetMissingError
from midwatch_mcp.safe_apply.object_writes import snapshot_of, target_error, write_object
from midwatch_mcp.safe_apply.ports import Kind, Snapshot, View, Write
from midwatch_mcp.safe_apply.serving_targets import ServingBackends

_METADATA = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json"
_TOGETHER = 8
"""Kinds that are asked at a time."""


class KubeTargets:
    """The targets of one cluster, over the shared client."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client

    async def cluster_uid(self) -> str:
        """Return the uid of the namespace `kube-system`."""
        try:
            return await self._client.cluster_uid()
        except (KubeError, UnreachableError) as error:
            raise target_error(error) from error

    async def kind(self, kind: str, api_version: str | None) -> Kind:
        """Return what discovery says of a kind."""
        resource = await self._resource(kind, api_version)
        return Kind(resource.api_version, resource.kind, resource.namespaced)

    async def read(self, target: Target, view: View = "state") -> Snapshot:
        """Return the target as it is."""
        try:
            if isinstance(target, ServingTarget):
                return await (await self._backends()).read(target, view)
            resource, place = await self._object(target)
            return snapshot_of(await self._client.get(resource.path(*place)))
        except (KubeError, UnreachableError, RefusedError) as error:
            raise target_error(error) from error

    async def write(self, target: Target, write: Write, *, read: Snapshot, dry_run: bool) -> Snapshot:
        """Write under the version that was read."""
        try:
            if isinstance(target, ServingTarget):
                return await (await self._backends()).write(target, write, read=read, dry_run=dry_run)
            resource, place = await self._object(target)
            return await write_object(self._client, resource, place, write, read=read, dry_run=dry_run)
        except (KubeError, UnreachableError, RefusedError) as error:
            raise target_error(error) from error

    async def objects(self, kind: str, namespace: str) -> Sequence[Mapping[str, Any]]:
        """Return the objects of a kind in a namespace; none where the cluster does not have the kind."""
        try:
            resource = (await self._client.discover()).find(kind)
            if resource is None:
                return []
            listed = await self._client.list(resource.path(namespace))
        except (KubeError, UnreachableError, RefusedError) as error:
            raise target_error(error) from error
        return cast("list[dict[str, Any]]", listed["items"])

    async def dependents(self, uid: str, namespace: str) -> Sequence[Entity]:
        """Return the objects of a namespace that an object owns; every kind is asked, by its metadata alone."""
        turn = asyncio.Semaphore(_TOGETHER)

        async def owned(resource: Resource) -> list[Entity]:
            async with turn:
                answer = await self._client.request("GET", resource.path(namespace), accept=_METADATA)
            listed = cast("list[dict[str, Any]]", answer.json().get("items") or [])
            return [
                Entity(resource.kind, namespace, str(item["metadata"]["name"]))
                for item in listed
                if _owned_by(item, uid)
            ]

        try:
            kinds = [
                resource
                for resource in (await self._client.discover()).resources
                if resource.namespaced and "list" in resource.verbs and resource.kind != "Event"
            ]
            found = await asyncio.gather(*(owned(resource) for resource in kinds))
        except (KubeError, UnreachableError, RefusedError) as error:
            raise target_error(error) from error
        return [entity for entities in found for entity in entities]

    async def _object(self, target: Target) -> tuple[Resource, tuple[str, str]]:
        if not isinstance(target, KubeTarget):
            raise RejectedError("the target is no object of this cluster")
        return await self._resource(target.kind, target.apiVersion), (target.namespace, target.name)

    async def _backends(self) -> ServingBackends:
        return ServingBackends(self._client, await self._resource("Pod", "v1"))

    async def _resource(self, kind: str, api_version: str | None) -> Resource:
        group = "" if api_version is None or "/" not in api_version else "." + api_version.split("/")[0]
        try:
            resource = (await self._client.discover()).find(kind + group)
        except (KubeError, UnreachableError) as error:
            raise target_error(error) from error
        if resource is None or api_version not in (None, resource.api_version):
            wanted = kind if api_version is None else f"{api_version} {kind}"
            raise TargetMissingError(f"this cluster does not serve {wanted}")
        return resource


def _owned_by(value: Mapping[str, Any], uid: str) -> bool:
    owners = cast("list[dict[str, Any]]", value["metadata"].get("ownerReferences") or [])
    return any(owner.get("uid") == uid for owner in owners)


class LiveReader:
    """Reads expectations off a Prometheus-compatible API and the cluster."""

    def __init__(self, targets: KubeTargets, metrics: PrometheusClient) -> None:
        self._targets = targets
        self._metrics = metrics

    async def query(self, promql: str) -> Sequence[Sample]:
        """Return the answer of an instant query."""
        try:
            answer, _ = await self._metrics.query("query", {"query": promql})
        except (MetricsError, UnreachableError, SettingsError) as error:
            raise UnreadableError(str(error)) from error
        result: Any = answer.get("result")
        match answer.get("resultType"):
            case "scalar":
                return [Sample({}, _number(result[1]))]
            case "vector":
                found = cast("list[dict[str, Any]]", result)
                return [Sample(series.get("metric") or {}, _number(series["value"][1])) for series in found]
            case other:
                raise UnreadableError(f"{promql} answers a {other}, not a vector or a scalar")

    async def object(self, entity: Entity) -> Mapping[str, Any] | None:
        """Return an object, or None where there is none."""
        try:
            kind = await self._targets.kind(entity.kind, None)
            target = KubeTarget(
                cluster="", apiVersion=kind.api_version, kind=kind.kind, namespace=entity.namespace, name=entity.name
            )
            return (await self._targets.read(target)).value
        except TargetMissingError:
            return None
        except TargetError as error:
            raise UnreadableError(str(error)) from error


def _number(text: Any) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return math.nan
