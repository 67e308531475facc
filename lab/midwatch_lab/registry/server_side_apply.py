"""Server-side apply: a manager states the fields it wants, and owns exactly those (KEP-555)."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, cast

import orjson

from midwatch_lab.errors import ApiError
from midwatch_lab.objects import Object, annotations_of, meta
from midwatch_lab.registry import managed_fields
from midwatch_lab.registry.managed_fields import APPLY, Key, Managers, Owned
from midwatch_lab.registry.ownership import comparer, saying
from midwatch_lab.registry.paths import dotted
from midwatch_lab.registry.typed import Comparison, Path, Typed
from midwatch_lab.registry.upkeep import ResetFields
from midwatch_lab.registry.versions import Versions
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

    versions: Versions
    reset: ResetFields
    origin: Origin

    @property
    def api_version(self) -> str:
        """The version in which is applied."""
        return self.versions.resource.api_version

    @property
    def typed(self) -> Typed:
        """What can be done with objects of that version."""
        return self.versions.own_typed

    def apply(self, live: Object, managers: Managers, config: Object, *, force: bool, now: float) -> Applied:
        """Return the live object with the configuration laid over it, without the fields no longer applied.

        Raises:
            ApiError: 409 with a cause a field, when another manager owns a field that would change, without `force`.
            ConversionError: when a manager's version cannot show the object.
        """
        for owned in managers.values():
            self.versions.check(owned.api_version)
        key = managed_fields.key_of(self.origin, APPLY, self.api_version)
        last = managers.get(key)
        wanted = {path for path in self.typed.fields(config) if not self.reset.covers(path)}
        found: Managers = {other: owned for other, owned in managers.items() if self.versions.knows(owned.api_version)}
        found[key] = Owned(frozenset(wanted), self.api_version, None if last is None else last.time)
        merged = self._pruned(self.typed.merge(live, config), config, found, last)
        compare = comparer(self.versions, self.reset, live, merged)
        others = {other: owned for other, owned in found.items() if other != key}
        conflicts = {other: paths for other, owned in others.items() if (paths := _lost(owned, compare))}
        if conflicts and not force and (left := self._unsettled(live, conflicts)):
            raise conflict_of(left)
        found |= managed_fields.bereft(others, compare)
        changed = merged != live
        if changed:
            found[key] = Owned(found[key].paths, self.api_version, managed_fields.time_text(now))
        kept = {other: owned for other, owned in found.items() if owned.paths}
        return Applied(self._with_last_applied(merged, live, config), kept, changed)

    def _pruned(self, merged: Object, config: Object, managers: Managers, last: Owned | None) -> Object:
        """Take away what the manager applied before, unless it is claimed, by this apply or by another manager."""
        if last is None or not last.paths or not self.versions.knows(last.api_version):
            return merged
        versions, home, typed = self.versions, self.versions.at(last.api_version), self.versions.typed(last.api_version)
        with saying("failed to prune fields: failed to convert merged object to last applied version"):
            before = versions.shown(last.api_version, merged)
        lasting = typed.with_parents(last.paths)
        pruned = typed.remove(before, lasting)
        claims: dict[str, set[Path]] = {last.api_version: set()}
        claims.setdefault(self.api_version, set()).update(self.typed.everything(config))
        for owned in managers.values():
            claims.setdefault(owned.api_version, set()).update(owned.paths)
        for version, paths in claims.items():
            pruned = _with_claimed(home, version, before, pruned, paths)
        everything = typed.with_parents(typed.everything(before))
        left = typed.with_parents(typed.everything(pruned))
        return versions.back(last.api_version, typed.remove(before, (everything - left) & lasting))

    def _unsettled(self, live: Object, conflicts: dict[Key, frozenset[Path]]) -> dict[Key, frozenset[Path]]:
        """Leave out what kubectl applied on its own side before and takes over: that is no conflict."""
        text = annotations_of(live).get(LAST_APPLIED)
        if self.origin.manager != _KUBECTL or text is None:
            return conflicts
        try:
            before: Any = orjson.loads(text)
        except orjson.JSONDecodeError:
            return conflicts
        if not isinstance(before, dict):
            return conflicts
        applied = cast("Object", before)
        changes = self.typed.compare(applied, live)
        allowed = self.typed.fields(applied) - changes.added - changes.modified - changes.removed
        return {key: left for key, paths in conflicts.items() if (left := paths - allowed)}

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


def _with_claimed(home: Versions, version: str, before: Object, pruned: Object, claimed: set[Path]) -> Object:
    """Give what was pruned back what is claimed in a version; both objects are in the version of `home`."""
    typed, whole, part = home.typed(version), home.shown(version, before), home.shown(version, pruned)
    everything = typed.with_parents(typed.everything(whole))
    gone = everything - (typed.with_parents(typed.everything(part)) | typed.with_parents(claimed))
    return home.back(version, typed.remove(whole, gone))


def _lost(owned: Owned, compare: Callable[[str], Comparison | None]) -> frozenset[Path]:
    """Return the fields of a manager that would change."""
    changes = compare(owned.api_version) or Comparison()
    return owned.paths & (changes.added | changes.modified)


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
