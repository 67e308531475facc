"""`label_replace` and `label_join`."""

import re

from midwatch_lab.metrics.engine.values import Vector
from midwatch_lab.metrics.errors import BadDataError, ExecutionError
from midwatch_lab.metrics.labels import Labels, from_dict, value_of
from midwatch_lab.metrics.patterns import pattern

_REFERENCE = re.compile(r"\$(?:\$|(\w+)|\{(\w+)\})", re.ASCII)


def expand(template: str, groups: dict[str, str]) -> str:
    """Fill `$1`, `${1}` and `${name}` as Go does: the longest word counts, unknown groups are empty, `$$` is `$`."""

    def fill(found: re.Match[str]) -> str:
        name = found[1] or found[2]
        return "$" if name is None else groups.get(name.lstrip("0") or "0" if name.isdigit() else name, "")

    return _REFERENCE.sub(fill, template)


def label_replace(vector: Vector, target: str, template: str, source: str, text: str) -> Vector:
    """Set `target` to the filled template wherever the whole of `source` matches."""
    try:
        compiled = pattern(text)
    except BadDataError as error:
        raise ExecutionError(f"invalid regular expression in label_replace(): {text}") from error
    _check(target, "destination", "label_replace")
    changed: list[Labels] = []
    for labels in vector.labels:
        groups = compiled.groups(value_of(labels, source))
        changed.append(labels if groups is None else from_dict({**dict(labels), target: expand(template, groups)}))
    return vector.relabelled(changed)


def label_join(vector: Vector, target: str, separator: str, sources: list[str]) -> Vector:
    """Set `target` to the values of `sources`, joined."""
    for source in sources:
        _check(source, "source", "label_join")
    _check(target, "destination", "label_join")
    changed = [
        from_dict({**dict(labels), target: separator.join(value_of(labels, source) for source in sources)})
        for labels in vector.labels
    ]
    return vector.relabelled(changed)


def _check(name: str, role: str, function: str) -> None:
    if not name:
        raise ExecutionError(f"invalid {role} label name in {function}(): {name}")
