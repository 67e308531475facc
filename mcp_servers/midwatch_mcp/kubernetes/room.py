"""What the Kubernetes tools work with, and the readings that several of them share."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from midwatch_contracts.clock import Clock, WallClock
from midwatch_contracts.errors import ContractError
from midwatch_contracts.times import unix_seconds
from midwatch_mcp.errors import RefusedError
from midwatch_mcp.kubernetes.client import KubeClient
from midwatch_mcp.kubernetes.discovery import Resource
from midwatch_mcp.redact import harmless, stripped

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")


@dataclass(frozen=True)
class KubeRoom:
    """One cluster and a clock to tell ages by."""

    client: KubeClient
    clock: Clock = field(default_factory=WallClock)

    async def resource(self, kind: str) -> Resource:
        """Find a kind; one that is not known is looked for again, since it may have come with a new CRD.

        Raises:
            RefusedError: names kinds that look alike.
        """
        found = (await self.client.discover()).find(kind)
        if found is None:
            fresh = await self.client.discover(fresh=True)
            found = fresh.find(kind)
            if found is None:
                near = ", ".join(fresh.near(kind)) or "ask kube_resources"
                raise RefusedError(f"this cluster has no kind {kind!r}: {near}")
        return found

    async def read(self, kind: str, namespace: str, name: str) -> dict[str, Any]:
        """Return one object, redacted, without `managedFields`."""
        return harmless(await self.fetch(kind, namespace, name))

    async def fetch(self, kind: str, namespace: str, name: str) -> dict[str, Any]:
        """Return one object as `read` does, for an answer that is nothing but it: texts are cleaned there."""
        resource = await self.resource(kind)
        return _stripped(await self.client.get(resource.path(namespace if resource.namespaced else "", name)))

    async def aclose(self) -> None:
        """Close the connections."""
        await self.client.aclose()

    def age(self, seconds: float | None) -> float | None:
        """Return how long ago a time was, in seconds."""
        return None if seconds is None else round(max(self.clock.now() - seconds, 0.0), 3)


def presented(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object as a reader may see it: redacted, without field owners."""
    return harmless(_stripped(value))


def _stripped(value: Mapping[str, Any]) -> dict[str, Any]:
    metadata = value.get("metadata")
    if isinstance(metadata, dict):
        own = cast("dict[str, Any]", metadata)
        value = {**value, "metadata": {key: item for key, item in own.items() if key != "managedFields"}}
    return stripped(value)


def at(value: Any, *path: str) -> Any:
    """Return what lies at a path of keys, or None where a part is missing."""
    for key in path:
        if not isinstance(value, Mapping):
            return None
        value = cast("Mapping[str, Any]", value).get(key)
    return value


def mapping(value: Any, *path: str) -> dict[str, Any]:
    """Return the object at a path of keys, or an empty one."""
    found = at(value, *path)
    return dict(cast("Mapping[str, Any]", found)) if isinstance(found, Mapping) else {}


def text(value: Any, *path: str) -> str:
    """Return the text at a path of keys, or an empty one."""
    found = at(value, *path)
    return found if isinstance(found, str) else ""


def texts(value: Any, *path: str) -> list[str]:
    """Return the texts of a list at a path of keys."""
    found = at(value, *path)
    return [item for item in cast("list[Any]", found) if isinstance(item, str)] if isinstance(found, list) else []


def objects(value: Any) -> list[dict[str, Any]]:
    """Return a list of objects, or an empty list for anything else."""
    return [item for item in cast("list[Any]", value) if isinstance(item, dict)] if isinstance(value, list) else []


def count(value: Any) -> int:
    """Return a number of replicas; missing is zero, as the API leaves zeros out."""
    return value if isinstance(value, int) else 0


def seconds(moment: Any) -> float | None:
    """Return an RFC 3339 time as Unix seconds, or None."""
    if not isinstance(moment, str):
        return None
    try:
        return unix_seconds(moment)
    except ContractError:
        return None


def word(said: Any) -> str:
    """Return a machine word such as `CrashLoopBackOff`; anything that is not one word is `Unknown`."""
    return said if isinstance(said, str) and _WORD.fullmatch(said) else "Unknown"


def entity(kind: str, namespace: str, name: str) -> str:
    """Return the text form of an entity (CONTRACTS §1)."""
    return f"{kind}/{namespace}/{name}"


def entity_of(value: Mapping[str, Any], kind: str = "") -> str:
    """Return the entity of an object; items of a list carry no kind of their own, so pass it."""
    own = text(value, "kind") or kind
    return entity(own, text(value, "metadata", "namespace"), text(value, "metadata", "name"))


def owned_by(value: Mapping[str, Any], uid: str) -> bool:
    """Say whether an object is owned by the one with this uid."""
    return any(owner.get("uid") == uid for owner in objects(at(value, "metadata", "ownerReferences")))


def selector_text(selector: Mapping[str, Any] | None) -> str:
    """Return a LabelSelector, or a plain map of labels, as the text that the API takes."""
    if not selector:
        return ""
    labels: Mapping[str, Any] = mapping(selector, "matchLabels")
    expressions = objects(selector.get("matchExpressions"))
    if not labels and not expressions:
        labels = {key: value for key, value in selector.items() if isinstance(value, str)}
    parts = [f"{key}={value}" for key, value in sorted(labels.items())]
    for entry in expressions:
        key, values = text(entry, "key"), ",".join(texts(entry, "values"))
        match entry.get("operator"):
            case "In":
                parts.append(f"{key} in ({values})")
            case "NotIn":
                parts.append(f"{key} notin ({values})")
            case "Exists":
                parts.append(key)
            case _:
                parts.append(f"!{key}")
    return ",".join(parts)


def ready(pod: Mapping[str, Any]) -> bool:
    """Say whether a pod is Ready and not being deleted."""
    if at(pod, "metadata", "deletionTimestamp"):
        return False
    conditions = objects(at(pod, "status", "conditions"))
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)
