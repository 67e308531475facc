"""Server-side apply: a manager states the fields it wants, and owns exactly those (KEP-555)."""

from collections import defaultdict
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, cast

import orjson

from midwatch_lab.errors import ApiError
from midwatch_lab.objects import Object, annotations_of, meta
from midwatch_lab.registry import managed_fields
from midwatch_lab.registry.managed_fields import APPLY, Key, Managers, Owned
from midwatch_lab.registry.paths import dotted
from midwatch_lab.registry.typed import Path, Typed
from midwatch_lab.registry.upkeep import ResetFields
from midwatch_lab.store.audit import Origin

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_KUBECTL: Final = "kubectl"


@dataclass(frozen=True)
class Applied:
    """What an apply makes of a live object; `changed` is false when it has all that was stated already."""

    obj: Object
    managers: Managers
    changed: bool


@dataclass(frozen=True)
class ServerSideApply:
    """Applies of one manager to objects of one kind. `reset` says which fields this door does not write."""

    typed: Typed
    reset: ResetFields
    origin: Origin
    api_version: str

    def apply(self, live: Object, managers: Managers, config: Object, *, force: bool, now: float) -> Applied:
        """Return the live object with the configuration laid over it, without the fields no longer applied.

        Raises:
            ApiError: 409 with a cause a field, when another manager owns a field that would change, without `force`.
        """
        key = managed_fields.key_of(self.origin, APPLY, self.api_version)
        last = managers[key].paths if key in managers else frozenset[Path]()
        wanted = {path for path in self.typed.fields(config) if not self.reset.covers(path)}
        time = managers[key].time if key in managers else None
        found: Managers = {**managers, key: Owned(frozenset(wanted), self.api_version, time)}
        claims = [self.typed.everything(config), *(owned.paths for owned in found.values())]
        merged = self._pruned(self.typed.merge(live, config), claims, last)
        changes = self.typed.compare(live, merged)
        taken = {path for path in changes.added | changes.modified if not self.reset.covers(path)}
        removed = {path for path in changes.removed if not self.reset.covers(path)}
        conflicts = {other: owned.paths & taken for other, owned in found.items() if other != key}
        conflicts = {other: paths for other, paths in conflicts.items() if paths}
        if conflicts and not force and not self._migrates(live, conflicts):
            raise conflict_of(conflicts)
        for other in found:
            if other != key:
                found[other] = found[other].without(taken | removed)
        changed = merged != live
        if changed:
            found[key] = Owned(found[key].paths, self.api_version, managed_fields.time_text(now))
        kept = {other: owned for other, owned in found.items() if owned.paths}
        return Applied(self._with_last_applied(merged, live, config), kept, changed)

    def _pruned(self, merged: Object, claims: Iterable[AbstractSet[Path]], last: frozenset[Path]) -> Object:
        """Take away what the manager applied before, unless it is claimed, by this apply or by another manager."""
        if not last:
            return merged
        typed = self.typed
        lasting = typed.with_parents(last)
        pruned = typed.remove(merged, lasting)
        owned = typed.with_parents(path for claim in claims for path in claim)
        everything = typed.with_parents(typed.everything(merged))
        pruned = typed.remove(merged, everything - (typed.with_parents(typed.everything(pruned)) | owned))
        left = typed.with_parents(typed.everything(pruned))
        return typed.remove(merged, (everything - left) & lasting)

    def _migrates(self, live: Object, conflicts: dict[Key, frozenset[Path]]) -> bool:
        """Tell whether kubectl takes over what it applied on its own side before: such conflicts are none."""
        text = annotations_of(live).get(LAST_APPLIED)
        if self.origin.manager != _KUBECTL or text is None:
            return False
        try:
            before: Any = orjson.loads(text)
        except orjson.JSONDecodeError:
            return False
        if not isinstance(before, dict):
            return False
        applied = cast("Object", before)
        changes = self.typed.compare(applied, live)
        allowed = self.typed.fields(applied) - changes.added - changes.modified - changes.removed
        return all(paths <= allowed for paths in conflicts.values())

    def _with_last_applied(self, merged: Object, live: Object, config: Object) -> Object:
        """Keep the annotation of kubectl's client-side apply in step, where there is one."""
        is_kubectl = self.origin.manager == _KUBECTL and not self.origin.subresource
        if not is_kubectl or LAST_APPLIED not in annotations_of(live) or LAST_APPLIED not in annotations_of(merged):
            return merged
        annotations = {key: value for key, value in annotations_of(config).items() if key != LAST_APPLIED}
        metadata = {key: value for key, value in meta(config).items() if key != "annotations"}
        stated = {**config, "metadata": {**metadata, **({"annotations": annotations} if annotations else {})}}
        text = orjson.dumps(stated, option=orjson.OPT_SORT_KEYS).decode() + "\n"
        kept = {**annotations_of(merged), LAST_APPLIED: text}
        return {**merged, "metadata": {**meta(merged), "annotations": kept}}


def _set_order(path: Path) -> list[tuple[bool, str]]:
    """Return a key that sorts paths as the original walks a set: at each step what ends there, then what goes on."""
    return [*((True, step) for step in path[:-1]), (False, path[-1])]


def conflict_of(conflicts: dict[Key, frozenset[Path]]) -> ApiError:
    """Say which fields of which managers are in the way."""
    by_manager: dict[str, list[str]] = defaultdict(list)
    for key in sorted(conflicts):
        by_manager[_manager_text(key)] += [dotted(path) for path in sorted(conflicts[key], key=_set_order)]
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {manager}", "field": path}
        for manager, paths in by_manager.items()
        for path in paths
    ]
    if len(causes) == 1:
        message = f"Apply failed with 1 conflict: conflict with {next(iter(by_manager))}: {causes[0]['field']}"
    else:
        lines = [f"conflicts with {manager}:\n- " + "\n- ".join(paths) for manager, paths in by_manager.items()]
        message = f"Apply failed with {len(causes)} conflicts: " + "\n".join(lines)
    return ApiError(HTTPStatus.CONFLICT, "Conflict", message, details={"causes": causes})


def _manager_text(key: Key) -> str:
    operation, manager, api_version, subresource = key
    text = f'"{manager}"' + (f' with subresource "{subresource}"' if subresource else "")
    return text if operation == APPLY else f"{text} using {api_version}"
