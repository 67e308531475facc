"""Serving backends as targets: one replica, reached through `pods/proxy`."""

from collections.abc import Mapping
from typing import Any, cast

from midwatch_contracts.entity import Entity
from midwatch_contracts.plan import ServingTarget
from midwatch_mcp.errors import KubeError
from midwatch_mcp.kubernetes.client import JSON, KubeClient
from midwatch_mcp.kubernetes.discovery import Resource
from midwatch_mcp.redact import harmless
from midwatch_mcp.safe_apply.errors import RejectedError, TargetMissingError
from midwatch_mcp.safe_apply.object_writes import snapshot_of
from midwatch_mcp.safe_apply.pods import serving_port
from midwatch_mcp.safe_apply.ports import Snapshot, View, Write

_PATHS: dict[View, str] = {
    "state": "/admin/config",
    "drain": "/admin/drain",
    "adapters": "/v1/models",
    "requests": "/admin/requests",
}
_NOT_FOUND, _NO_METHOD = 404, 405

Json = dict[str, Any]


class ServingBackends:
    """The replicas of one cluster."""

    def __init__(self, client: KubeClient, pods: Resource) -> None:
        self._client = client
        self._pods = pods

    async def read(self, target: ServingTarget, view: View) -> Snapshot:
        """Return one view of a replica; `version` is the ETag of a configuration and empty elsewhere.

        Raises:
            TargetMissingError: there is no such pod, or it does not offer this view.
        """
        pod, root = await self._pod(target)
        uid = str(pod["metadata"]["uid"])
        if view == "process":
            return Snapshot(uid, "", {}, pod=pod)
        try:
            answer = await self._client.request("GET", root + _PATHS[view])
        except KubeError as error:
            if error.status not in (_NOT_FOUND, _NO_METHOD):
                raise
            raise TargetMissingError(f"the backend of {target.serving} does not offer {_PATHS[view]}") from error
        body = answer.json()
        if not isinstance(body, dict):
            raise RejectedError(f"the backend of {target.serving} answers {_PATHS[view]} with no object")
        found = cast("Json", body)
        shape = {"adapters": _adapters, "requests": _requests}.get(view)
        return Snapshot(uid, answer.headers.get("etag", ""), found if shape is None else shape(found), pod=pod)

    async def write(self, target: ServingTarget, write: Write, *, read: Snapshot, dry_run: bool) -> Snapshot:
        """Change the configuration under its ETag, or make a call, which knows neither condition nor dry run."""
        pod, root = await self._pod(target)
        uid = str(pod["metadata"]["uid"])
        if uid != read.uid:
            raise RejectedError(f"{target.serving} is another pod than the one that was read")
        if write.form == "config":
            query = {"dry_run": True} if dry_run else None
            headers = {"If-Match": read.version}
            answer = await self._client.request(
                "PATCH", f"{root}/admin/config", write.body, JSON, query, headers=headers
            )
            return Snapshot(uid, answer.headers.get("etag", ""), answer.json())
        if write.form != "call" or dry_run:
            raise RejectedError(f"a serving backend has no {'dry run of a ' if dry_run else ''}write {write.form}")
        answer = await self._client.request(write.method, root + write.path, write.body)
        said = _said(answer.content, answer.json) if answer.content else {}
        if said.get("success") is False:
            raise RejectedError(f"the backend of {target.serving} did not do it: requests hold what {write.path} frees")
        return Snapshot(uid, "", read.value, said)

    async def _pod(self, target: ServingTarget) -> tuple[Json, str]:
        """Return a pod, and the path of its backend behind the proxy."""
        entity = Entity.parse(target.serving)
        pod = snapshot_of(await self._client.get(self._pods.path(entity.namespace, entity.name))).value
        _, port = serving_port(pod)
        if port is None:
            raise RejectedError(f"pod {entity.name} names no port, so its backend cannot be reached")
        return pod, self._pods.path(entity.namespace, f"{entity.name}:{port}", "proxy")


def _said(content: bytes, decoded: Any) -> Json:
    """Return what a call answered, harmless; vLLM answers some with plain text."""
    try:
        body: Any = decoded()
    except KubeError:
        body = {"text": content[:1000].decode("utf-8", errors="replace")}
    return cast("Json", harmless(body if isinstance(body, dict) else {"answer": body}))


def _adapters(body: Mapping[str, Any]) -> Json:
    """Return the path of each adapter by name; vLLM gives it as `root`, and an adapter has a parent."""
    listed = body.get("data")
    models = cast("list[Json]", listed if isinstance(listed, list) else [])
    return {"adapters": {str(one.get("id")): str(one.get("root") or "") for one in models if one.get("parent")}}


def _requests(body: Mapping[str, Any]) -> Json:
    listed = body.get("requests")
    rows = cast("list[Json]", listed if isinstance(listed, list) else [])
    return {"requests": {str(one.get("id")): str(one.get("state")) for one in rows}}
