"""Whether a namespace's quotas leave room for the pods of a change: the API server says so only when pods are made."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from midwatch_mcp.kubernetes.quantity import quantity

_ALIASES = {"cpu": "requests.cpu", "memory": "requests.memory"}


def quota_refusals(
    before: Mapping[str, Any], after: Mapping[str, Any], quotas: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """Yield the quotas that would refuse pods of a workload after a change, in words.

    A rolling update also needs room for its surge, which is not counted: what is said here is certain to be refused.
    """
    old, new = _needs(before), _needs(after)
    for quota in quotas:
        status = cast("dict[str, Any]", quota.get("status") or {})
        hard, used = (cast("dict[str, Any]", status.get(part) or {}) for part in ("hard", "used"))
        if quota.get("spec", {}).get("scopes") or quota.get("spec", {}).get("scopeSelector"):
            continue  # it counts some pods only, and which is not known here
        for name, limit in hard.items():
            key = _ALIASES.get(name, name)
            more = new.get(key, 0.0) - old.get(key, 0.0)
            most, taken = quantity(limit), quantity(used.get(name, 0))
            if more > 0 and most is not None and taken is not None and taken + more > most:
                yield (
                    f"the quota {quota['metadata']['name']} has {limit} of {name}, {used.get(name, 0)} are used, and "
                    f"this needs {more:g} more: the new pods will be refused"
                )


def _needs(value: Mapping[str, Any]) -> dict[str, float]:
    """Return what all pods of a workload ask for together, by the quota's names."""
    spec = cast("dict[str, Any]", value.get("spec") or {})
    template = cast("dict[str, Any]", spec.get("template") or {})
    if not template:
        return {}
    replicas = spec.get("replicas", 1)
    count = replicas if isinstance(replicas, int) else 1
    found: dict[str, float] = {"pods": float(count), "count/pods": float(count)}
    containers = cast(
        "list[dict[str, Any]]", cast("dict[str, Any]", template.get("spec") or {}).get("containers") or []
    )
    for container in containers:
        resources = cast("dict[str, Any]", container.get("resources") or {})
        for part in ("requests", "limits"):
            asked = cast(
                "dict[str, Any]", resources.get(part) or (resources.get("limits") if part == "requests" else {})
            )
            for name, text in (asked or {}).items():
                key = f"{part}.{name}"
                found[key] = found.get(key, 0.0) + count * (quantity(text) or 0.0)
    return found
