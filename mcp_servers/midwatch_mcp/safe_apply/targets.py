"""Targets of a real cluster: objects through the Kubernetes API, serving configurations through `pods/proxy`."""

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from midwatch_contracts.entity import Entity
from midwatch_contracts.expectations import Sample, UnreadableError
from midwatch_contracts.plan import KubeTarget, ServingTarget, Target
from midwatch_mcp.errors import KubeError, MetricsError, RefusedError, SettingsError, UnreachableError
from midwatch_mcp.kubernetes.client import JSON, JSON_PATCH, MERGE, STRATEGIC_MERGE, KubeClient
from midwatch_mcp.kubernetes.discovery import Resource
from midwatch_mcp.metrics.client import PrometheusClient
from midwatch_mcp.safe_apply.errors import (
    BusyError,
    ConflictError,
    LostError,
    RejectedError,
    TargetError,
    TargetMissingError,
)
from midwatch_mcp.safe_apply.ports import Kind, Snapshot, Write

FIELD_MANAGER = "midwatch"
_CONTENT = {"strategic": STRATEGIC_MERGE, "merge": MERGE, "json": JSON_PATCH}
_MEANS: dict[int, type[TargetError]] = {
    404: TargetMissingError,
    409: ConflictError,
    412: ConflictError,
    429: BusyError,
}
_LOST = 500
"""From here on an HTTP status does not tell whether the write was carried out."""


class KubeTargets:
    """The targets of one cluster, over the shared client."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client

    async def cluster_uid(self) -> str:
        """Return the uid of the namespace `kube-system`."""
        try:
            return await self._client.cluster_uid()
        except (KubeError, UnreachableError) as error:
            raise _target_error(error) from error

    async def kind(self, kind: str, api_version: str | None) -> Kind:
        """Return what discovery says of a kind."""
        resource = await self._resource(kind, api_version)
        return Kind(resource.api_version, resource.kind, resource.namespaced)

    async def read(self, target: Target) -> Snapshot:
        """Return the target as it is."""
        try:
            if isinstance(target, ServingTarget):
                return await self._read_config(target)
            found = await self._client.get(await self._path(target))
        except (KubeError, UnreachableError, RefusedError) as error:
            raise _target_error(error) from error
        return _snapshot(found)

    async def write(self, target: Target, write: Write, *, version: str, dry_run: bool) -> Snapshot:
        """Patch under the version that was read."""
        try:
            if write.form == "config":
                return await self._write_config(target, write, version=version, dry_run=dry_run)
            found = await self._client.patch(
                await self._path(target),
                locked_body(write, version),
                content_type=_CONTENT[write.form],
                query={
                    "fieldManager": FIELD_MANAGER,
                    "fieldValidation": "Strict",
                    "dryRun": "All" if dry_run else None,
                },
            )
        except (KubeError, UnreachableError, RefusedError) as error:
            raise _target_error(error) from error
        return _snapshot(found)

    async def objects(self, kind: str, namespace: str) -> Sequence[Mapping[str, Any]]:
        """Return the objects of a kind in a namespace; none where the cluster does not have the kind."""
        try:
            resource = (await self._client.discover()).find(kind)
            if resource is None:
                return []
            listed = await self._client.list(resource.path(namespace))
        except (KubeError, UnreachableError, RefusedError) as error:
            raise _target_error(error) from error
        return cast("list[dict[str, Any]]", listed["items"])

    async def _path(self, target: Target) -> str:
        if not isinstance(target, KubeTarget):
            raise RejectedError("the target is no object of this cluster")
        resource = await self._resource(target.kind, target.apiVersion)
        return resource.path(target.namespace, target.name)

    async def _resource(self, kind: str, api_version: str | None) -> Resource:
        group = "" if api_version is None or "/" not in api_version else "." + api_version.split("/")[0]
        try:
            resource = (await self._client.discover()).find(kind + group)
        except (KubeError, UnreachableError) as error:
            raise _target_error(error) from error
        if resource is None or api_version not in (None, resource.api_version):
            wanted = kind if api_version is None else f"{api_version} {kind}"
            raise TargetMissingError(f"this cluster does not serve {wanted}")
        return resource

    # Serving configurations

    async def _pod(self, target: Target) -> tuple[dict[str, Any], str]:
        """Return a pod and the path of its configuration behind the proxy."""
        if not isinstance(target, ServingTarget):
            raise RejectedError("a configuration is written to a serving target")
        entity = Entity.parse(target.serving)
        resource = await self._resource("Pod", "v1")
        pod = await self._client.get(resource.path(entity.namespace, entity.name))
        return pod, resource.path(entity.namespace, f"{entity.name}:{_port(pod)}", "proxy/admin/config")

    async def _read_config(self, target: ServingTarget) -> Snapshot:
        pod, path = await self._pod(target)
        answer = await self._client.request("GET", path)
        return Snapshot(pod["metadata"]["uid"], answer.headers.get("etag", ""), answer.json())

    async def _write_config(self, target: Target, write: Write, *, version: str, dry_run: bool) -> Snapshot:
        pod, path = await self._pod(target)
        answer = await self._client.request(
            "PATCH",
            path,
            write.body,
            JSON,
            {"dry_run": True} if dry_run else None,
            headers={"If-Match": version},
        )
        return Snapshot(pod["metadata"]["uid"], answer.headers.get("etag", ""), answer.json())


def locked_body(write: Write, version: str) -> Any:
    """Return a patch that the server takes only while the object has `version`."""
    body = copy.deepcopy(write.body)
    if isinstance(body, list):
        return [*cast("list[Any]", body), {"op": "replace", "path": "/metadata/resourceVersion", "value": version}]
    fields = cast("dict[str, Any]", body)
    fields["metadata"] = {**cast("dict[str, Any]", fields.get("metadata") or {}), "resourceVersion": version}
    return fields


def _port(pod: Mapping[str, Any]) -> int:
    """Return the port of the serving backend: the container port named `http`, or else the first."""
    containers = cast("list[dict[str, Any]]", pod["spec"].get("containers") or [])
    ports = [port for container in containers for port in cast("list[dict[str, Any]]", container.get("ports") or [])]
    if not ports:
        raise RejectedError(f"pod {pod['metadata']['name']} names no port, so its configuration cannot be reached")
    named = [port for port in ports if port.get("name") == "http"]
    return int((named or ports)[0]["containerPort"])


def _snapshot(value: dict[str, Any]) -> Snapshot:
    metadata = value["metadata"]
    return Snapshot(metadata["uid"], metadata["resourceVersion"], value)


def _target_error(error: KubeError | UnreachableError | RefusedError) -> TargetError:
    """Say of an error what it means for a write: not done, or unknown."""
    text = str(error)
    if isinstance(error, UnreachableError) or (isinstance(error, KubeError) and error.status >= _LOST):
        return LostError(text)
    if isinstance(error, KubeError) and error.status in _MEANS:
        return _MEANS[error.status](text)
    causes = f" ({'; '.join(error.causes)})" if isinstance(error, KubeError) and error.causes else ""
    return RejectedError(text + causes)


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
