"""A cluster behind another: what does not override a call hands it on. For what counts, delays or breaks calls."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from midwatch_contracts.entity import Entity
from midwatch_contracts.plan import Target
from midwatch_mcp.safe_apply.ports import Kind, Snapshot, TargetApi, View, Write


@dataclass
class PassingApi:
    """Hands every call on to `api`."""

    api: TargetApi

    async def cluster_uid(self) -> str:
        """Return the uid."""
        return await self.api.cluster_uid()

    async def kind(self, kind: str, api_version: str | None) -> Kind:
        """Return a kind."""
        return await self.api.kind(kind, api_version)

    async def objects(self, kind: str, namespace: str) -> Sequence[Mapping[str, Any]]:
        """Return objects."""
        return await self.api.objects(kind, namespace)

    async def dependents(self, uid: str, namespace: str) -> Sequence[Entity]:
        """Return what an object owns."""
        return await self.api.dependents(uid, namespace)

    async def read(self, target: Target, view: View = "state") -> Snapshot:
        """Return a target."""
        return await self.api.read(target, view)

    async def write(self, target: Target, write: Write, *, read: Snapshot, dry_run: bool) -> Snapshot:
        """Write a target."""
        return await self.api.write(target, write, read=read, dry_run=dry_run)
