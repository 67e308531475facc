"""How large a change is beside what it changes: replicas, the bounds of autoscalers, disruption budgets."""

from collections.abc import Iterator, Mapping
from typing import Any

from midwatch_contracts.plan import Diff
from midwatch_mcp.safe_apply.policy import Limits
from midwatch_mcp.safe_apply.values import lookup

_COUNTS = {
    "/spec/replicas": ("replicas", 1),
    "/spec/minReplicas": ("the lower bound of the autoscaler", 1),
    "/spec/maxReplicas": ("the upper bound of the autoscaler", None),
    "/spec/parallelism": ("parallelism", 1),
}
"""Fields that say how many pods there are, in words, and what their absence means."""


def beyond(kind: str, before: Mapping[str, Any], diff: Diff, limits: Limits) -> Iterator[str]:
    """Yield why a change is beyond a limit on relative size. An object that is made or deleted has no size before."""
    whole = not before or any(pointer in ("", "/spec") for pointer, _, _ in diff.changes)
    for pointer, old, new in diff.changes:
        if pointer in _COUNTS and not whole:
            what, absent = _COUNTS[pointer]
            yield from _factor(what, absent if old is None else old, absent if new is None else new, limits)
    if kind == "PodDisruptionBudget" and not whole:
        yield from _budget(diff, before, limits)


def _factor(what: str, old: Any, new: Any, limits: Limits) -> Iterator[str]:
    if not isinstance(old, int) or not isinstance(new, int):
        return
    if new == 0 or max(old, new) > limits.max_scale_factor * max(1, min(old, new)):
        yield f"{what} {old} → {new} is beyond the factor {limits.max_scale_factor:g}"


def _budget(diff: Diff, before: Mapping[str, Any], limits: Limits) -> Iterator[str]:
    """Judge the bounds of a disruption budget: one that allows everything is none."""
    after = {pointer: new for pointer, _, new in diff.changes}
    held = {name: (lookup(before, f"/spec/{name}") or [None])[0] for name in ("minAvailable", "maxUnavailable")}
    least, most = (after.get(f"/spec/{name}", held[name]) for name in ("minAvailable", "maxUnavailable"))
    if least in (0, "0%") or most == "100%" or (least is None and most is None):
        yield "the disruption budget would allow every pod to go at once"
    if most in (0, "0%") or least == "100%":
        yield "the disruption budget would let no pod go, so that no node of theirs can be drained"
    for name, old in held.items():
        new = after.get(f"/spec/{name}", old)
        if type(old) is not type(new):
            yield f"{name} of the disruption budget, {_said(old)} → {_said(new)}, goes by another measure than before"
        elif isinstance(old, int) and isinstance(new, int) and old != new and new:
            yield from _factor(f"{name} of the disruption budget", old, new, limits)
        elif (was := _away(name, old)) is not None and (now := _away(name, new)) is not None and was != now and now:
            yield from _factor(f"the share that the disruption budget lets go, in %, by {name}:", was, now, limits)


def _said(bound: Any) -> str:
    return "none" if bound is None else str(bound)


def _away(name: str, bound: Any) -> int | None:
    """Return the percentage of pods that a bound lets go, or None where it is no percentage."""
    if not isinstance(bound, str) or not bound.removesuffix("%").isdecimal():
        return None
    number = int(bound.removesuffix("%"))
    return 100 - number if name == "minAvailable" else number
