"""A small client of a running lab, for tests and evals: objects, load, rules, faults and the audit over HTTP."""

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import anyio
import httpx2

from midwatch_contracts.entity import Entity
from midwatch_lab.errors import ClientError
from midwatch_lab.files import LabInfo
from midwatch_lab.kinds.catalog import Catalog
from midwatch_lab.kinds.resources import Resource
from midwatch_lab.objects import Object, dig, name_of, namespace_of

_TIMEOUT_S: Final = 30.0
_POLL_S: Final = 0.1
_NOT_FOUND: Final = 404
_KNOWN: Final = Catalog()
_ERRORS: Final = 400
_PATCHES: Final = {
    "strategic": "application/strategic-merge-patch+json",
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
}


class LabClient:
    """`async with LabClient(info) as client: await client.create(manifest)`.

    Args:
        info: where the lab answers.
        user: as whom to act: `admin`, `midwatch`, `editor`, `viewer` or `nobody`.
    """

    def __init__(self, info: LabInfo, *, user: str = "admin") -> None:
        self.info = info
        headers = {"Authorization": f"Bearer {info.tokens[user]}", "User-Agent": "midwatch-lab-client"}
        self.http = httpx2.AsyncClient(base_url=info.url, headers=headers, timeout=_TIMEOUT_S, trust_env=False)

    @classmethod
    def of_folder(cls, folder: Path, *, user: str = "admin") -> Self:
        """Make a client of the lab that runs in a folder.

        Raises:
            ClientError: when none does.
        """
        return cls(LabInfo.read(folder), user=user)

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        await self.http.aclose()

    async def request(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Send a request.

        Raises:
            ClientError: when the lab cannot be reached, or refuses; the message is the lab's own.
        """
        try:
            response = await self.http.request(method, path, **options)
        except httpx2.HTTPError as error:
            raise self._unreachable(error) from error
        if response.status_code >= _ERRORS:
            raise ClientError(f"{method} {path}: {response.status_code}: {_reason(response)}")
        return response

    def _unreachable(self, error: Exception) -> ClientError:
        return ClientError(f"the lab at {self.info.url} cannot be reached: {error or type(error).__name__}")

    async def get(self, entity: Entity) -> Object | None:
        """Return an object, or None where it is not there."""
        path = _resource(entity).path(entity.namespace, entity.name)
        try:
            response = await self.http.get(path)
        except httpx2.HTTPError as error:
            raise self._unreachable(error) from error
        if response.status_code == _NOT_FOUND:
            return None
        if response.status_code >= _ERRORS:
            raise ClientError(f"GET {path}: {response.status_code}: {_reason(response)}")
        return response.json()

    async def objects(self, kind: str, namespace: str = "", *, labels: str = "") -> list[Object]:
        """Return the objects of a kind."""
        resource = _KNOWN.by_kind_name(kind)
        if resource is None:
            raise ClientError(f"{kind!r} is no kind that the lab serves")
        parameters = {"labelSelector": labels} if labels else {}
        response = await self.request("GET", resource.path(namespace), params=parameters)
        return response.json()["items"]

    async def create(self, manifest: Object) -> Object:
        """Make an object; its namespace is made before it where it is missing."""
        resource = _KNOWN.by_kind(str(manifest.get("apiVersion", "")), str(manifest.get("kind", "")))
        if resource is None:
            raise ClientError(f"{manifest.get('apiVersion')} {manifest.get('kind')} is no kind that the lab serves")
        namespace = namespace_of(manifest) or "default"
        if resource.namespaced and await self.get(Entity("Namespace", "", namespace)) is None:
            await self.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        response = await self.request("POST", resource.path(namespace), json=manifest)
        return response.json()

    async def apply(self, manifests: Iterable[Object]) -> None:
        """Apply manifests on the server's side, making what is missing."""
        for manifest in manifests:
            resource = _KNOWN.by_kind(str(manifest.get("apiVersion", "")), str(manifest.get("kind", "")))
            if resource is None:
                raise ClientError(f"{manifest.get('apiVersion')} {manifest.get('kind')} is no kind that the lab serves")
            path = resource.path(namespace_of(manifest) or "default", name_of(manifest))
            options = {"fieldManager": "midwatch-lab-client", "force": "true"}
            headers = {"Content-Type": "application/apply-patch+yaml"}
            await self.request("PATCH", path, json=manifest, params=options, headers=headers)

    async def patch(self, entity: Entity, patch: Any, kind: str = "strategic") -> Object:
        """Patch an object; `kind` is strategic, merge or json."""
        path = _resource(entity).path(entity.namespace, entity.name)
        response = await self.request("PATCH", path, json=patch, headers={"Content-Type": _PATCHES[kind]})
        return response.json()

    async def scale(self, entity: Entity, replicas: int) -> None:
        """Set the replicas of a workload."""
        path = _resource(entity).path(entity.namespace, entity.name, "scale")
        body = {"spec": {"replicas": replicas}}
        await self.request("PATCH", path, json=body, headers={"Content-Type": _PATCHES["merge"]})

    async def delete(self, entity: Entity) -> None:
        """Delete an object."""
        await self.request("DELETE", _resource(entity).path(entity.namespace, entity.name))

    async def wait_for_rollout(self, entity: Entity, *, timeout_s: float = 60.0) -> Object:
        """Return a Deployment once its rollout is complete: every pod is of the newest template and available.

        Raises:
            ClientError: when it is not complete in time; the message says how far it is.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            found = await self.get(entity)
            if found is not None and is_rolled_out(found):
                return found
            if time.monotonic() > deadline:
                state = "is not there" if found is None else f"has status {found.get('status')}"
                raise ClientError(f"{entity} is not rolled out after {timeout_s:g} s: it {state}")
            await anyio.sleep(_POLL_S)

    async def set_load(self, spec: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Replace the load of a target; returns what all loads have done."""
        return (await self.request("PUT", "/lab/load", json=dict(spec))).json()

    async def load(self) -> list[dict[str, Any]]:
        """Return what each load has done."""
        return (await self.request("GET", "/lab/load")).json()

    async def set_rules(self, text: str) -> None:
        """Replace the alert rules by those of a Prometheus rule file."""
        await self.request("PUT", "/lab/rules", content=text.encode())

    async def fault(self, mechanism: str, entity: Entity, args: Mapping[str, Any] | None = None) -> str:
        """Make a fault; returns its id."""
        body = {"mechanism": mechanism, "entity": str(entity), "args": dict(args or {})}
        return str((await self.request("POST", "/lab/faults", json=body)).json()["id"])

    async def remove_fault(self, identity: str) -> None:
        """Take a fault back."""
        await self.request("DELETE", f"/lab/faults/{identity}")

    async def audit(self, after: int = 0) -> list[dict[str, Any]]:
        """Return the audit's entries whose `seq` is above `after`."""
        return (await self.request("GET", "/lab/audit", params={"after": after})).json()


def is_rolled_out(deployment: Object) -> bool:
    """Tell whether a rollout is complete, as `kubectl rollout status` judges it."""
    status: Object = deployment.get("status", {})
    if int(status.get("observedGeneration", 0)) < int(dig(deployment, "metadata", "generation", default=1)):
        return False
    wanted = int(dig(deployment, "spec", "replicas", default=1))
    return all(int(status.get(key, 0)) == wanted for key in ("replicas", "updatedReplicas", "availableReplicas"))


def _resource(entity: Entity) -> Resource:
    found = _KNOWN.by_kind_name(entity.kind)
    if found is None:
        raise ClientError(f"{entity.kind!r} is no kind that the lab serves")
    return found


def _reason(response: httpx2.Response) -> str:
    try:
        body = response.json()
    except ValueError:
        return response.text[:500]
    return str(body.get("message") or body.get("error") or body) if isinstance(body, dict) else str(body)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType] (JSON of unknown shape)
