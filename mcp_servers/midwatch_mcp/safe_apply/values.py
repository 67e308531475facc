"""JSON values: pointers (RFC 6901), merge patches (RFC 7396), what two differ in, and what a diff leaves out."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any, cast

import yaml

from midwatch_contracts.canonical import canonical_bytes

Change = tuple[str, Any, Any]
"""(JSON Pointer, before, after); None stands for absent, since a Kubernetes object keeps no nulls."""

_SERVER_SET = ("uid", "creationTimestamp", "resourceVersion", "generation", "managedFields", "selfLink")
"""Metadata that the server sets anew."""
_DEEPEST = 64
"""Levels of a draft; a CustomResourceDefinition has about 30."""
_FIRST_INEXACT = 2**53
_CONTROLLER_SET = ("deployment.kubernetes.io/revision",)
"""Annotations that a controller writes on the object's own `metadata`, after every rollout."""


def escape(token: str) -> str:
    """Return one token of a JSON Pointer, escaped."""
    return token.replace("~", "~0").replace("/", "~1")


def tokens(pointer: str) -> list[str]:
    """Return the unescaped tokens of a JSON Pointer."""
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]


def lookup(value: Any, pointer: str) -> list[Any]:
    """Return `[value]` at a pointer, or `[]` where there is none: absent is not null."""
    for token in tokens(pointer):
        if isinstance(value, dict) and token in value:
            value = cast("dict[str, Any]", value)[token]
        elif isinstance(value, list) and token.isdecimal() and int(token) < len(cast("list[Any]", value)):
            value = cast("list[Any]", value)[int(token)]
        else:
            return []
    return [value]


def ill_formed(value: Any) -> str | None:
    """Return why JSON data cannot be hashed, sent and read back as one and the same; None where it can.

    A number of 2^53 or more has the canonical form of a text (CONTRACTS §2), so that two plans would share one id; what
    is nested deeper than any object of Kubernetes would exhaust whoever reads it. Counts levels without recursion.
    """
    level, deep = [value], 0
    while level:
        if deep > _DEEPEST:
            return f"it is nested more than {_DEEPEST} levels deep"
        following: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                following += cast("dict[str, Any]", item).values()
            elif isinstance(item, list | tuple):
                following += cast("list[Any]", item)
            elif isinstance(item, int | float) and not abs(item) < _FIRST_INEXACT:
                return f"the number {item!r:.40} is beyond what every reader of JSON keeps exactly, from 2^53 on"
        level, deep = following, deep + 1
    return None


def same(one: Any, other: Any) -> bool:
    """Say whether two JSON values are one value; in Python `False == 0` and `True == 1`, at any depth."""
    return canonical_bytes(one) == canonical_bytes(other)


def changes(before: Any, after: Any, pointer: str = "") -> list[Change]:
    """Return the deepest places where two values differ, in the order of `before`; unlike lists differ as a whole."""
    return list(_changes(before, after, pointer))


def _changes(before: Any, after: Any, pointer: str) -> Iterator[Change]:
    if isinstance(before, dict) and isinstance(after, dict):
        old, new = cast("dict[str, Any]", before), cast("dict[str, Any]", after)
        for key in [*old, *(key for key in new if key not in old)]:
            yield from _changes(old.get(key), new.get(key), f"{pointer}/{escape(key)}")
    elif isinstance(before, list) and isinstance(after, list):
        olds, news = cast("list[Any]", before), cast("list[Any]", after)
        if len(olds) != len(news):
            yield pointer, before, after
        else:
            for index, (one, other) in enumerate(zip(olds, news, strict=True)):
                yield from _changes(one, other, f"{pointer}/{index}")
    elif not same(before, after):
        yield pointer, before, after


def merge_patch(before: Any, after: Any) -> Any:
    """Return the RFC 7396 merge patch that makes `after` of `before`."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        return copy.deepcopy(after)
    old, new = cast("dict[str, Any]", before), cast("dict[str, Any]", after)
    patch: dict[str, Any] = {key: None for key in old if key not in new}
    for key, value in new.items():
        if key not in old:
            patch[key] = copy.deepcopy(value)
        elif not same(old[key], value):
            patch[key] = merge_patch(old[key], value)
    return patch


def leaves(patch: Any, pointer: str = "") -> Iterator[str]:
    """Yield the pointers that a merge patch replaces. An empty object replaces nothing but creates its place."""
    if isinstance(patch, dict) and patch:
        for key, value in cast("dict[str, Any]", patch).items():
            yield from leaves(value, f"{pointer}/{escape(key)}")
    else:
        yield pointer


def cleaned(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of an object, or of a configuration's body, without what the server or a controller sets anew."""
    copied = copy.deepcopy({key: item for key, item in value.items() if key != "status"})
    if "metadata" not in copied:
        copied.pop("version", None)
        copied.pop("restart_required", None)
        return copied
    metadata = cast("dict[str, Any]", copied["metadata"])
    for name in _SERVER_SET:
        metadata.pop(name, None)
    annotations = cast("dict[str, Any]", metadata.get("annotations") or {})
    for name in _CONTROLLER_SET:
        annotations.pop(name, None)
    if not annotations:
        metadata.pop("annotations", None)
    return copied


def is_noise(pointer: str) -> bool:
    """Say whether a pointer leads to what `cleaned` leaves out, so that a change of it could not be shown."""
    parts = tokens(pointer)
    return (
        parts[:1] == ["status"]
        or (parts[:1] == ["metadata"] and len(parts) > 1 and parts[1] in _SERVER_SET)
        or (parts[:2] == ["metadata", "annotations"] and len(parts) > 2 and parts[2] in _CONTROLLER_SET)  # noqa: PLR2004 (the depth)
    )


def as_yaml(value: Mapping[str, Any]) -> str:
    """Return an object as YAML, never wrapped, so that a line of a diff is a line of the object.

    Its top is sorted, since servers put `apiVersion` and `kind` now first and now last, which must not make an approval
    stale; below, keys stand as they came.
    """
    top = dict(sorted(value.items()))
    return yaml.safe_dump(top, sort_keys=False, allow_unicode=False, width=1_000_000, default_flow_style=False)
