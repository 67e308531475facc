"""What stands around a change in its namespace, listed once for a plan."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from midwatch_mcp.safe_apply.errors import TargetError
from midwatch_mcp.safe_apply.pods import Object
from midwatch_mcp.safe_apply.ports import TargetApi

_LISTED = ("Pod", "Service", "PodDisruptionBudget", "HorizontalPodAutoscaler", "ResourceQuota")


@dataclass
class Surroundings:
    """A namespace as it stands. `unknown` names what could not be listed, with the reason."""

    lists: dict[str, Sequence[Object]] = field(default_factory=dict[str, Sequence[Object]])
    unknown: list[str] = field(default_factory=list[str])

    def of(self, kind: str) -> Sequence[Object]:
        """Return the objects of a kind."""
        return self.lists.get(kind, ())


async def surroundings(namespace: str, api: TargetApi, more: Iterable[str] = ()) -> Surroundings:
    """List what a change in a namespace may reach; `more` are kinds that count for a few operations only."""
    found = Surroundings()

    async def one(kind: str) -> None:
        try:
            found.lists[kind] = await api.objects(kind, namespace)
        except TargetError as error:
            found.unknown.append(f"the {kind}s of {namespace} cannot be listed ({error})")

    await asyncio.gather(*map(one, (*_LISTED, *more)))
    found.unknown.sort()
    return found
