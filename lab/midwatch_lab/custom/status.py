"""The status of a CustomResourceDefinition: accepted names, stored versions and conditions (KEP-95)."""

from collections.abc import Iterable, Iterator
from typing import Any, Final

from midwatch_lab.objects import Object, dig, name_of

FINALIZER: Final = "customresourcecleanup.apiextensions.k8s.io"
_NAMES: Final = ("plural", "singular", "kind", "listKind")
_CLASHES: Final = {"kind": "KindConflict", "listKind": "ListKindConflict", "plural": "PluralConflict",
                   "singular": "SingularConflict", "shortNames": "ShortNamesConflict"}  # fmt: skip


def initial(definition: Object) -> Object:
    """Return the status of a new definition."""
    return {
        "conditions": None,
        "acceptedNames": {"plural": "", "kind": ""},
        "storedVersions": stored_versions(definition, []),
    }


def stored_versions(definition: Object, before: list[str]) -> list[str]:
    """Return the versions in which objects may lie: those from before, and the one that is stored now."""
    versions: list[Object] = dig(definition, "spec", "versions", default=[])
    storage = next((str(item.get("name", "")) for item in versions if item.get("storage")), "")
    return before if not storage or storage in before else [*before, storage]


def is_established(definition: Object) -> bool:
    """Tell whether the custom resources of a definition are served."""
    conditions: list[Object] = dig(definition, "status", "conditions", default=[])
    return any(item["type"] == "Established" and item["status"] == "True" for item in conditions)


def settled(definition: Object, others: Iterable[Object], now: str) -> Object:
    """Return the status that a definition has once its names were judged beside those of the others of its group."""
    status: Object = dict(definition.get("status", {}))
    names: Object = definition["spec"]["names"]
    taken = _taken(definition, others)
    accepted, clash = _accepted(names, dig(status, "acceptedNames", default={}), taken)
    status["acceptedNames"] = accepted
    conditions: list[Object] = list(status.get("conditions") or [])
    if clash is None:
        _put(conditions, "NamesAccepted", "True", "NoConflicts", "no conflicts found", now)
        if not is_established(definition):
            text = "the initial names have been accepted"
            _put(conditions, "Established", "True", "InitialNamesAccepted", text, now)
    else:
        _put(conditions, "NamesAccepted", "False", *clash, now)
        if not is_established(definition):
            _put(conditions, "Established", "False", "NotAccepted", "not all names are accepted", now)
    status["conditions"] = conditions
    return status


def terminating(definition: Object, now: str) -> Object:
    """Return the status of a definition whose deletion was asked for."""
    conditions: list[Object] = list(dig(definition, "status", "conditions", default=[]))
    text = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
    _put(conditions, "Terminating", "True", "InstanceDeletionPending", text, now)
    return {**definition.get("status", {}), "conditions": conditions}


def _put(conditions: list[Object], kind: str, state: str, reason: str, message: str, now: str) -> None:  # noqa: PLR0917 (a condition, spelt out)
    new = {"type": kind, "status": state, "lastTransitionTime": now, "reason": reason, "message": message}
    for index, old in enumerate(conditions):
        if old["type"] == kind:
            kept = old["lastTransitionTime"] if old["status"] == state else now
            conditions[index] = {**new, "lastTransitionTime": kept}
            return
    conditions.append(new)


def _taken(definition: Object, others: Iterable[Object]) -> dict[str, set[str]]:
    """Return the names that other definitions of the group have: of resources, and of kinds."""
    resources: set[str] = set()
    kinds: set[str] = set()
    for other in others:
        same_group = dig(other, "spec", "group") == dig(definition, "spec", "group")
        if same_group and name_of(other) != name_of(definition):
            found: Object = dig(other, "status", "acceptedNames", default={})
            resources |= set(filter(None, (found.get("plural"), found.get("singular"), *found.get("shortNames", ()))))
            kinds |= set(filter(None, (found.get("kind"), found.get("listKind"))))
    return {"plural": resources, "singular": resources, "shortNames": resources, "kind": kinds, "listKind": kinds}


def _accepted(names: Object, before: Object, taken: dict[str, set[str]]) -> tuple[Object, tuple[str, str] | None]:
    accepted: Object = {key: before[key] for key in before if before[key]}
    clashes = list(_clashing(names, taken))
    bad = {key for key, _ in clashes}
    for key in (*_NAMES, "shortNames"):
        if names.get(key) and key not in bad:
            accepted[key] = names[key]
        elif key not in bad:
            accepted.pop(key, None)
    if names.get("categories"):
        accepted["categories"] = names["categories"]
    accepted = {"plural": "", "kind": "", **accepted}
    if not clashes:
        return accepted, None
    key, text = clashes[-1]
    return accepted, (_CLASHES[key], text)


def _clashing(names: Object, taken: dict[str, set[str]]) -> Iterator[tuple[str, str]]:
    for key in ("plural", "singular"):
        if names.get(key) in taken[key]:
            yield key, f'"{names[key]}" is already in use'
    short: list[Any] = [word for word in names.get("shortNames", ()) if word in taken["shortNames"]]
    if short:
        texts = [f'"{word}" is already in use' for word in short]
        yield "shortNames", texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    for key in ("kind", "listKind"):
        if names.get(key) in taken[key]:
            yield key, f'"{names[key]}" is already in use'
